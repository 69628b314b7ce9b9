"""Answers are transformers' own, and do not depend on batches, padding or windows."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from eval.batching import BatchLimits
from eval.files import InputError
from eval.loading import check_family, count_params, find_checkpoint, fingerprint, load_model
from eval.model import Model, score_texts
from eval.reading import read_masked, read_texts, read_tokens, score_masked
from eval.requests import MaskedRequest, ReadRequest, ScoreRequest
from eval.settings import EvalSettings
from eval.tasks import TASKS
from eval.windows import cut_windows

BATCHES = (BatchLimits(1), BatchLimits(200), BatchLimits(), BatchLimits(rows=7), BatchLimits(rows=64))


def load(folder: Path, task: str, **settings: Any) -> Model:
    return load_model(folder, TASKS[task], EvalSettings(**settings))


def random_texts(count: int, longest: int) -> list[list[int]]:
    rng = torch.Generator().manual_seed(3)
    lengths = torch.randint(1, longest, (count,), generator=rng).tolist()
    return [[0, *torch.randint(2, 300, (length,), generator=rng).tolist()] for length in lengths]


def test_the_losses_of_one_window_are_transformers_own(language_model: Path) -> None:
    from transformers import AutoModelForCausalLM

    (ids,) = random_texts(1, 60)
    (answer,) = score_texts(
        load(language_model, "perplexity"), [ScoreRequest(ids)], stride=32, limits=BatchLimits()
    )
    network = AutoModelForCausalLM.from_pretrained(language_model)
    batch = torch.tensor([ids])
    answered = network(batch, labels=batch)
    assert answer.tokens == len(ids) - 1
    assert answer.nats / answer.tokens == pytest.approx(answered.loss.item(), abs=1e-5)
    each = torch.nn.functional.cross_entropy(answered.logits[0, :-1], batch[0, 1:], reduction="none")
    assert answer.losses.dtype == np.float32
    np.testing.assert_allclose(answer.losses, each.detach().numpy(), atol=1e-5, rtol=1e-5)


def test_strided_losses_are_those_of_each_window_alone(language_model: Path) -> None:
    from transformers import AutoModelForCausalLM

    network = AutoModelForCausalLM.from_pretrained(language_model)
    ids = [0, *torch.randint(2, 300, (200,), generator=torch.Generator().manual_seed(5)).tolist()]
    expected = []
    with torch.no_grad():
        for window in cut_windows(len(ids), context=64, stride=20):
            logits = network(torch.tensor([ids[window.begin : window.end]])).logits[0].double()
            for token in range(window.first, window.end + 1):
                expected.append(-torch.log_softmax(logits[token - 1 - window.begin], -1)[ids[token]].item())
    model = load(language_model, "perplexity")
    (answer,) = score_texts(model, [ScoreRequest(ids)], stride=20, limits=BatchLimits(128))
    np.testing.assert_allclose(answer.losses, expected, atol=1e-5, rtol=1e-5)
    assert answer.tokens == 200


def test_windows_of_a_whole_context_are_lm_evaluation_harness_rolling_ones(language_model: Path) -> None:
    pytest.importorskip("lm_eval")
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    text = " ".join(
        f"The cat, aged {number}, sat on the mat; it — naïve — looked up." for number in range(12)
    )
    model = load(language_model, "perplexity")
    theirs = HFLM(pretrained=str(language_model), device="cpu", dtype="float32", batch_size=3)
    asked = Instance(request_type="loglikelihood_rolling", doc={}, arguments=(text,), idx=0)
    (expected,) = theirs.loglikelihood_rolling([asked], disable_tqdm=True)
    ids = [0, *model.tokenizer(text)["input_ids"]]
    assert len(ids) > 3 * model.context, "several windows"
    (answer,) = score_texts(model, [ScoreRequest(ids)], stride=model.context, limits=BatchLimits())
    assert answer.nats == pytest.approx(-expected, rel=1e-6)


@pytest.mark.parametrize("chunk", [7 * 300, 1 << 21])
def test_losses_do_not_depend_on_the_batch(
    language_model: Path, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(language_model, "perplexity")
    requests = [ScoreRequest(ids) for ids in random_texts(12, 150)]
    expected = score_texts(model, requests, stride=32, limits=BatchLimits(rows=1))
    monkeypatch.setattr("eval.model._HEAD_VALUES", chunk)
    for limits in BATCHES:
        for answer, wanted in zip(
            score_texts(model, requests, stride=32, limits=limits), expected, strict=True
        ):
            np.testing.assert_allclose(answer.losses, wanted.losses, atol=1e-5, rtol=1e-5)


def test_a_head_that_bends_its_logits_is_not_passed_by() -> None:
    """Gemma 2 squashes its logits: losses of states through the output layer alone would be others."""
    from transformers import Gemma2Config, Gemma2ForCausalLM

    torch.manual_seed(4)
    config = Gemma2Config(
        vocab_size=300,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        intermediate_size=32,
        final_logit_softcapping=0.5,
        initializer_range=0.3,
    )
    network = Gemma2ForCausalLM(config).eval()
    (ids,) = random_texts(1, 40)
    model = Model(network, None, 64, 1, "float32")
    (answer,) = score_texts(model, [ScoreRequest(ids)], stride=64, limits=BatchLimits())
    batch = torch.tensor([ids])
    assert answer.nats / answer.tokens == pytest.approx(network(batch, labels=batch).loss.item(), abs=1e-5)
    with torch.no_grad():
        plain = network.lm_head(network.model(batch).last_hidden_state)[0, :-1]
    assert answer.nats / answer.tokens != pytest.approx(
        torch.nn.functional.cross_entropy(plain, batch[0, 1:]).item(), abs=0.1
    )


def test_an_empty_text_has_no_tokens_and_no_nats(language_model: Path) -> None:
    model = load(language_model, "perplexity")
    (answer,) = score_texts(model, [ScoreRequest([0])], stride=32, limits=BatchLimits(9))
    assert (answer.nats, answer.tokens) == (0.0, 0)


def test_hidden_tokens_are_scored_alike_in_every_batch(checkpoint: Callable[..., Path]) -> None:
    from transformers import AutoModelForMaskedLM

    folder = checkpoint("BertForMaskedLM")
    network = AutoModelForMaskedLM.from_pretrained(folder)
    texts = [[2, *(token % 100 + 5 for token in ids[1:]), 3] for ids in random_texts(9, 50)]
    requests = [MaskedRequest([*ids[:1], 4, *ids[2:]], [1, len(ids) - 1], [ids[1], ids[-1]]) for ids in texts]
    model = Model(network, None, 64, 0, "float32")
    for limits in BATCHES:
        found = read_masked(model, requests, limits=limits)
        sums = score_masked(model, requests, limits=limits)
        for request, (nats, likeliest), total in zip(requests, found, sums, strict=True):
            with torch.no_grad():
                logits = network(torch.tensor([request.ids])).logits[0, request.places]
            wanted = torch.nn.functional.cross_entropy(
                logits, torch.tensor(request.targets), reduction="none"
            )
            np.testing.assert_allclose(nats, wanted.numpy(), atol=1e-5, rtol=1e-5)
            assert likeliest.tolist() == (logits.argmax(-1) == torch.tensor(request.targets)).tolist()
            assert total == pytest.approx(float(wanted.sum()), rel=1e-5)


def test_tokens_are_read_alike_in_every_batch(checkpoint: Callable[..., Path]) -> None:
    from transformers import AutoModelForTokenClassification

    folder = checkpoint("BertForTokenClassification", ("A", "B", "O"))
    network = AutoModelForTokenClassification.from_pretrained(folder)
    texts = [[token % 100 for token in ids] for ids in random_texts(9, 50)]
    model = Model(network, None, 64, 0, "float32")
    for limits in BATCHES:
        for ids, logits in zip(
            texts, read_tokens(model, [ReadRequest(ids) for ids in texts], limits=limits), strict=True
        ):
            with torch.no_grad():
                wanted = network(torch.tensor([ids])).logits[0]
            torch.testing.assert_close(logits, wanted, atol=1e-5, rtol=1e-5)


def test_logits_are_the_models_own_and_do_not_depend_on_the_batch(classifier: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    network = AutoModelForSequenceClassification.from_pretrained(classifier)
    texts = random_texts(8, 60)
    with torch.no_grad():
        expected = torch.cat([network(torch.tensor([ids])).logits for ids in texts])
    model = load(classifier, "module-classification")
    for limits in BATCHES:
        logits = read_texts(model, [ReadRequest(ids) for ids in texts], limits=limits)
        torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)


def test_bfloat16_is_near_and_not_the_same(language_model: Path) -> None:
    requests = [ScoreRequest(ids) for ids in random_texts(4, 60)]
    exact, low = (
        sum(
            answer.nats
            for answer in score_texts(
                load(language_model, "perplexity", dtype=dtype), requests, stride=32, limits=BatchLimits(500)
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


def test_a_checkpoint_without_the_tasks_head_is_refused(language_model: Path, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match="was saved as GPT2LMHeadModel, which has no trained head for module"
    ):
        check_family(language_model, TASKS["module-classification"])
    shutil.copytree(language_model, tmp_path, dirs_exist_ok=True)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"architectures": None}))
    with pytest.raises(InputError, match=r"no trained score\.weight, which module-classification needs"):
        load(tmp_path, "module-classification")


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


def test_the_folder_of_a_stage_stands_for_the_model_in_it(language_model: Path, tmp_path: Path) -> None:
    shutil.copytree(language_model, tmp_path / "model")
    assert find_checkpoint(tmp_path) == tmp_path / "model"
    assert find_checkpoint(language_model) == language_model
