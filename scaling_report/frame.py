"""Results -> checked series: one per metric that may be fitted together, one point per trained run."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from eval.files import InputError
from eval.results import METRICS, STAGES, Result, same
from scaling_report.budgets import split_by_budget
from scaling_report.titles import free_id, with_own_titles

AXES = ("non_embedding", "total", "matmul", "flops", "tokens")
BASELINE_FAMILY = "baseline"
# Tasks that measure running text: they come first, and their metrics say what is measured.
CORPUS_TASKS = ("perplexity", "masked-lm", "pseudo-perplexity")
METRIC_NAMES = {
    "bits_per_byte": "bits per byte",
    "token_perplexity": "perplexity per token",
    "word_perplexity": "perplexity per word",
    "byte_perplexity": "perplexity per byte",
    "masked_lm_loss": "masked-LM loss",
    "pseudo_perplexity": "pseudo-perplexity",
    "answer_perplexity": "perplexity of answers",
    "answer_bits_per_byte": "bits per byte of answers",
    "accuracy": "accuracy",
    "accuracy_norm": "accuracy by length",
    "f1_macro": "macro F1",
    "f1_micro": "micro F1",
    "f1_entity": "entity F1",
    "mcc": "Matthews correlation",
    "calibration_error": "calibration error",
    "pearson": "Pearson correlation",
    "spearman": "Spearman correlation",
    "bleu": "BLEU",
    "chrf": "chrF",
    "ter": "TER",
    "rouge1": "ROUGE-1",
    "rouge2": "ROUGE-2",
    "rougeL": "ROUGE-L",
    "rougeLsum": "ROUGE-Lsum",
    "exact_match": "exact match",
    "f1": "F1",
    "stereotype_share": "stereotyped share",
    "toxicity_share": "toxic share",
    "memorised_share": "memorised share",
}


@dataclass(frozen=True, kw_only=True)
class Point:
    """One run's value. `x` has every axis of `AXES`, None where the result did not know it."""

    rung: str
    seed: int | None
    x: Mapping[str, float | None]
    value: float
    stderr: float | None
    n: int | None
    seconds: float | None = None
    """How long all n items took."""


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """What a score is worth without a model, e.g. always answering the majority class."""

    name: str
    value: float
    stderr: float | None
    n: int | None


@dataclass(frozen=True, kw_only=True)
class Series:
    """Points that measure the same thing on the same data, smallest rung first."""

    id: str
    title: str
    task: str
    metric: str
    split: str
    stage: str
    family: str | None
    objective: str | None
    signature: str | None
    data_fingerprint: str | None
    higher_is_better: bool
    floor: float | None
    ceiling: float | None
    unit: str
    length: str | None
    """To which of several budgets its runs were trained, in words; None where there was one."""
    run: str | None = None
    """The run whose results these are, where runs are kept apart; None where they are read together."""
    apart: str | None = None
    """What tells it from the series of the same title, in words: "GPT-2"; None where its title is its own."""
    points: tuple[Point, ...]
    baselines: tuple[Baseline, ...]

    @property
    def rungs(self) -> tuple[str, ...]:
        """The rungs' names, smallest first."""
        return tuple(dict.fromkeys(point.rung for point in self.points))


@dataclass(frozen=True)
class LeftOut:
    """A result that is in no series, and why."""

    what: str
    reason: str


@dataclass(frozen=True)
class Frame:
    """Every series of a table, and everything that could not be part of one."""

    series: tuple[Series, ...]
    left_out: tuple[LeftOut, ...]


def from_results(results: Iterable[Result], x: str = "non_embedding", *, by_run: bool = False) -> Frame:
    """Sort results into series, in reading order: language modelling before tasks, test before train.

    A rung that was trained to several lengths has a point in a series for each, the longest first: a law over
    size must not mix them. With `by_run` different runs have series of their own. `x` is the axis that orders
    the rungs. Series that would have the same title say what differs. Left out and listed: missing values,
    runs whose learning rate had not decayed, results without a rung, exact repeats. Raises `InputError` where
    one run has two different values.
    """
    left_out: Counter[LeftOut] = Counter()
    groups: dict[tuple[str | None, ...], list[Result]] = defaultdict(list)
    baselines: list[Result] = []
    for result in results:
        if reason := _why_unfit(result):
            left_out[LeftOut(_name(result), reason)] += 1
        elif result.family == BASELINE_FAMILY:
            baselines.append(result)
        else:
            groups[(*_kind(result), result.run if by_run else None)].append(result)
    series = []
    taken: set[str] = set()
    for group in sorted(groups.values(), key=_reading_order):
        runs, repeats = _drop_repeats(group)
        left_out.update(repeats)
        run = group[0].run if by_run else None
        parts = split_by_budget(runs)
        series += [replace(_make_series(part, baselines, x, taken, word), run=run) for part, word in parts]
    return Frame(with_own_titles(series), _counted(left_out))


