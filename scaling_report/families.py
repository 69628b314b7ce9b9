"""Which series may be compared on the same axis, and what the comparison says: laws.json's `comparisons`."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import asdict
from itertools import combinations
from typing import Any

import numpy as np

from scaling_report.comparison_words import compare_sentences, quantity_of_both
from scaling_report.exponents import ExponentTest as Test
from scaling_report.exponents import Ladder, compare_exponents, find_crossing, holm
from scaling_report.forecast import choose_curve
from scaling_report.frame import Series
from scaling_report.laws import LAWS
from scaling_report.settings import ReportSettings
from scaling_report.target import Target, targets_of
from scaling_report.titles import data_name, family_name, stage_name
from scaling_report.trend import find_trend
from scaling_report.wording import AXIS_NAMES, capital, count

REPLICATES = 1000  # refits behind each p-value: the smallest that can come of them is 0.002
REPLICATES_A_PAIR = 100  # so that after Holm, too, the smallest is below 0.05
# Of text, the same for every tokenizer. Perplexities are the same loss by another name: not tested again.
TEXT_METRICS = ("bits_per_byte", "answer_bits_per_byte")
TOKEN_METRICS = (
    "masked_lm_loss",
    "pseudo_perplexity",
)  # per token: comparable within a run, of one tokenizer
ANSWER_METRICS = (
    "accuracy", "accuracy_norm", "f1_macro", "f1_micro", "f1_entity", "mcc", "exact_match", "f1",
    "bleu", "chrf", "ter", "rouge1", "rouge2", "rougeL", "rougeLsum", "pearson", "spearman",
)  # fmt: skip
# What two models may be measured with each in its own way, the value meaning the same; said where it differs.
FREE_PARTS = (
    "context", "stride", "dtype", "errors", "words", "begin", "shots",
    "max_new_tokens", "stop", "label", "likelihood",
)  # fmt: skip
NOTHING_TO_COMPARE = (
    "No two series measure the same thing and differ in one of family, stage, data, objective or run alone."
)


def compare_families(series: Sequence[Series], settings: ReportSettings) -> dict[str, Any]:
    """The keys comparisons, not_compared and no_comparison_reason of laws.json.

    Pairs are tested on the first axis of `settings`, over all rungs, hidden ones included: a comparison says
    what was measured and forecasts nothing. p-values are adjusted by Holm over all pairs of the report.
    """
    pairs = [(a, b, found) for a, b in combinations(series, 2) if (found := differs_in(a, b))]
    compared, skipped = [], []
    for a, b, differs in pairs:
        tested = _test(a, b, settings, max(REPLICATES, REPLICATES_A_PAIR * len(pairs)))
        if isinstance(tested, str):
            what = f"{quantity_of_both(a, b)}: {' and '.join(_names(a, b, differs))}"
            skipped.append({"what": what, "reason": tested})
        else:
            compared.append((a, b, differs, tested))
    adjusted = holm([test.p_value for *_, test in compared])
    entries = [
        _entry(a, b, differs, test, p, len(compared), settings)
        for (a, b, differs, test), p in zip(compared, adjusted, strict=True)
    ]
    reason = None if entries else NOTHING_TO_COMPARE if not pairs else skipped[0]["reason"]
    return {"comparisons": entries, "not_compared": skipped, "no_comparison_reason": reason}


def differs_in(a: Series, b: Series) -> str | None:
    """The one thing that two comparable series differ in: family, stage, data, objective or run.

    None where they are not comparable: more or nothing differs, or the values do not mean the same. A family
    or a stage brings its own objective, and families come from runs of their own; an objective that differs
    so only keeps apart what depends on it, as bits per byte do.
    """
    if (a.metric, a.split, a.length) != (b.metric, b.split, b.length) or not _mean_the_same(a, b):
        return None
    differing = [
        name
        for name, parts in (
            ("family", ("family",)),
            ("stage", ("stage",)),
            ("data", ("task", "data_fingerprint")),
        )
        if any(getattr(a, part) != getattr(b, part) for part in parts)
    ]
    if len(differing) > 1:
        return None
    if differing:
        alone = {"stage": a.run == b.run, "data": a.objective == b.objective}
        return differing[0] if alone.get(differing[0], True) else None
    if a.objective != b.objective:
        return "objective"
    return "run" if a.run != b.run else None


def _mean_the_same(a: Series, b: Series) -> bool:
    if a.metric in TEXT_METRICS:
        if a.objective != b.objective:
            return False
    elif a.metric in TOKEN_METRICS:
        if (a.objective, a.run, a.family) != (b.objective, b.run, b.family):
            return False
    elif a.metric not in ANSWER_METRICS:
        return False
    return all(part.split(":")[0] in FREE_PARTS for part in _own_parts(a, b) + _own_parts(b, a))


def _own_parts(a: Series, b: Series) -> list[str]:
    """What the signature of `a` says and that of `b` does not."""
    theirs = (b.signature or "").split("|")
    return [part for part in (a.signature or "").split("|") if part and part not in theirs]


def _names(a: Series, b: Series, differs: str) -> tuple[str, str]:
    """The two by what they differ in."""
    return _name(a, b, differs), _name(b, a, differs)


def _name(one: Series, other: Series, differs: str) -> str:
    if differs == "family":
        return family_name(one.family)
    if differs == "stage":
        return stage_name(one.stage)
    if differs == "objective":
        return one.objective or "objective unknown"
    if differs == "run":
        return one.run or "run unknown"
    if one.task != other.task:
        return one.task
    return one.run if one.run and one.run != other.run else data_name(one.data_fingerprint)


def _test(a: Series, b: Series, settings: ReportSettings, replicates: int) -> Test | str:
    """The test, or in words why there is none."""
    axis, target = settings.x[0], targets_of(a)[0]
    ladders = [_ladder(one, axis, target) for one in (a, b)]
    fewest = min(len(one.rungs) for one in ladders)
    if fewest < LAWS["power"].sizes_needed:
        return f"{capital(count(fewest, 'size'))} to fit in one of them; it takes three or more."
    if not any(find_trend(one.points, axis).moves for one in (a, b)):
        return "Neither shows a trend with size, so neither has an exponent."
    # the simplest unless both are better forecast by the other: exponents of two laws are not comparable
    chosen = {choose_curve(one.x, np.exp(one.log_y)) for one in ladders}
    law = chosen.pop() if len(chosen) == 1 else "power"
    seed = zlib.crc32(f"{settings.seed} {a.id} {b.id} {axis}".encode())
    return compare_exponents(ladders[0], ladders[1], law or "power", replicates=replicates, seed=seed)


def _ladder(series: Series, axis: str, target: Target) -> Ladder:
    """Means of ln y over the seeds of each rung; runs without a place or above zero are not in it."""
    found: dict[tuple[str, float], list[tuple[int | None, float]]] = {}
    for point in series.points:
        x, y = point.x[axis], float(target.to_law(np.array(point.value)))
        if x is not None and y > 0:
            found.setdefault((point.rung, x), []).append((point.seed, float(np.log(y))))
    return Ladder(
        rungs=tuple(rung for rung, _ in found),
        seeds=tuple(frozenset(seed for seed, _ in runs) for runs in found.values()),
        x=np.array([x for _, x in found]),
        log_y=np.array([np.mean([y for _, y in runs]) for runs in found.values()]),
    )


def _entry(
    a: Series, b: Series, differs: str, test: Test, p_holm: float, of: int, settings: ReportSettings
) -> dict[str, Any]:
    target, names = targets_of(a)[0], _names(a, b, differs)
    crossing = find_crossing(test, settings.level)
    entry: dict[str, Any] = {
        "a": a.id,
        "b": b.id,
        "names": list(names),
        "differs_in": differs,
        "what": quantity_of_both(a, b),
        "metric": a.metric,
        "x": settings.x[0],
        "law": test.law,
        "formula": LAWS[test.law].formula.replace("y", target.symbol, 1),
        "exponents": [one.parameters["b"] for one in test.fits],
        "standard_errors": list(test.errors),
        "difference": test.difference,
        "interval": list(test.interval),
        "p_value": test.p_value,
        "p_holm": p_holm,
        "comparisons_in_all": of,
        "paired": test.paired,
        "sizes": [len(test.a.rungs), len(test.b.rungs)],
        "refits": test.replicates,
        "level": settings.level,
        "offset": _offset(test, target, settings.level),
        "crossing": {**asdict(crossing), "interval": list(crossing.interval)} if crossing else None,
        "notes": _notes(a, b, differs, test, settings),
    }
    return {**entry, "sentences": compare_sentences(entry)}


def _offset(test: Test, target: Target, level: float) -> dict[str, Any]:
    """How much higher a's curve is than b's at the largest size both reach, in the metric's unit."""
    at = np.array([min(float(test.a.x.max()), float(test.b.x.max()))])
    values = [float(target.from_law(one.predict(at))[0]) for one in test.fits]
    drawn = [target.from_law(solutions.predict(at)[:, 0]) for solutions in test.refits]
    low, high = np.quantile(drawn[0] - drawn[1], ((1 - level) / 2, (1 + level) / 2))
    return {
        "x": float(at[0]),
        "values": values,
        "difference": values[0] - values[1],
        "interval": [float(low), float(high)],
    }


def _notes(a: Series, b: Series, differs: str, test: Test, settings: ReportSettings) -> list[str]:
    notes = []
    parts = (" ".join(_own_parts(a, b)) or "nothing", " ".join(_own_parts(b, a)) or "nothing")
    if parts != ("nothing", "nothing"):
        notes.append(f"Measured with {parts[0]} in one and {parts[1]} in the other.")
    if differs == "data":
        notes.append("On other data the levels differ by how hard the data are, too.")
    if a.run != b.run and differs == "family":
        notes.append("The two come from runs of their own, which may differ in more than the family.")
    if differs == "run":
        notes.append("Whatever the two recipes have different may be behind it.")
    if not test.paired:
        notes.append("Too few rungs match in size and seeds for a paired test, so each was drawn by itself.")
    elif len(test.a.rungs) < max(len(one.rungs) for one in (a, b)):
        notes.append("Only rungs that both have are in the test.")
    if np.ptp(np.log(test.a.x)) and (test.a.x.max() < test.b.x.min() or test.b.x.max() < test.a.x.min()):
        notes.append(f"They have no {AXIS_NAMES[settings.x[0]]} in common.")
    return notes
