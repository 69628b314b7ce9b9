"""Every kind of task, with BERT and GPT-2, against transformers' own forward pass, row by row, unpadded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from transformers import AutoTokenizer

from eval.evaluate import evaluate
from eval.files import InputError, write_jsonl
from eval.masking import IGNORED, MaskVocabulary, mask
from eval.measuring.base import wording
from eval.measuring.language import MASK_SEED
from eval.measuring.spans import LONGEST_ANSWER, best_span
from eval.settings import EvalSettings
from eval.tasks import TASKS, PromptedClassification, Task, make_task
from eval.tasks.encoding import SpanWindow, encode_for_label, encode_tags
from eval.tasks.settings import TaskSettings
from tests.eval.kept import Kept, alike, evaluate_kept

FAST = EvalSettings(bootstrap=20, samples=1)
WORDS = "the cat sat on a mat and looked at the moon naïve 44 numbers".split()
LABELS = ("left", "middle", "right")
TAGS = ("B-X", "I-X", "O")
Make = Callable[..., Path]


def words(rng: np.random.Generator, longest: int) -> str:
    return " ".join(rng.choice(WORDS, int(rng.integers(1, longest))))


def row_of(kind: str, number: int, rng: np.random.Generator) -> dict[str, Any]:
    row: dict[str, Any] = {"id": f"r{number}"}
    if kind == "span":
        context = words(rng, 60 if number % 2 else 12) + " cat"
        answers = [{"text": "cat", "start": len(context) - 3}]
        return row | {"question": words(rng, 5), "context": context, "answers": answers}
    if kind == "tagging":
        chosen = [*rng.choice(WORDS, int(rng.integers(1, 30)))]
        return row | {"words": chosen, "tags": [TAGS[int(rng.integers(3))] for _ in chosen]}
    row |= {"text": words(rng, 40), "text_pair": words(rng, 6)}
    named = {
        "classification": {"label": LABELS[number % 3]},
        "multi-label": {"labels": [label for label in LABELS if rng.random() < 0.5] or ["left"]},
        "regression": {"value": float(rng.normal())},
    }
    return row | named[kind]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root, rng = tmp_path_factory.mktemp("kinds"), np.random.default_rng(0)
    for kind in HEADS:
        for split, count in (("train", 9), ("validation", 3), ("test", 7)):
            rows = [row_of(kind, number, rng) for number in range(count)]
            write_jsonl(root / kind / f"{split}.jsonl", rows)
    texts = ["the cat sat", "", "a naïve moon is 44 ☃", words(rng, 200), words(rng, 90)]
    rows = [{"id": f"d{number}", "text": text} for number, text in enumerate(texts)]
    write_jsonl(root / "documents" / "test.jsonl", rows)
    return root


HEADS: dict[str, tuple[str, tuple[str, ...] | None]] = {
    "classification": ("ForSequenceClassification", LABELS),
    "multi-label": ("ForSequenceClassification", LABELS),
    "regression": ("ForSequenceClassification", ("LABEL_0",)),
    "span": ("ForQuestionAnswering", None),
    "tagging": ("ForTokenClassification", TAGS),
}
FAMILIES = ("Bert", "GPT2")


def task_of(kind: str) -> Task:
    return make_task(f"my-{kind}", TaskSettings(kind=kind, files={"test": "test.jsonl"}))


Found = tuple[Kept, Any, Any]


def measured(checkpoint: Make, data: Path, family: str, kind: str, **more: Any) -> Found:
    """The evaluation, and the network and tokenizer loaded by transformers alone."""
    head, labels = HEADS[kind]
    folder = checkpoint(family + head, labels)
    found = evaluate_kept(folder, task_of(kind), data / kind, settings=FAST.model_copy(update=more))
    network = getattr(transformers, family + head).from_pretrained(folder).eval()
    return found, network, AutoTokenizer.from_pretrained(folder)


def rows_in(folder: Path) -> list[dict[str, Any]]:
    from eval.files import read_jsonl

    return list(read_jsonl(folder / "test.jsonl"))


def tensors(**lists: list[int]) -> dict[str, torch.Tensor]:
    return {name: torch.tensor([values]) for name, values in lists.items() if values}


@torch.no_grad()
def own_logits(network: Any, tokenizer: Any, rows: list[dict[str, Any]], kind: str) -> list[np.ndarray]:
    """What the model says of each row by itself; a BERT's rows are framed by its tokenizer."""
    if tokenizer.cls_token_id is not None:
        inputs = [tokenizer(row["text"], row["text_pair"], return_tensors="pt") for row in rows]
    else:
        inputs = [tensors(input_ids=e.ids) for e in encode_for_label(task_of(kind), tokenizer, rows, 64)]
    return [network(**one).logits[0].numpy() for one in inputs]


