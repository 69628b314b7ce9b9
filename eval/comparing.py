"""Whether two models differ on what both have measured: paired tests, adjusted for there being many."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from eval.files import InputError
from eval.metrics import metric_by_name
from eval.pairing import (
    Array,
    Items,
    Measured,
    Pair,
    Side,
    differing_items,
    differing_signature,
    find_side,
    pair_up,
    read_items,
)
from eval.results import METRICS
from eval.significance import (
    Difference,
    SeedSpread,
    approximate_randomisation,
    holm,
    mcnemar,
    paired_bootstrap,
    seed_spread,
)

LEVEL = 0.05
BOOTSTRAP, RANDOMISATION = 1000, 10_000  # sacreBLEU's numbers
_PER_TOKEN = ("token_perplexity", "masked_lm_loss", "pseudo_perplexity")
_BEST_BETWEEN = ("stereotype_share",)  # neither most nor least is best of these


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One metric of one task on the same items: `difference` is B's value less A's, with its 95 % interval.

    `p` is that of the test named by `test`, which decides; `p_holm` is adjusted for all comparisons made.
    None where a test does not apply, with a `reason` where none did.
    """

    task: str
    split: str
    metric: str
    rung: str | None
    seed: int | None
    n: int
    a: float
    b: float
    difference: float | None
    interval: tuple[float, float] | None
    p_bootstrap: float | None
    p_randomisation: float | None
    p_mcnemar: float | None
    test: str | None
    p: float | None
    p_holm: float | None
    verdict: str
    reason: str | None = None


@dataclass(frozen=True)
class Refused:
    """What was not compared, and why."""

    what: str
    reason: str


@dataclass(frozen=True)
class Comparison:
    """All of it. `spreads`: by side, how far seeds of one rung lie apart, where a run has several."""

    a: str
    b: str
    compared: tuple[Compared, ...]
    refused: tuple[Refused, ...]
    spreads: dict[str, tuple[SeedSpread, ...]]

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return dataclasses.asdict(self)


def compare(a: Path, b: Path, *, seed: int = 0, replicates: int | None = None) -> Comparison:
    """B against A in every task and metric that both folders have (`eval.pairing.find_side`: which may be).

    Corpus metrics: paired bootstrap (interval, p) and approximate randomisation, which decides. Metrics of
    right or wrong items: McNemar's exact test decides, unless items come in groups, for it takes them for
    independent. `replicates` are both tests', by default 1,000 and 10,000. Raises `InputError` where there is
    nothing to compare.
    """
    first, second = find_side(Path(a)), find_side(Path(b))
    pairs = pair_up(first, second)
    compared: list[Compared] = []
    refused: list[Refused] = []
    for pair in pairs:
        found, left = _compare_pair(pair, seed, replicates)
        compared += found
        refused += left
    return Comparison(
        str(a),
        str(b),
        tuple(_judged(compared)),
        tuple(refused),
        {
            side: spreads
            for side, spreads in (
                ("A", _spreads(first, [pair.a for pair in pairs])),
                ("B", _spreads(second, [pair.b for pair in pairs])),
            )
            if spreads
        },
    )


def _compare_pair(pair: Pair, seed: int, replicates: int | None) -> tuple[list[Compared], list[Refused]]:
    a, b = read_items(pair.a), read_items(pair.b)
    if reason := _other_items(pair, a, b):
        return [], [Refused(_name(pair), reason)]
    compared: list[Compared] = []
    refused: dict[str, list[str]] = {}  # reason -> metrics
    for metric in pair.a.results:
        if metric not in pair.b.results:
            continue
        if reason := _refusal(pair, metric, a, b):
            refused.setdefault(reason, []).append(metric)
        else:
            compared.append(_tested(pair, metric, a, b, seed, replicates))
    return compared, [Refused(f"{_name(pair)}: {', '.join(names)}", why) for why, names in refused.items()]


def _other_items(pair: Pair, a: Items, b: Items) -> str | None:
    if reason := differing_items(a, b):
        return reason
    one, other = pair.a.first.data_fingerprint, pair.b.first.data_fingerprint
    if one != other:
        return f"other rows: ids and references agree, what is asked does not ({one} in A, {other} in B)"
    return None


def _refusal(pair: Pair, metric: str, a: Items, b: Items) -> str | None:
    one, other = pair.a.results[metric], pair.b.results[metric]
    if reason := differing_signature(one.signature, other.signature):
        per_token = metric in _PER_TOKEN and "vocab" in reason
        return reason + ("; per token is not comparable then, bits per byte is" if per_token else "")
    for side, result in (("A", one), ("B", other)):
        if result.value is None:
            return f"{side} has no value: {result.missing['value']}"
    for side, items in (("A", a), ("B", b)):
        if not items.statistics or not all(metric in found for found in items.statistics.values()):
            return f"the items of {side} hold no statistics of it"
    return None


