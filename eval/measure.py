"""Ask a model what a task asks, and score the answers: one function for each kind of task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from eval.baselines import best_constant, majority_label
from eval.files import InputError, hash_json
from eval.metrics import ItemMetric, Score, metric_by_name, score
from eval.metrics.surprise import Estimate, bits_per_byte, perplexity
from eval.model import Model, classify, generate, score_texts
from eval.requests import ClassifyRequest, GenerateRequest, ScoreRequest
from eval.settings import EvalSettings
from eval.tasks.base import Classification, Generation, LanguageModelling, Row, Task
from eval.tasks.encoding import begin_id, encode_for_label, encode_prompts, encode_texts, stop_ids
from eval.tasks.rows import choose_evenly, read_rows


@dataclass(frozen=True)
class Baseline:
    """What needs no model, scored like one: its name and its scores."""

    name: str
    scores: list[Score]


@dataclass(frozen=True)
class Measured:
    """What was found: scores over all items, statistics of each item, samples to look at."""

    scores: list[Score]
    items: list[dict[str, Any]]
    samples: list[dict[str, str]] = field(default_factory=list)
    baselines: list[Baseline] = field(default_factory=list)


def measure(
    model: Model, task: Task, rows: Sequence[Row], data: Path, settings: EvalSettings, seed: int
) -> Measured:
    """Measure `rows`; `data` is the task's folder, whose other splits make the baselines."""
    if isinstance(task, LanguageModelling):
        return measure_perplexity(model, task, rows, settings)
    if isinstance(task, Generation):
        return measure_generation(model, task, rows, data, settings, seed)
    return measure_classification(model, task, rows, data, settings, seed)


def measure_perplexity(
    model: Model, task: LanguageModelling, rows: Sequence[Row], settings: EvalSettings
) -> Measured:
    """Bits per byte and perplexities of whole documents, each after the begin token; errors by document."""
    stride = settings.stride or model.context // 2
    if stride > model.context:
        raise InputError(f"eval.stride: {stride} is more than the context, {model.context} tokens; lower it")
    begin = begin_id(model.tokenizer)
    texts = encode_texts(model.tokenizer, [row["text"] for row in rows])
    requests = [ScoreRequest([begin, *ids]) for ids in texts]
    answers = score_texts(model, requests, stride=stride, batch_tokens=settings.batch_tokens)
    nats = np.array([answer.nats for answer in answers])
    tokens = np.array([answer.tokens for answer in answers], dtype=np.float64)
    num_bytes = np.array([_bytes(row) for row in rows], dtype=np.float64)
    if not num_bytes.sum():
        raise InputError(f"{task.name}: all {len(rows)} documents are empty; give some text")

    how = f"{_forward(model)}|stride:{stride}|begin:yes"
    # Perplexities per token of different tokenizers are different metrics.
    vocabulary = f"|vocabulary:{hash_json(model.tokenizer.get_vocab())}"
    estimates = {
        "bits_per_byte": (bits_per_byte(nats, num_bytes), how),
        "token_perplexity": (perplexity(nats, tokens), how + vocabulary),
        "byte_perplexity": (perplexity(nats, num_bytes), how),
    }
    items = [
        {"id": row["id"], "nats": answer.nats, "tokens": answer.tokens, "bytes": int(size)}
        for row, answer, size in zip(rows, answers, num_bytes, strict=True)
    ]
    return Measured([_over_documents(name, *estimates[name], len(rows)) for name in task.metrics], items)


def measure_generation(
    model: Model, task: Generation, rows: Sequence[Row], data: Path, settings: EvalSettings, seed: int
) -> Measured:
    """Greedy texts against references; the baseline writes one training target under everything."""
    prompts = encode_prompts(task, model.tokenizer, rows, model.context)
    requests = [GenerateRequest(prompt, task.max_new_tokens) for prompt in prompts]
    stops = stop_ids(model.tokenizer)
    written = generate(model, requests, stops=stops, batch_tokens=settings.batch_tokens)
    outputs = [_first_line(text) for text in model.tokenizer.batch_decode(written, skip_special_tokens=True)]
    references = [task.reference(row) for row in rows]

    metrics = [metric_by_name(name) for name in task.metrics]
    how = f"greedy|max_new_tokens:{task.max_new_tokens}|stop:eos,newline|{_forward(model)}"
    scores, statistics = _score_all(metrics, outputs, references, how, settings, seed, _groups(rows))
    read = model.tokenizer.batch_decode(prompts, skip_special_tokens=True)
    return Measured(
        scores=scores,
        items=[
            {"id": row["id"], "output": output}
            | {name: table[i].tolist() for name, table in statistics.items()}
            for i, (row, output) in enumerate(zip(rows, outputs, strict=True))
        ],
        samples=_samples(rows, read, references, outputs, settings.samples),
        baselines=[_constant_baseline(task, metrics, rows, data, settings, seed)],
    )