def value(found: Kept, metric: str, rung: str | None = None) -> Any:
    return found.of(metric, rung)


@pytest.mark.parametrize("family", FAMILIES)
def test_pairs_are_classified_as_the_model_alone_does(checkpoint: Make, data: Path, family: str) -> None:
    found, network, tokenizer = measured(checkpoint, data, family, "classification")
    rows = rows_in(data / "classification")
    expected = [LABELS[logits.argmax()] for logits in own_logits(network, tokenizer, rows, "classification")]
    assert [item["output"] for item in found.items] == expected
    assert len(set(expected)) > 1
    right = np.mean([label == row["label"] for label, row in zip(expected, rows, strict=True)])
    assert value(found, "accuracy").value == pytest.approx(right)
    assert found.samples[0]["prompt"] == f"{rows[0]['text']}\n{rows[0]['text_pair']}"


@pytest.mark.parametrize("family", FAMILIES)
def test_several_labels_are_those_above_one_half(checkpoint: Make, data: Path, family: str) -> None:
    found, network, tokenizer = measured(checkpoint, data, family, "multi-label")
    rows = rows_in(data / "multi-label")
    for item, logits in zip(found.items, own_logits(network, tokenizer, rows, "multi-label"), strict=True):
        chances = 1 / (1 + np.exp(-logits))
        assert item["output"] == [
            label for label, chance in zip(LABELS, chances, strict=True) if chance > 0.5
        ]
    hits = sum(len(set(item["output"]) & set(item["reference"])) for item in found.items)
    both = sum(len(item["output"]) + len(item["reference"]) for item in found.items)
    assert value(found, "f1_micro").value == pytest.approx(2 * hits / both)
    assert value(found, "f1_macro").n == 7
    assert value(found, "f1_micro", "most-frequent-label").value > 0


@pytest.mark.parametrize("family", FAMILIES)
def test_numbers_are_correlated(checkpoint: Make, data: Path, family: str) -> None:
    from scipy import stats

    found, network, tokenizer = measured(checkpoint, data, family, "regression")
    rows = rows_in(data / "regression")
    outputs = np.concatenate(own_logits(network, tokenizer, rows, "regression"))
    np.testing.assert_allclose([item["output"] for item in found.items], outputs, atol=1e-5)
    true = [row["value"] for row in rows]
    assert value(found, "pearson").value == pytest.approx(stats.pearsonr(outputs, true).statistic, abs=1e-5)
    assert value(found, "spearman").value == pytest.approx(stats.spearmanr(outputs, true).statistic)
    assert value(found, "pearson").stderr > 0


@pytest.mark.parametrize("family", FAMILIES)
def test_words_are_tagged_as_the_model_alone_does(checkpoint: Make, data: Path, family: str) -> None:
    found, network, tokenizer = measured(checkpoint, data, family, "tagging")
    right = total = 0
    for item, row in zip(found.items, rows_in(data / "tagging"), strict=True):
        expected = []
        for part in encode_tags(task_of("tagging"), tokenizer, [row], TAGS, 64):
            with torch.no_grad():
                logits = network(**tensors(input_ids=part.ids)).logits[0]
            expected += [TAGS[index] for index in logits[part.places].argmax(-1).tolist()]
        assert item["output"] == expected
        right += sum(a == b for a, b in zip(expected, row["tags"], strict=True))
        total += len(expected)
    assert value(found, "accuracy").value == pytest.approx(right / total)
    assert {r.metric for r in found.results} == {"accuracy", "f1_entity"}
    assert value(found, "accuracy", "usual-tag").value > 0