def _tested(pair: Pair, name: str, a: Items, b: Items, seed: int, replicates: int | None) -> Compared:
    ids = list(a.statistics)
    first, second, owners = _statistics(a, b, name, ids)
    groups = [a.groups[one] for one in owners] if len(a.groups) == len(ids) else None
    metric = metric_by_name(name)
    bootstrap = paired_bootstrap(
        metric, first, second, groups=groups, replicates=replicates or BOOTSTRAP, seed=seed
    )
    swapped = approximate_randomisation(
        metric, first, second, groups=groups, replicates=replicates or RANDOMISATION, seed=seed
    )
    exact = None
    if groups is None and _is_right_or_wrong(first) and _is_right_or_wrong(second):
        exact = mcnemar(first[:, 0] > 0, second[:, 0] > 0, name)
    one, other = pair.a.results[name], pair.b.results[name]
    assert one.value is not None
    assert other.value is not None
    return _row(pair, name, (one.value, other.value), len(ids), bootstrap, swapped, exact)


def _row(
    pair: Pair,
    name: str,
    values: tuple[float, float],
    n: int,
    bootstrap: Difference,
    swapped: Difference,
    exact: Difference | None,
) -> Compared:
    decides = exact if exact is not None else swapped
    test = ("McNemar" if exact is not None else "randomisation") if decides.p is not None else None
    result = pair.a.first
    return Compared(
        task=pair.a.task,
        split=result.split,
        metric=name,
        rung=result.rung if result.rung == pair.b.first.rung else None,
        seed=result.seed if result.seed == pair.b.first.seed else None,
        n=n,
        a=values[0],
        b=values[1],
        difference=values[1] - values[0],
        interval=bootstrap.interval,
        p_bootstrap=bootstrap.p,
        p_randomisation=swapped.p,
        p_mcnemar=None if exact is None else exact.p,
        test=test,
        p=decides.p,
        p_holm=None,
        verdict="",
        reason=decides.reason,
    )


def _statistics(a: Items, b: Items, metric: str, ids: Sequence[str]) -> tuple[Array, Array, list[str]]:
    """Both models' statistics (units, k), and whose item each unit is of.

    Units are the blocks of documents where both models have the same ones, else whole items.
    """
    one = [a.statistics[name][metric] for name in ids]
    other = [b.statistics[name][metric] for name in ids]
    blocks = all(
        first.shape == second.shape and (len(first) == 1 or np.array_equal(first[:, 1:], second[:, 1:]))
        for first, second in zip(one, other, strict=True)
    )
    if not blocks:
        one, other = ([each.sum(axis=0, keepdims=True) for each in side] for side in (one, other))
    owners = [name for name, each in zip(ids, one, strict=True) for _ in each]
    return np.concatenate(one), np.concatenate(other), owners


def _is_right_or_wrong(statistics: Array) -> bool:
    return (
        statistics.shape[1] == 2
        and bool(np.isin(statistics[:, 0], (0, 1)).all())
        and bool((statistics[:, 1] == 1).all())
    )


def _judged(compared: Sequence[Compared]) -> list[Compared]:
    """With p-values adjusted over all of them (Holm 1979), and what they come to in words."""
    known = [place for place, one in enumerate(compared) if one.p is not None]
    adjusted = dict(zip(known, holm([_p(compared[place]) for place in known]), strict=True))
    return [
        dataclasses.replace(one, p_holm=adjusted.get(place), verdict=_verdict(one, adjusted.get(place)))
        for place, one in enumerate(compared)
    ]


def _p(one: Compared) -> float:
    assert one.p is not None
    return one.p


def _verdict(one: Compared, p_holm: float | None) -> str:
    if p_holm is None or one.difference is None:
        return f"cannot be said: {one.reason}"
    if p_holm > LEVEL or one.difference == 0:
        return "no difference shown"
    if one.metric in _BEST_BETWEEN:
        return "B is higher" if one.difference > 0 else "B is lower"
    better = (one.difference > 0) == METRICS[one.metric].higher_is_better
    return "B is better" if better else "A is better"


def _spreads(side: Side, paired: Sequence[Measured]) -> tuple[SeedSpread, ...]:
    """How far seeds of a rung of a run lie apart; none for one seed, and where more than seeds differ."""
    if not side.is_run:
        return ()
    results = [result for measured in paired for result in measured.results.values()]
    found: list[SeedSpread] = []
    for metric in dict.fromkeys(
        (result.stage, result.task, result.metric, result.tokens) for result in results
    ):
        of_one = [r for r in results if (r.stage, r.task, r.metric, r.tokens) == metric]
        try:
            found += [spread for spread in seed_spread(of_one) if spread.n > 1]
        except InputError:  # measured in different ways: no spread of seeds
            continue
    return tuple(found)


def _name(pair: Pair) -> str:
    result = pair.a.first
    model = f" of {result.rung}, seed {result.seed}" if result.rung == pair.b.first.rung else ""
    return f"{pair.a.task} ({result.split}){model}"