def measure_classification(
    model: Model, task: Classification, rows: Sequence[Row], data: Path, settings: EvalSettings, seed: int
) -> Measured:
    """Predicted against true labels; the baseline says the most frequent training label always."""
    train_labels = [task.label(row) for row in read_rows(task, data, "train")]
    labels = sorted(set(train_labels))
    references = [task.label(row) for row in rows]
    if unknown := sorted(set(references) - set(labels)):
        raise InputError(f"{data}: label {unknown[0]!r} is not in train; add rows or remove it")
    names = _class_names(model, labels)
    encoded = encode_for_label(task, model.tokenizer, rows, model.context)
    requests = [ClassifyRequest(text.ids) for text in encoded]
    logits = classify(model, requests, batch_tokens=settings.batch_tokens)
    outputs = [names[index] for index in logits.argmax(-1).tolist()]

    metrics = [metric_by_name(name, labels) for name in task.metrics]
    scores, _ = _score_all(metrics, outputs, references, _forward(model), settings, seed, _groups(rows))
    constant = [majority_label(train_labels)] * len(rows)
    how = "always the most frequent train label"
    always, _ = _score_all(metrics, constant, references, how, settings, seed, _groups(rows))
    read = [task.text(row) for row in rows]
    return Measured(
        scores=scores,
        items=[
            {"id": row["id"], "label": label, "output": output}
            for row, label, output in zip(rows, references, outputs, strict=True)
        ],
        samples=_samples(rows, read, references, outputs, settings.samples),
        baselines=[Baseline("majority-class", always)],
    )


def _score_all(
    metrics: Sequence[ItemMetric],
    outputs: Sequence[str],
    references: Sequence[str],
    how: str,
    settings: EvalSettings,
    seed: int,
    groups: Sequence[str] | None,
) -> tuple[list[Score], dict[str, Any]]:
    """Every metric's score, with `how` the outputs came about in its signature, and its item statistics."""
    statistics = {metric.name: metric.statistics(outputs, references) for metric in metrics}
    return [
        score(
            metric, statistics[metric.name], groups=groups, replicates=settings.bootstrap, seed=seed
        ).signed(how)
        for metric in metrics
    ], statistics


def _constant_baseline(
    task: Generation,
    metrics: Sequence[ItemMetric],
    rows: Sequence[Row],
    data: Path,
    settings: EvalSettings,
    seed: int,
) -> Baseline:
    references = [task.reference(row) for row in rows]
    candidates = [task.reference(row) for row in read_rows(task, data, "train")]
    tuned_on = [task.reference(row) for row in read_rows(task, data, "validation")]
    constant = best_constant(candidates, tuned_on)
    how = "one train target for all, the best of all by BLEU on validation"
    always = [constant] * len(references)
    scores, _ = _score_all(metrics, always, references, how, settings, seed, _groups(rows))
    return Baseline("best-constant", scores)


def _over_documents(metric: str, estimate: Estimate, signature: str, documents: int) -> Score:
    reason = "one document has no spread" if estimate.stderr is None else None
    return Score(metric, estimate.value, estimate.stderr, documents, signature, reason)


def _groups(rows: Sequence[Row]) -> list[str] | None:
    """The rows' `group` names; None where rows have none, and so are taken for independent."""
    return [str(row["group"]) for row in rows] if all("group" in row for row in rows) else None


def _forward(model: Model) -> str:
    return f"context:{model.context}|dtype:{model.dtype}"


def _bytes(row: Row) -> int:
    """UTF-8 bytes of the document as found: the row's own count where it has one."""
    return int(row["bytes"]) if "bytes" in row else len(row["text"].encode("utf-8"))


def _first_line(text: str) -> str:
    return text.split("\n", 1)[0].strip()


def _class_names(model: Model, labels: Sequence[str]) -> dict[int, str]:
    """The model's own name of each class; it must know the task's labels and no others."""
    names = {int(index): str(name) for index, name in model.network.config.id2label.items()}
    if sorted(names.values()) != list(labels):
        raise InputError(
            f"config.json: id2label has {', '.join(sorted(names.values()))} where the task's labels are "
            f"{', '.join(labels)}; fine-tune with id2label set to them"
        )
    return names


def _samples(
    rows: Sequence[Row], read: Sequence[str], references: Sequence[str], outputs: Sequence[str], count: int
) -> list[dict[str, str]]:
    """`count` items, evenly spaced over the file: neighbours often come from one source file."""
    items = [
        {"id": row["id"], "prompt": prompt, "reference": reference, "output": output}
        for row, prompt, reference, output in zip(rows, read, references, outputs, strict=True)
    ]
    return choose_evenly(items, count)