def _kind(result: Result) -> tuple[str | None, ...]:
    """What must agree before two values may stand in one fit."""
    return (
        result.family,
        result.objective,
        result.stage,
        result.task,
        result.split,
        result.metric,
        result.signature,
        result.data_fingerprint,
    )


def _why_unfit(result: Result) -> str | None:
    if result.value is None:
        return f"no value: {result.missing['value']}"
    if "/" in result.task:
        return "a part of a task's items, which is in results.jsonl; laws are fitted to all of them"
    if result.family == BASELINE_FAMILY:
        return None
    if result.rung is None:
        return f"no rung, so no size to plot it against: {result.missing['rung']}"
    if result.annealed is False:
        return "its learning rate had not decayed, so this is not a final value"
    return None


def _name(result: Result) -> str:
    seed = "" if result.seed is None else f", seed {result.seed}"
    who = result.rung or result.family or "a model without a name"
    return f"{who}{seed}: {_title(result)}"


def _title(result: Result) -> str:
    metric = METRIC_NAMES[result.metric]
    if result.task not in CORPUS_TASKS:
        return f"{result.task}: {metric}, {result.split}"
    if result.stage == "pretrain":
        return f"{metric[0].upper()}{metric[1:]}, {result.split}"
    if result.stage == "fetch":
        return f"{metric[0].upper()}{metric[1:]} of the models as they came, {result.split}"
    return f"{result.task}: {metric}, {result.split}"


def _reading_order(group: Sequence[Result]) -> tuple[object, ...]:
    first = group[0]
    splits = ("test", "validation", "train")
    return (
        STAGES.index(first.stage),
        first.task not in CORPUS_TASKS,
        first.task,
        splits.index(first.split),
        list(METRICS).index(first.metric),
        *("" if word is None else word for word in _kind(first)),
    )


def _drop_repeats(group: Sequence[Result]) -> tuple[list[Result], Counter[LeftOut]]:
    """One result per trained run; a repeat that says the same is dropped, a contradiction is an error."""
    kept: dict[tuple[object, ...], Result] = {}
    repeats: Counter[LeftOut] = Counter()
    for result in group:
        run = (result.run, result.rung, result.seed, result.tokens)
        first = kept.setdefault(run, result)
        if first is result:
            continue
        if not same(first, result):
            raise InputError(
                f"results: {_name(result)}: {first.value!r} and also {result.value!r}; remove one of them"
            )
        repeats[LeftOut(_name(result), "the same result stands in the table twice; counted once")] += 1
    return list(kept.values()), repeats


def _make_series(
    runs: Sequence[Result], baselines: Sequence[Result], x: str, taken: set[str], length: str | None
) -> Series:
    """`length`: to which of several budgets the runs were trained; None where there is one."""
    first = runs[0]
    return Series(
        id=free_id("-".join((first.stage, first.task, first.metric, first.split, length or "")), taken),
        title=_title(first) + (f", at {length}" if length else ""),
        task=first.task,
        metric=first.metric,
        split=first.split,
        stage=first.stage,
        family=first.family,
        objective=first.objective,
        signature=first.signature,
        data_fingerprint=first.data_fingerprint,
        higher_is_better=first.higher_is_better,
        floor=first.floor,
        ceiling=first.ceiling,
        unit=METRICS[first.metric].unit,
        length=length,
        points=tuple(sorted((_point(run) for run in runs), key=lambda point: _size_order(point, x))),
        baselines=_matching(first, baselines),
    )


def _point(run: Result) -> Point:
    assert run.rung is not None
    assert run.value is not None
    return Point(
        rung=run.rung,
        seed=run.seed,
        x={axis: _coordinate(run, axis) for axis in AXES},
        value=run.value,
        stderr=run.stderr,
        n=run.n,
        seconds=run.seconds,
    )


def _coordinate(run: Result, axis: str) -> float | None:
    if axis in ("flops", "tokens"):
        value = run.flops if axis == "flops" else run.tokens
    else:
        value = None if run.params is None else run.params[axis]
    return float(value) if value else None  # a size of zero has no place on a logarithmic axis


def _size_order(point: Point, x: str) -> tuple[float, str, int]:
    size = point.x[x]
    return (float("inf") if size is None else size, point.rung, -1 if point.seed is None else point.seed)


def _matching(model: Result, baselines: Sequence[Result]) -> tuple[Baseline, ...]:
    """The baselines of the same metric and data; their signatures differ, saying how they were found."""
    found: dict[str, Baseline] = {}
    wanted = (model.task, model.split, model.metric, model.data_fingerprint)
    for result in baselines:
        if (result.task, result.split, result.metric, result.data_fingerprint) == wanted:
            assert result.value is not None
            name = result.rung or "baseline"
            found[name] = Baseline(name=name, value=result.value, stderr=result.stderr, n=result.n)
    return tuple(found.values())


def _counted(left_out: Counter[LeftOut]) -> tuple[LeftOut, ...]:
    return tuple(
        entry if times == 1 else LeftOut(entry.what, f"{entry.reason} ({times} times)")
        for entry, times in left_out.items()
    )
