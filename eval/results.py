"""The Result record: one measured number, where it comes from, and how far it can be trusted."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from eval.files import InputError, has_hash, hash_json, read_jsonl, write_jsonl

STAGES = ("pretrain", "fetch", "finetune", "evaluate")
SPLITS = ("train", "validation", "test")
PARAM_CONVENTIONS = ("total", "non_embedding", "matmul")
CHECK = "check"  # of a line in a file: a bit that flips in a number must not become a score


@dataclass(frozen=True)
class Metric:
    """What a metric's numbers mean: which way is better, between which bounds (None: none), which unit."""

    higher_is_better: bool
    floor: float | None
    ceiling: float | None
    unit: str


_LOSS = Metric(False, 0.0, None, "nats per token")
_PERPLEXITY = Metric(False, 1.0, None, "perplexity")
_SHARE = Metric(True, 0.0, 1.0, "share")
_POINTS = Metric(True, 0.0, 100.0, "points")
_CORRELATION = Metric(True, -1.0, 1.0, "correlation")

METRICS: dict[str, Metric] = {
    "bits_per_byte": Metric(False, 0.0, None, "bits per byte"),
    "token_perplexity": _PERPLEXITY,
    "word_perplexity": _PERPLEXITY,
    "byte_perplexity": _PERPLEXITY,
    "masked_lm_loss": _LOSS,
    "pseudo_perplexity": _PERPLEXITY,
    "answer_perplexity": _PERPLEXITY,
    "answer_bits_per_byte": Metric(False, 0.0, None, "bits per byte"),
    "accuracy": _SHARE,
    "accuracy_norm": _SHARE,
    "mcc": _CORRELATION,
    "calibration_error": Metric(False, 0.0, 1.0, "share"),
    "f1_macro": _SHARE,
    "f1_micro": _SHARE,
    "f1_entity": _SHARE,
    "pearson": _CORRELATION,
    "spearman": _CORRELATION,
    "bleu": _POINTS,
    "chrf": _POINTS,
    "ter": Metric(False, 0.0, None, "points"),  # more edits than words: above 100
    "rouge1": _SHARE,
    "rouge2": _SHARE,
    "rougeL": _SHARE,
    "rougeLsum": _SHARE,
    "exact_match": _SHARE,
    "f1": _SHARE,
    "stereotype_share": Metric(False, 0.0, 1.0, "share"),  # 0.5 prefers neither sentence; see eval.tasks.base
    "toxicity_share": Metric(False, 0.0, 1.0, "share"),
    "memorised_share": Metric(False, 0.0, 1.0, "share"),
}


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a model comes from: given by whoever trained it, by nobody for a checkpoint from elsewhere.

    `tokens` are those seen and `unique_tokens` those distinct; `flops` are model FLOPs, cumulative over
    stages, with this stage's own in `stage_flops`; `params` has the keys of `PARAM_CONVENTIONS`.
    """

    run: str | None = None
    stage: str | None = None
    family: str | None = None
    objective: str | None = None
    rung: str | None = None
    params: dict[str, int] | None = None
    tokens: int | None = None
    unique_tokens: int | None = None
    flops: float | None = None
    stage_flops: float | None = None
    step: int | None = None
    annealed: bool | None = None
    seed: int | None = None
    model_fingerprint: str | None = None


@dataclass(frozen=True, kw_only=True)
class Result:
    """One metric of one model on one split. `None` is allowed only with its reason in `missing`.

    `stage` says what was measured: "pretrain" a pretrained model, "finetune" a fine-tuned one, "fetch" one
    that was there before the run, before any training in it; "evaluate" a checkpoint from elsewhere or a
    baseline. Scales are the libraries' own: see `METRICS`.
    Raises `InputError` on construction when the record contradicts itself.
    """

    run: str | None
    stage: str
    family: str | None
    objective: str | None
    rung: str | None
    params: dict[str, int] | None
    tokens: int | None
    unique_tokens: int | None
    flops: float | None
    stage_flops: float | None
    step: int | None
    annealed: bool | None
    seed: int | None
    task: str
    split: str
    metric: str
    value: float | None
    stderr: float | None
    n: int | None
    higher_is_better: bool
    floor: float | None
    ceiling: float | None
    signature: str | None
    model_fingerprint: str | None
    data_fingerprint: str | None
    versions: dict[str, str]
    seconds: float | None
    missing: dict[str, str]

    def __post_init__(self) -> None:
        _check_types(self)
        _check_words(self)
        _check_missing(self)
        _check_numbers(self)

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Result:
        """A Result from one JSON object; `InputError` for fields unknown or absent."""
        names = field_names()
        if unknown := sorted(set(row) - set(names)):
            raise InputError(f"result: unknown field {unknown[0]!r}; the fields are {', '.join(names)}")
        if absent := [name for name in names if name not in row]:
            raise InputError(f"result: no field {absent[0]!r}; write null and say why in 'missing'")
        return cls(**row)

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON-able values, in the order of the fields."""
        return {name: getattr(self, name) for name in field_names()}