def test_tags_that_mark_no_entities_have_no_entity_f1(checkpoint: Make, data: Path, tmp_path: Path) -> None:
    for split in ("train", "test"):
        rows = [row | {"tags": [f"N{t[0]}" for t in row["tags"]]} for row in rows_in(data / "tagging")]
        write_jsonl(tmp_path / f"{split}.jsonl", rows)
    folder = checkpoint("BertForTokenClassification", ("NB", "NI", "NO"))
    found = evaluate_kept(folder, task_of("tagging"), tmp_path, settings=FAST)
    assert {result.metric for result in found.results} == {"accuracy"}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_sentence_without_words_counts_as_none(
    checkpoint: Make, data: Path, tmp_path: Path, family: str
) -> None:
    whole, *_ = measured(checkpoint, data, family, "tagging")
    rows = [*rows_in(data / "tagging"), {"id": "none", "words": [], "tags": []}]
    write_jsonl(tmp_path / "test.jsonl", rows)
    head, labels = HEADS["tagging"]
    found = evaluate_kept(checkpoint(family + head, labels), task_of("tagging"), tmp_path, settings=FAST)
    assert found.items[-1]["output"] == []
    for metric in ("accuracy", "f1_entity"):
        assert value(found, metric).value == value(whole, metric).value


def test_second_texts_of_some_rows_only_are_refused_before_a_model_loads(
    checkpoint: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first rows are answered one by one, and each by itself is like itself."""
    monkeypatch.setattr("eval.evaluate.load_model", None)
    rows = [{"id": str(n), "text": "the cat", "label": "a"} for n in range(7)]
    write_jsonl(tmp_path / "test.jsonl", [*rows[:-1], rows[-1] | {"text_pair": "moon"}])
    folder = checkpoint("BertForSequenceClassification", ("a", "b"))
    with pytest.raises(InputError, match="1 of 7 rows have a text_pair; give all one, or none"):
        evaluate_kept(folder, task_of("classification"), tmp_path, settings=FAST)


@pytest.mark.parametrize("family", FAMILIES)
def test_answers_are_the_best_span_of_the_context(checkpoint: Make, data: Path, family: str) -> None:
    """Contexts that fit one window: the best of all pairs, looked for one by one."""
    found, network, tokenizer = measured(checkpoint, data, family, "span")
    checked = 0
    for item, row in zip(found.items, rows_in(data / "span"), strict=True):
        text = tokenizer(row["context"], add_special_tokens=False, return_offsets_mapping=True)
        asked = tokenizer(row["question"], add_special_tokens=False)["input_ids"]
        bert = family == "Bert"
        head = [2, *asked, 3] if bert else [0, *asked, *tokenizer("\n")["input_ids"]]
        ids = head + text["input_ids"] + ([3] if bert else [])
        if len(asked) > 16 or len(ids) > 64:
            continue
        types = [0] * len(head) + [1] * (len(ids) - len(head)) if bert else []
        with torch.no_grad():
            answer = network(**tensors(input_ids=ids, token_type_ids=types))
        size = len(text["input_ids"])
        sums = {
            (a, b): float(answer.start_logits[0, len(head) + a] + answer.end_logits[0, len(head) + b])
            for a in range(size)
            for b in range(a, min(size, a + LONGEST_ANSWER))
        }
        first, last = max(sums, key=lambda pair: sums[pair])
        offsets = text["offset_mapping"]
        assert item["output"] == row["context"][offsets[first][0] : offsets[last][1]].strip()
        checked += 1
    assert checked >= 2
    assert "no-answer:never" in value(found, "f1").signature


def test_no_answer_is_given_where_the_first_token_scores_higher(checkpoint: Make, tmp_path: Path) -> None:
    rows = [
        {"id": str(n), "question": "who?", "context": f"the cat sat on {n} mats", "answers": answers}
        for n, answers in enumerate([[], [{"text": "cat", "start": 4}]] * 4)
    ]
    write_jsonl(tmp_path / "test.jsonl", rows)
    found = evaluate_kept(checkpoint("BertForQuestionAnswering"), task_of("span"), tmp_path, settings=FAST)
    assert "no-answer:threshold:0" in value(found, "f1").signature
    window = SpanWindow([2, 9, 9, 3], [0] * 4, 0, 0, [None, (0, 1), (2, 3), None], 0)
    logits = np.array([[9.0, 9.0], [1.0, 5.0], [4.0, 2.0], [9.0, 9.0]])
    assert best_span(window, logits) == (6.0, 1, 1), "not the frame, and no end before its start"


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", HEADS)
def test_batches_and_other_rows_change_nothing(checkpoint: Make, data: Path, family: str, kind: str) -> None:
    alone, *_ = measured(checkpoint, data, family, kind, batch_tokens=1)
    together, *_ = measured(checkpoint, data, family, kind, batch_tokens=4096)
    some, *_ = measured(checkpoint, data, family, kind, max_items=3)
    assert alike(alone.items, together.items)
    by_id = {item["id"]: item["output"] for item in together.items}
    assert all(item["output"] == pytest.approx(by_id[item["id"]], abs=1e-5) for item in some.items)


@torch.no_grad()
def test_the_masked_loss_is_the_models_own_on_the_same_masks(checkpoint: Make, data: Path) -> None:
    import hashlib

    folder = checkpoint("BertForMaskedLM")
    network = transformers.BertForMaskedLM.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    vocabulary = MaskVocabulary.of(tokenizer)
    nats = count = 0.0
    for row in rows_in(data / "documents"):
        ids = tokenizer(row["text"], add_special_tokens=False)["input_ids"]
        name = int.from_bytes(hashlib.sha256(row["id"].encode()).digest()[:8], "big")
        for begin in range(0, len(ids), 62):
            window = [2, *ids[begin : begin + 62], 3]
            generator = np.random.default_rng([MASK_SEED, name, begin])
            inputs, targets = mask(np.array([window]), vocabulary, [generator])
            hidden = int((targets != IGNORED).sum())
            if hidden:
                loss = network(input_ids=torch.tensor(inputs), labels=torch.tensor(targets)).loss
                nats, count = nats + float(loss) * hidden, count + hidden
    for size in (1, 4096):
        settings = FAST.model_copy(update={"batch_tokens": size})
        found = evaluate_kept(folder, "masked-lm", data / "documents", settings=settings)
        (result,) = found.results
        assert result.value == pytest.approx(nats / count, rel=1e-5)
        assert sum(item["statistics"]["masked_lm_loss"][1] for item in found.items) == count > 20
    assert (result.metric, result.objective, result.n) == ("masked_lm_loss", "masked-lm", 4), "one is empty"
    assert "hidden:0.15 by seed 15, 0.8 as [MASK], 0.1 at random|vocabulary:" in result.signature
    fewer = evaluate_kept(folder, "masked-lm", data / "documents", settings=EvalSettings(max_items=1))
    alike = pytest.approx(found.items[0]["statistics"]["masked_lm_loss"])
    assert fewer.items[0]["statistics"]["masked_lm_loss"] == alike, "other documents change no masks"


@torch.no_grad()
def test_pseudo_perplexity_hides_every_token_once(checkpoint: Make, data: Path) -> None:
    folder = checkpoint("BertForMaskedLM")
    network = transformers.BertForMaskedLM.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    nats, count = 0.0, 0
    for row in rows_in(data / "documents"):
        ids = tokenizer(row["text"], add_special_tokens=False)["input_ids"]
        for begin in range(0, len(ids), 62):
            window = torch.tensor([[2, *ids[begin : begin + 62], 3]])
            for place in range(1, window.shape[1] - 1):
                hidden = window.clone()
                hidden[0, place] = tokenizer.mask_token_id
                chances = network(input_ids=hidden).logits[0, place].log_softmax(-1)
                nats, count = nats - float(chances[window[0, place]]), count + 1
    found = evaluate_kept(folder, "pseudo-perplexity", data / "documents", settings=FAST)
    (result,) = found.results
    assert result.value == pytest.approx(np.exp(nats / count), rel=1e-4)
    assert (result.metric, sum(item["statistics"]["pseudo_perplexity"][1] for item in found.items)) == (
        "pseudo_perplexity",
        count,
    )
    assert result.stderr is not None
    assert result.stderr > 0


def test_several_references_are_scored_together(language_model: Path, tmp_path: Path) -> None:
    import sacrebleu

    task = make_task("mine", TaskSettings(kind="generation", files={"test": "t"}, max_new_tokens=8))
    for split in ("train", "validation", "test"):
        texts = [["a  b"], ["a  b", "the moon"]]
        rows = [
            {"id": str(n), "source": f"the cat {n}", "target": "a b", "references": texts[n % 2]}
            for n in range(4)
        ]
        write_jsonl(tmp_path / f"{split}.jsonl", rows)
    found = evaluate_kept(language_model, task, tmp_path, settings=FAST)
    outputs = [item["output"] for item in found.items]
    streams = [["a b"] * 4, [None, "the moon"] * 2]
    assert value(found, "chrf").value == pytest.approx(sacrebleu.CHRF().corpus_score(outputs, streams).score)
    assert value(found, "bleu").signature.startswith("nrefs:var|")
    assert "references:best-by-rouge1" in value(found, "rouge2").signature


@pytest.mark.parametrize(
    ("head", "task", "message"),
    [
        ("BertForMaskedLM", "perplexity", "a bert cannot do perplexity; perplexity is for models that write"),
        ("BertForMaskedLM", "code-to-docstring", "a bert cannot do code-to-docstring"),
        (
            "GPT2LMHeadModel",
            "masked-lm",
            "a gpt2 cannot do masked-lm; masked-lm is for models that fill gaps",
        ),
        (
            "BertForMaskedLM",
            "span",
            "was saved as BertForMaskedLM, which has no trained head for my-span; fine-tune it",
        ),
    ],
)
def test_a_model_that_cannot_do_a_task_is_refused(
    checkpoint: Make, data: Path, tmp_path: Path, head: str, task: str, message: str
) -> None:
    fields = {"text": "a", "source": "a", "target": "b"}
    write_jsonl(tmp_path / "test.jsonl", [{"id": "a"} | fields])
    asked, folder = (task_of(task), data / task) if task == "span" else (task, tmp_path)
    with pytest.raises(InputError, match=message) as caught:
        evaluate(checkpoint(head), asked, folder, settings=FAST)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["classification", "multi-label", "tagging"])
def test_without_train_rows_the_labels_are_the_models(
    checkpoint: Make, data: Path, tmp_path: Path, kind: str
) -> None:
    whole, *_ = measured(checkpoint, data, "Bert", kind)
    write_jsonl(tmp_path / "test.jsonl", rows_in(data / kind))
    head, labels = HEADS[kind]
    alone = evaluate_kept(checkpoint("Bert" + head, labels), task_of(kind), tmp_path, settings=FAST)
    assert alone.items == whole.items
    assert {result.family for result in alone.results} == {"bert"}, "no baseline without train rows"


def test_a_models_other_labels_are_refused(checkpoint: Make, data: Path) -> None:
    folder = checkpoint("BertForSequenceClassification", ("x", "y", "z"))
    with pytest.raises(
        InputError, match=r"id2label of config\.json has x, y, z where .* has left, middle, right"
    ):
        evaluate(folder, task_of("classification"), data / "classification", settings=FAST)


@torch.no_grad()
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("kind", "metric"), [("classification", "accuracy"), ("multi-label", "f1_micro"), ("tagging", "accuracy")]
)
def test_training_watches_what_evaluation_reports(
    checkpoint: Make, data: Path, family: str, kind: str, metric: str
) -> None:
    """Rows padded and batched by training, scored by its objective: the same share is right."""
    from pipelines.batches import Pairs
    from pipelines.examples import _KINDS
    from pipelines.objectives import objective

    found, network, tokenizer = measured(checkpoint, data, family, kind)
    task, rows = task_of(kind), rows_in(data / kind)
    examples = _KINDS[type(task)](task, tokenizer, rows, rows, 64)
    batches = Pairs(examples.members, 3, 64, tokenizer.pad_token_id, seed=0, objective=kind)
    learns = objective(kind, network, torch.float32)
    parts = [learns.measures(batches.batch(step))[metric] for step in range(batches.steps_an_epoch)]
    share = sum(value for value, _ in parts) / sum(count for _, count in parts)
    assert value(found, metric).value == pytest.approx(share)


def test_a_signature_tells_in_which_words_rows_are_asked() -> None:
    usual = PromptedClassification(name="t", verbalizers=(("good", "great"), ("bad", "poor")))
    assert wording(usual) == wording(replace(usual, name="other", metrics=("accuracy",)))
    other = (
        replace(usual, separator="\n"),
        replace(usual, verbalizers=(("good", "fine"), ("bad", "poor"))),
        TASKS["code-to-docstring"],
    )
    assert len({wording(task) for task in (usual, *other)}) == 4
