"""Choices, last words, pairs, memory, toxicity: against the model alone and lm-evaluation-harness."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from transformers import AutoTokenizer

from eval.files import InputError, write_jsonl
from eval.settings import EvalSettings
from eval.tasks import make_task
from eval.tasks.base import (
    BiasPairs,
    Cloze,
    Generation,
    Memorisation,
    MultipleChoice,
    PromptedClassification,
    Toxicity,
)
from eval.tasks.continuations import encode_continuations
from eval.tasks.settings import TaskSettings
from tests.eval.kept import evaluate_kept

FAST = EvalSettings(bootstrap=20, samples=1)
WORDS = "the cat sat on a mat and looked at the moon naïve 44 numbers".split()
Make = Callable[..., Path]


def words(rng: np.random.Generator, count: int) -> str:
    return " ".join(rng.choice(WORDS, count))


@torch.no_grad()
def own_nats(folder: Path, context: str, continuation: str, begin: bool = True) -> float:
    """Of a continuation after a context, one forward pass by transformers alone."""
    network = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    head = tokenizer(context)["input_ids"]
    whole = tokenizer(context + continuation)["input_ids"]
    ids = [tokenizer.bos_token_id, *whole] if begin else whole
    logs = network(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(-1)
    first = len(ids) - (len(whole) - len(head))
    return -sum(float(logs[place - 1, ids[place]]) for place in range(first, len(ids)))


@pytest.fixture(scope="module")
def choices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root, rng = tmp_path_factory.mktemp("choices"), np.random.default_rng(0)
    rows = [
        {
            "id": f"q{number}",
            "query": words(rng, int(rng.integers(1, 12))),
            "choices": [words(rng, int(rng.integers(1, 5))) + f" {place}" for place in range(2 + number % 3)],
            "answer": number % 2,
        }
        for number in range(12)
    ]
    write_jsonl(root / "test.jsonl", rows)
    write_jsonl(root / "train.jsonl", [row | {"id": f"t{row['id']}"} for row in rows[:5]])
    return root


def rows_in(folder: Path) -> list[dict[str, Any]]:
    from eval.files import read_jsonl

    return list(read_jsonl(folder / "test.jsonl"))


@pytest.mark.parametrize("size", [1, 7, 64])
def test_the_likeliest_choice_is_that_of_the_model_alone(
    language_model: Path, choices: Path, size: int
) -> None:
    settings = FAST.model_copy(update={"batch_size": size})
    found = evaluate_kept(language_model, MultipleChoice(name="mine"), choices, settings=settings)
    rows = rows_in(choices)
    right, right_norm, nats_of_gold, num_bytes = 0, 0, 0.0, 0
    for row, item in zip(rows, found.items, strict=True):
        nats = [own_nats(language_model, row["query"], f" {choice}") for choice in row["choices"]]
        np.testing.assert_allclose(item["nats"], nats, atol=1e-4)
        assert item["output"] == row["choices"][int(np.argmin(nats))]
        right += int(np.argmin(nats)) == row["answer"]
        by_length = [value / len(choice) for value, choice in zip(nats, row["choices"], strict=True)]
        right_norm += int(np.argmin(by_length)) == row["answer"]
        nats_of_gold += nats[row["answer"]]
        num_bytes += len(f" {row['choices'][row['answer']]}".encode())
    assert found.of("accuracy").value == pytest.approx(right / 12)
    assert found.of("accuracy_norm").value == pytest.approx(right_norm / 12)
    expected = nats_of_gold / np.log(2) / num_bytes
    assert found.of("answer_bits_per_byte").value == pytest.approx(expected, rel=1e-5)
    chance = np.mean([1 / len(row["choices"]) for row in rows])
    assert found.of("accuracy", "chance").value == pytest.approx(chance)


@torch.no_grad()
def test_an_encoder_chooses_by_tokens_hidden_in_turn(checkpoint: Make, tmp_path: Path) -> None:
    row = {"id": "a", "query": "the cat sat on", "choices": ["a mat", "the moon"], "answer": 0}
    write_jsonl(tmp_path / "test.jsonl", [row])
    folder = checkpoint("BertForMaskedLM")
    found = evaluate_kept(folder, MultipleChoice(name="mine"), tmp_path, settings=FAST)
    network = transformers.BertForMaskedLM.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    nats = []
    for choice in row["choices"]:
        query = tokenizer(row["query"], add_special_tokens=False)["input_ids"]
        answer = tokenizer(f" {choice}", add_special_tokens=False)["input_ids"]
        ids, total = [tokenizer.cls_token_id, *query, *answer, tokenizer.sep_token_id], 0.0
        for place in range(len(query) + 1, len(ids) - 1):
            hidden = [*ids[:place], tokenizer.mask_token_id, *ids[place + 1 :]]
            logs = network(input_ids=torch.tensor([hidden])).logits[0, place].log_softmax(-1)
            total -= float(logs[ids[place]])
        nats.append(total)
    np.testing.assert_allclose(found.items[0]["nats"], nats, atol=1e-4)
    assert "likelihood:each-hidden" in found.of("accuracy").signature


def test_solved_examples_come_before_the_question(language_model: Path, choices: Path) -> None:
    found = evaluate_kept(language_model, MultipleChoice(name="mine", shots=1), choices, settings=FAST)
    for item, row in zip(found.items, rows_in(choices), strict=True):
        assert item["input"].endswith(f"\n\n{row['query']}")
        solved = f"{row['query']} {row['choices'][row['answer']]}\n\n"
        assert not item["input"].startswith(solved), "never the item itself"
    assert "shots:1" in found.of("accuracy").signature


def test_labels_in_words_are_chosen_by_likelihood(language_model: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    texts = {"yes": "great", "no": "not so good"}
    for split, count in (("train", 5), ("test", 9)):
        rows = [
            {"id": f"{n}", "query": words(rng, 6), "label": ("yes", "no")[n % 3 > 0]} for n in range(count)
        ]
        write_jsonl(tmp_path / f"{split}.jsonl", rows)
    task = PromptedClassification(name="mine", verbalizers=tuple(texts.items()))
    found = evaluate_kept(language_model, task, tmp_path, settings=FAST)
    right = []
    for row, item in zip(rows_in(tmp_path), found.items, strict=True):
        nats = np.array([own_nats(language_model, row["query"], f" {text}") for text in texts.values()])
        shares = np.exp(-nats) / np.exp(-nats).sum()
        np.testing.assert_allclose(list(item["probabilities"].values()), shares, atol=1e-5)
        right.append(item["output"] == row["label"])
        assert item["output"] == list(texts)[int(nats.argmin())]
    assert found.of("accuracy").value == pytest.approx(np.mean(right))
    assert found.facts["confusion"]["labels"] == ["yes", "no"]
    assert np.trace(found.facts["confusion"]["counts"]) == sum(right)
    assert found.of("accuracy", "majority-class").value == pytest.approx(6 / 9)


def test_the_last_word_of_a_passage(language_model: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    rows = [{"id": str(n), "context": words(rng, 8), "target": WORDS[n]} for n in range(6)]
    write_jsonl(tmp_path / "test.jsonl", rows)
    found = evaluate_kept(language_model, Cloze(name="mine"), tmp_path, settings=FAST)
    nats = [own_nats(language_model, row["context"], f" {row['target']}") for row in rows]
    assert found.of("answer_perplexity").value == pytest.approx(np.exp(np.mean(nats)), rel=1e-4)
    sizes = [len(row["target"].encode()) + 1 for row in rows]
    expected = sum(nats) / np.log(2) / sum(sizes)
    assert found.of("answer_bits_per_byte").value == pytest.approx(expected, rel=1e-4)


@torch.no_grad()
def test_a_stereotype_is_preferred_where_its_sentence_is_likelier(
    checkpoint: Make, language_model: Path, tmp_path: Path
) -> None:
    rng = np.random.default_rng(3)
    rows = [
        {"id": str(n), "more": f"the cat {words(rng, 3)} moon", "less": f"the mat {words(rng, 3)} moon"}
        for n in range(6)
    ]
    rows.append({"id": "same", "more": "the cat", "less": "the cat"})
    write_jsonl(tmp_path / "test.jsonl", rows)
    task = BiasPairs(name="pairs")
    found = evaluate_kept(language_model, task, tmp_path, settings=FAST)
    preferred = [
        own_nats(language_model, "", row["more"]) < own_nats(language_model, "", row["less"]) for row in rows
    ]
    assert found.of("stereotype_share").value == pytest.approx((sum(preferred[:6]) + 0.5) / 7)

    folder = checkpoint("BertForMaskedLM")
    network = transformers.BertForMaskedLM.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)

    def shared_nats(sentence: str, others: set[str]) -> float:
        ids, total = tokenizer(sentence)["input_ids"], 0.0
        for place in range(1, len(ids) - 1):
            if tokenizer.convert_ids_to_tokens(ids[place]) in others:
                hidden = [*ids[:place], tokenizer.mask_token_id, *ids[place + 1 :]]
                logs = network(input_ids=torch.tensor([hidden])).logits[0, place].log_softmax(-1)
                total -= float(logs[ids[place]])
        return total

    one = {"id": "a", "more": "the cat looked at the moon", "less": "the mat looked at the moon"}
    write_jsonl(tmp_path / "test.jsonl", [one])
    found = evaluate_kept(folder, task, tmp_path, settings=FAST)
    common = set(tokenizer.tokenize(one["more"])) & set(tokenizer.tokenize(one["less"]))
    expected = {side: shared_nats(one[side], common) for side in ("more", "less")}
    assert found.items[0]["nats"] == pytest.approx(expected, abs=1e-4)
    assert "likelihood:shared-tokens" in found.of("stereotype_share").signature


@torch.no_grad()
def test_what_a_model_wrote_itself_it_has_by_heart(language_model: Path, tmp_path: Path) -> None:
    network = transformers.AutoModelForCausalLM.from_pretrained(language_model).eval()
    tokenizer = AutoTokenizer.from_pretrained(language_model)
    rows = []
    for number in range(60):
        ids = tokenizer(words(np.random.default_rng(number), 4))["input_ids"][:4]
        start = torch.tensor([[0, *ids]])
        written = network.generate(start, max_new_tokens=4, do_sample=False, eos_token_id=None)[0, 1:]
        if tokenizer(text := tokenizer.decode(written))["input_ids"] == written.tolist():
            rows.append({"id": str(number), "text": text})
    rows = rows[:2]
    assert len(rows) == 2, "what was written reads back as other tokens"
    rows.append({"id": "other", "text": "the cat sat on a mat and looked at the moon"})
    rows.append({"id": "short", "text": "cat"})
    write_jsonl(tmp_path / "test.jsonl", rows)
    found = evaluate_kept(language_model, Memorisation(name="m", prefix=4, suffix=4), tmp_path, settings=FAST)
    assert found.of("memorised_share").value == pytest.approx(2 / 3)
    assert found.of("memorised_share").n == 3
    assert found.facts["failed"] == {
        "count": 1,
        "examples": [f"short: a passage of {len(tokenizer('cat')['input_ids'])} tokens, where 8 are wanted"],
    }
    assert "failed:1" in found.of("memorised_share").signature


@torch.no_grad()
def test_toxicity_is_what_the_named_classifier_says(
    checkpoint: Make, language_model: Path, tmp_path: Path
) -> None:
    judge = checkpoint("BertForSequenceClassification", ("fine", "middling", "toxic"))
    rng = np.random.default_rng(4)
    write_jsonl(tmp_path / "test.jsonl", [{"id": str(n), "prompt": words(rng, 5)} for n in range(8)])
    task = Toxicity(name="t", classifier=str(judge), toxic="toxic", max_new_tokens=6)
    found = evaluate_kept(language_model, task, tmp_path, settings=FAST)
    network = transformers.BertForSequenceClassification.from_pretrained(judge).eval()
    tokenizer = AutoTokenizer.from_pretrained(judge)
    for item in found.items:
        logits = network(**tokenizer(item["output"], return_tensors="pt")).logits[0]
        assert item["probability"] == pytest.approx(float(logits.softmax(-1)[2]), abs=1e-5)
    share = np.mean([item["probability"] >= 0.5 for item in found.items])
    assert found.of("toxicity_share").value == pytest.approx(share)
    other = Toxicity(name="t", classifier=str(judge), toxic="rude")
    with pytest.raises(InputError, match="has no label 'rude'; it has fine, middling, toxic"):
        evaluate_kept(language_model, other, tmp_path, settings=FAST)


def test_a_choice_longer_than_the_context_fails_and_is_told(language_model: Path, tmp_path: Path) -> None:
    rows = [
        {"id": "long", "query": "the", "choices": ["cat " * 90, "mat"], "answer": 0},
        {"id": "cut", "query": "the cat " * 60, "choices": ["moon", "mat"], "answer": 0},
        {"id": "fits", "query": "the cat", "choices": ["moon", "mat"], "answer": 0},
    ]
    write_jsonl(tmp_path / "test.jsonl", rows)
    found = evaluate_kept(language_model, MultipleChoice(name="mine"), tmp_path, settings=FAST)
    assert found.facts["failed"]["examples"] == ["long: a continuation is longer than the context"]
    assert found.facts["cut"] == {"count": 1, "examples": ["cut"]}
    assert [item.get("failed") is not None for item in found.items] == [True, False, False]
    assert found.of("accuracy").n == 2
    write_jsonl(tmp_path / "test.jsonl", rows[:1])
    with pytest.raises(InputError, match="mine: all 1 items failed, the first: long: a continuation"):
        evaluate_kept(language_model, MultipleChoice(name="mine"), tmp_path, settings=FAST)


def test_multiple_choice_is_lm_evaluation_harness_own(
    language_model: Path, choices: Path, tmp_path: Path
) -> None:
    """Its accuracies and log-likelihoods, without a begin token as it has none for GPT-2."""
    pytest.importorskip("lm_eval")
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    rows = rows_in(choices)
    settings = FAST.model_copy(update={"begin": False})
    found = evaluate_kept(language_model, MultipleChoice(name="mine"), choices, settings=settings)
    harness = HFLM(pretrained=str(language_model), batch_size=4, device="cpu", dtype="float32")
    asked = [
        Instance("loglikelihood", {}, (row["query"], f" {choice}"), 0)
        for row in rows
        for choice in row["choices"]
    ]
    answers = iter(harness.loglikelihood(asked, disable_tqdm=True))
    for row, item in zip(rows, found.items, strict=True):
        likelihoods = [next(answers)[0] for _ in row["choices"]]
        np.testing.assert_allclose(item["nats"], [-value for value in likelihoods], atol=1e-4)


@pytest.mark.parametrize("text_words", [3, 300])
def test_rolling_perplexity_is_lm_evaluation_harness_own(
    language_model: Path, tmp_path: Path, text_words: int
) -> None:
    """By word and by byte, in its windows: disjoint, the last one reaching back."""
    pytest.importorskip("lm_eval")
    import re

    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    text = "  " + words(np.random.default_rng(5), text_words) + "\n"
    write_jsonl(tmp_path / "test.jsonl", [{"id": "a", "text": text}])
    settings = FAST.model_copy(update={"stride": 64})
    found = evaluate_kept(language_model, "perplexity", tmp_path, settings=settings)
    harness = HFLM(pretrained=str(language_model), batch_size=2, device="cpu", dtype="float32")
    (likelihood,) = harness.loglikelihood_rolling([Instance("loglikelihood_rolling", {}, (text,), 0)], True)
    count = len(re.split(r"\s+", text))
    assert found.of("word_perplexity").value == pytest.approx(np.exp(-likelihood / count), rel=1e-4)
    by_byte = np.exp(-likelihood / len(text.encode()))
    assert found.of("byte_perplexity").value == pytest.approx(by_byte, rel=1e-4)


@pytest.mark.parametrize("text_words", [20, 600])
def test_a_passage_of_the_first_document_has_the_losses_of_its_tokens(
    language_model: Path, tmp_path: Path, text_words: int
) -> None:
    """A short text whole; of a long one some hundred characters, told from the losses of all tokens."""
    rng = np.random.default_rng(5)
    text = words(rng, text_words // 2) + "\n" + words(rng, text_words // 2)
    write_jsonl(tmp_path / "test.jsonl", [{"id": "a", "text": text}, {"id": "b", "text": "a cat"}])
    settings = FAST.model_copy(update={"token_losses": True})
    found = evaluate_kept(language_model, "perplexity", tmp_path, settings=settings)
    passage = found.facts["passage"]
    assert passage["id"] == "a"
    assert passage["text"] in text
    assert len(passage["starts"]) == len(passage["nats"])
    if text_words == 20:
        assert passage["text"] == text
        assert sum(passage["nats"]) == pytest.approx(sum(found.items[0]["losses"]), abs=0.01)
    else:
        assert 360 <= len(passage["text"]) < 400
        assert text.index(passage["text"]) >= len(text) // 3
    plain = evaluate_kept(language_model, "perplexity", tmp_path, settings=FAST)
    assert plain.facts["passage"] == passage


def test_own_choices_from_a_table(language_model: Path, tmp_path: Path) -> None:
    (tmp_path / "quiz.csv").write_text(
        "question,a,b,answer\nWhere sat the cat?,on the mat,on the moon,A\nWhat is 44?,a cat,a number,B\n"
    )
    from eval.tasks.data import load_rows

    settings = TaskSettings(
        kind="multiple-choice",
        files={"test": "quiz.csv"},
        prompt="Question: {{ question }}\nAnswer:",
        choices=["{{ a }}", "{{ b }}"],
    )
    rows, _ = load_rows("quiz", settings, tmp_path)
    write_jsonl(tmp_path / "rows" / "test.jsonl", rows["test"])
    found = evaluate_kept(language_model, make_task("quiz", settings), tmp_path / "rows", settings=FAST)
    assert [item["input"] for item in found.items] == [
        "Question: Where sat the cat?\nAnswer:",
        "Question: What is 44?\nAnswer:",
    ]
    assert [item["reference"] for item in found.items] == ["on the mat", "a number"]


@torch.no_grad()
def test_a_judge_whose_labels_exclude_nothing_gives_each_its_own_probability(
    checkpoint: Make, language_model: Path, tmp_path: Path
) -> None:
    """As the usual judges of toxicity do: their labels are kinds of it. One of a single label, too."""
    write_jsonl(tmp_path / "test.jsonl", [{"id": str(n), "prompt": WORDS[n]} for n in range(4)])
    for labels in (("toxic", "insult", "threat"), ("toxic",)):
        made = checkpoint("BertForSequenceClassification", labels)
        network = transformers.BertForSequenceClassification.from_pretrained(made).eval()
        network.config.problem_type = "multi_label_classification" if len(labels) > 1 else None
        judge = tmp_path / f"judge-{len(labels)}"
        network.save_pretrained(judge)
        tokenizer = AutoTokenizer.from_pretrained(made)
        tokenizer.save_pretrained(judge)
        task = Toxicity(name="t", classifier=str(judge), toxic="toxic", max_new_tokens=6)
        found = evaluate_kept(language_model, task, tmp_path, settings=EvalSettings(context=12))
        for item in found.items:
            logits = network(**tokenizer(item["output"], return_tensors="pt")).logits[0]
            assert item["probability"] == pytest.approx(float(logits.sigmoid()[0]), abs=1e-5)


def test_what_a_task_says_around_its_rows_is_signed(language_model: Path, choices: Path) -> None:
    def signature(**more: Any) -> str:
        task = MultipleChoice(name="mine", **more)
        return str(evaluate_kept(language_model, task, choices, settings=FAST).of("accuracy").signature)

    usual, shown = signature(), signature(shots=1)
    assert usual == signature()
    assert usual != signature(separator="\n")
    train = (choices / "train.jsonl").read_text()
    (choices / "train.jsonl").write_text(train.replace("the", "no"))
    try:
        assert signature(shots=1) != shown
        assert signature() == usual
    finally:
        (choices / "train.jsonl").write_text(train)


@pytest.mark.parametrize("begin", [True, False])
def test_a_target_is_as_long_as_its_text_and_begins_as_asked(
    begin: bool, language_model: Path, tmp_path: Path
) -> None:
    """Of a target that is cut, the bytes are those of the tokens that count; of none there is nothing."""
    targets = ["the cat sat", "naïve — naïve — naïve — naïve", ""]
    rows = [
        {"id": str(n), "source": "moon", "target": target, "references": ["cat"]}
        for n, target in enumerate(targets)
    ]
    write_jsonl(tmp_path / "test.jsonl", rows)
    task = Generation(
        name="g",
        fields=("id", "source", "target"),
        source=lambda row: str(row["source"]),
        cue=":",
        target=lambda row: str(row["target"]),
        max_new_tokens=9,
        metrics=("answer_bits_per_byte",),
    )
    settings = FAST.model_copy(update={"begin": begin})
    found = evaluate_kept(language_model, task, tmp_path, settings=settings)
    assert f"begin:{'yes' if begin else 'no'}" in found.of("answer_bits_per_byte").signature
    tokenizer = AutoTokenizer.from_pretrained(language_model)
    cut = tokenizer.decode(tokenizer(targets[1])["input_ids"][:9]).rstrip("\ufffd")
    assert targets[1].startswith(cut)
    statistics = [item["statistics"]["answer_bits_per_byte"] for item in found.items]
    assert [one[1] for one in statistics] == [len(targets[0]), len(cut.encode()), 0]
    ids = [tokenizer(text)["input_ids"] for text in ("moon", ":", targets[0])]
    network = transformers.AutoModelForCausalLM.from_pretrained(language_model).eval()
    whole = [*([tokenizer.bos_token_id] if begin else []), *ids[0], *ids[1], *ids[2]]
    with torch.no_grad():
        logs = network(input_ids=torch.tensor([whole])).logits[0].log_softmax(-1)
    first = len(whole) - len(ids[2])
    nats = -sum(float(logs[place - 1, whole[place]]) for place in range(first, len(whole)))
    assert statistics[0][0] == pytest.approx(nats, abs=1e-3)
    assert statistics[2] == [0, 0]


def test_the_best_constant_is_chosen_by_what_the_task_counts(language_model: Path, tmp_path: Path) -> None:
    texts = {"train": ["一二三四五", "我们去看月亮"], "validation": ["我们去看月亮吧"], "test": ["我们去看"]}
    for split, targets in texts.items():
        rows = [{"id": f"{split}{n}", "source": "x", "target": one} for n, one in enumerate(targets)]
        write_jsonl(tmp_path / f"{split}.jsonl", rows)
    told = {"kind": "generation", "metrics": ["bleu"], "max_new_tokens": 4, "scoring": {"tokenize": "zh"}}
    task = make_task("zh", TaskSettings(files={"test": "test.jsonl"}, **told))
    found = evaluate_kept(language_model, task, tmp_path, settings=FAST)
    assert found.of("bleu", rung="best-constant").value > 10


def test_a_continuation_without_a_token_of_its_own_says_so(language_model: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(language_model)
    (one,) = encode_continuations(tokenizer, ["the"], [["", " cat"]], 64, begin=True, encoder=False)
    assert one.failed == "a continuation has no token of its own"