@cache
def field_names() -> tuple[str, ...]:
    """The fields of a result in order; looked up once, as tables of results are long."""
    return tuple(field.name for field in dataclasses.fields(Result))


def read_results(path: Path) -> list[Result]:
    """The results of a JSON Lines file; `InputError` says which record is wrong and how.

    A record with a `check` must hash to it; one that somebody wrote by hand may go without.
    """
    results = []
    for number, row in enumerate(read_jsonl(path), start=1):
        try:
            check = row.pop(CHECK, None)
            if check is not None and not has_hash(row, check):
                raise InputError(
                    "does not have the hash it was written with; make the file again, or remove "
                    "`check` from a line that you changed yourself"
                )
            results.append(Result.from_dict(row))
        except InputError as error:
            raise InputError(f"{path}: record {number}: {error}") from error
    return results


def write_results(path: Path, results: Iterable[Result]) -> None:
    """Write results as JSON Lines, atomically, each with the hash of its fields as `check`."""
    rows = (result.to_dict() for result in results)
    write_jsonl(path, (row | {CHECK: hash_json(row)} for row in rows))


def same(a: Result, b: Result) -> bool:
    """Whether two results agree in all fields but the time they took."""
    return _without_time(a) == _without_time(b)


def _without_time(result: Result) -> dict[str, Any]:
    row = result.to_dict()
    row["missing"] = {field: reason for field, reason in result.missing.items() if field != "seconds"}
    del row["seconds"]
    return row


# What a field may hold beside None.
_TYPES: dict[str, tuple[type, str]] = {
    **dict.fromkeys(
        ("run", "stage", "family", "objective", "rung", "task", "split", "metric"), (str, "text")
    ),
    **dict.fromkeys(("signature", "model_fingerprint", "data_fingerprint"), (str, "text")),
    **dict.fromkeys(("tokens", "unique_tokens", "step", "seed", "n"), (int, "a whole number")),
    **dict.fromkeys(("annealed", "higher_is_better"), (bool, "true or false")),
    **dict.fromkeys(("params", "versions", "missing"), (dict, "an object")),
}
_LARGEST = 10**30  # of whole numbers: beyond any run, and well within a float


def _check_types(result: Result) -> None:
    for field, (kind, words) in _TYPES.items():
        value = getattr(result, field)
        if value is None and field not in ("versions", "missing"):
            continue
        if not isinstance(value, kind) or (kind is int and not _is_count(value)):
            raise InputError(f"result: {field} is {value!r:.60}; {words} is wanted")
    for name, value in (result.params or {}).items():
        if value is not None and not _is_count(value):
            raise InputError(f"result: params[{name!r:.40}] is {value!r:.60}; a whole number is wanted")


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < _LARGEST


def _check_words(result: Result) -> None:
    for field, allowed in (("stage", STAGES), ("split", SPLITS), ("metric", tuple(METRICS))):
        value = getattr(result, field)
        if value not in allowed:
            raise InputError(f"result: {field} is {value!r}; one of {', '.join(allowed)} is wanted")
    if not isinstance(result.task, str) or not result.task:
        raise InputError(f"result: task is {result.task!r}; name the task")
    if result.higher_is_better is not METRICS[result.metric].higher_is_better:
        raise InputError(
            f"result: higher_is_better is {result.higher_is_better!r}, wrong for {result.metric}"
        )
    if result.params is not None and set(result.params) != set(PARAM_CONVENTIONS):
        raise InputError(f"result: params has {sorted(result.params)}; give {', '.join(PARAM_CONVENTIONS)}")


def _check_missing(result: Result) -> None:
    fields = field_names()
    for field, reason in result.missing.items():
        if field not in fields:
            raise InputError(f"result: missing names {field!r}, which is no field of a result")
        if getattr(result, field) is not None:
            raise InputError(f"result: {field} has a value and also a reason why it is missing; keep one")
        if not isinstance(reason, str) or not reason.strip():
            raise InputError(f"result: missing[{field!r}] is empty; say why {field} is missing")
    for field in sorted(fields):
        if getattr(result, field) is None and field not in result.missing:
            raise InputError(f"result: {field} is null without a reason; say why in 'missing'")


def _check_numbers(result: Result) -> None:
    for field in ("value", "stderr", "flops", "stage_flops", "floor", "ceiling", "seconds"):
        value = getattr(result, field)
        if value is None:
            continue
        if (
            isinstance(value, bool)
            or not isinstance(value, (int, float))
            or not abs(value) <= sys.float_info.max
        ):
            raise InputError(f"result: {field} is {value!r:.60}; give a finite number, or null with a reason")
    for field in ("stderr", "n", "tokens", "unique_tokens", "flops", "stage_flops", "seconds"):
        value = getattr(result, field)
        if value is not None and value < 0:
            raise InputError(f"result: {field} is {value!r}; it cannot be negative")
