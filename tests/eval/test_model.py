"""Answers are transformers' own, and do not depend on batches, padding or windows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from eval.files import InputError
from eval.loading import count_params, find_checkpoint, fingerprint, load_model
from eval.model import Model, generate, score_texts
from eval.reading import read_texts
from eval.requests import GenerateRequest, ReadRequest, ScoreRequest
from eval.settings import EvalSettings
from eval.tasks import TASKS
from eval.windows import cut_windows

BATCHES = (1, 200, 100_000)


def load(folder: Path, task: str, **settings: Any) -> Model:
    return load_model(folder, TASKS[task], EvalSettings(**settings))


def random_texts(count: int, longest: int) -> list[list[int]]:
    rng = torch.Generator().manual_seed(3)
    lengths = torch.randint(1, longest, (count,), generator=rng).tolist()
    return [[0, *torch.randint(2, 300, (length,), generator=rng).tolist()] for length in lengths]


def test_the_nats_of_one_window_are_transformers_own_loss(language_model: Path) -> None:
    from transformers import AutoModelForCausalLM

    (ids,) = random_texts(1, 60)
    (answer,) = score_texts(
        load(language_model, "perplexity"), [ScoreRequest(ids)], stride=32, batch_tokens=999
    )
    network = AutoModelForCausalLM.from_pretrained(language_model)
    batch = torch.tensor([ids])
    assert answer.tokens == len(ids) - 1
    assert answer.nats / answer.tokens == pytest.approx(network(batch, labels=batch).loss.item(), abs=1e-5)


def test_strided_nats_are_those_of_each_window_alone(language_model: Path) -> None:
    from transformers import AutoModelForCausalLM

    network = AutoModelForCausalLM.from_pretrained(language_model)
    ids = [0, *torch.randint(2, 300, (200,), generator=torch.Generator().manual_seed(5)).tolist()]
    expected = 0.0
    with torch.no_grad():
        for window in cut_windows(len(ids), context=64, stride=20):
            logits = network(torch.tensor([ids[window.begin : window.end]])).logits[0].double()
            for token in range(window.first, window.end + 1):
                expected -= torch.log_softmax(logits[token - 1 - window.begin], -1)[ids[token]].item()
    model = load(language_model, "perplexity")
    (answer,) = score_texts(model, [ScoreRequest(ids)], stride=20, batch_tokens=128)
    assert answer.nats == pytest.approx(expected, rel=1e-6)
    assert answer.tokens == 200


def test_scores_do_not_depend_on_the_batch(language_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load(language_model, "perplexity")
    requests = [ScoreRequest(ids) for ids in random_texts(12, 150)]
    found = [score_texts(model, requests, stride=32, batch_tokens=size) for size in BATCHES]
    monkeypatch.setattr("eval.model._HEAD_VALUES", 7 * 300)
    found.append(score_texts(model, requests, stride=32, batch_tokens=500))
    for answers in found[1:]:
        assert [answer.nats for answer in answers] == pytest.approx([a.nats for a in found[0]], rel=1e-5)


def test_an_empty_text_has_no_tokens_and_no_nats(language_model: Path) -> None:
    (answer,) = score_texts(
        load(language_model, "perplexity"), [ScoreRequest([0])], stride=32, batch_tokens=9
    )
    assert (answer.nats, answer.tokens) == (0.0, 0)


def test_greedy_texts_are_those_of_transformers_generate(language_model: Path) -> None:
    from transformers import AutoModelForCausalLM

    network = AutoModelForCausalLM.from_pretrained(language_model)
    prompts = random_texts(9, 40)
    stops = [0, *range(2, 40)]  # so many that texts end at different lengths
    expected = []
    for prompt in prompts:
        batch = torch.tensor([prompt])
        whole = network.generate(
            batch,
            attention_mask=torch.ones_like(batch),
            max_new_tokens=12,
            do_sample=False,
            eos_token_id=stops,
            pad_token_id=1,
        )
        expected.append(whole[0, len(prompt) :].tolist())
    assert len({len(text) for text in expected}) > 2
    model = load(language_model, "code-to-docstring")
    requests = [GenerateRequest(prompt, 12) for prompt in prompts]
    for size in BATCHES:
        assert generate(model, requests, stops=stops, batch_tokens=size) == expected


def test_logits_are_the_models_own_and_do_not_depend_on_the_batch(classifier: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    network = AutoModelForSequenceClassification.from_pretrained(classifier)
    texts = random_texts(8, 60)
    with torch.no_grad():
        expected = torch.cat([network(torch.tensor([ids])).logits for ids in texts])
    model = load(classifier, "module-classification")
    for size in BATCHES:
        logits = read_texts(model, [ReadRequest(ids) for ids in texts], batch_tokens=size)
        torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)


def test_bfloat16_is_near_and_not_the_same(language_model: Path) -> None:
    requests = [ScoreRequest(ids) for ids in random_texts(4, 60)]
    exact, low = (
        sum(
            answer.nats
            for answer in score_texts(
                load(language_model, "perplexity", dtype=dtype), requests, stride=32, batch_tokens=500
            )
        )
        for dtype in ("float32", "bfloat16")
    )
    assert low == pytest.approx(exact, rel=0.02)
    assert low != exact


def test_parameters_are_counted_by_convention() -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    with torch.device("meta"):
        small = GPT2LMHeadModel(GPT2Config())
    small.tie_weights()
    assert count_params(small) == {
        "total": 124_439_808,
        "non_embedding": 85_056_000,
        "matmul": 85_056_000 + 50_257 * 768,
    }


def test_an_untied_head_is_no_embedding_but_multiplies() -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    sizes = {"n_layer": 1, "n_embd": 8, "n_head": 1, "vocab_size": 50, "n_positions": 4}
    tied = count_params(GPT2LMHeadModel(GPT2Config(**sizes)))
    apart = count_params(GPT2LMHeadModel(GPT2Config(**sizes, tie_word_embeddings=False)))
    assert apart["total"] == tied["total"] + 50 * 8
    assert (apart["non_embedding"], apart["matmul"]) == (tied["non_embedding"], tied["matmul"])


def test_a_checkpoint_without_the_tasks_head_is_refused(language_model: Path) -> None:
    with pytest.raises(InputError, match=r"no trained score\.weight, which module-classification needs"):
        load(language_model, "module-classification")


def test_a_context_beyond_the_models_positions_is_refused(language_model: Path) -> None:
    assert load(language_model, "perplexity").context == 64
    assert load(language_model, "perplexity", context=16).context == 16
    with pytest.raises(InputError, match=r"eval\.context: 65 is more than the model's 64 positions"):
        load(language_model, "perplexity", context=65)


def test_the_fingerprint_changes_with_a_weight(language_model: Path, tmp_path: Path) -> None:
    before = fingerprint(language_model)
    for path in language_model.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert fingerprint(tmp_path) == before
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\x80\x3f")
    assert fingerprint(tmp_path) != before


def test_a_folder_without_safetensors_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"a pickle")
    with pytest.raises(InputError, match=r"no checkpoint; config\.json and \*\.safetensors are wanted"):
        fingerprint(tmp_path)


def test_a_name_that_cannot_be_fetched_is_a_mistake_in_one_line() -> None:
    with pytest.raises(
        InputError, match="model 'nobody/nothing': no such folder, and not to be had"
    ) as caught:
        find_checkpoint("nobody/nothing")  # the tests run offline
    assert "\n" not in str(caught.value)
