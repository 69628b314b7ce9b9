"""A frame of results -> the `compute_optimal` part of laws.json, or in a sentence what it takes."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from scaling_report.frame import CORPUS_TASKS, Frame
from scaling_report.laws import Array
from scaling_report.notation import power_of_ten, short
from scaling_report.optimal.compute import compute_optimal
from scaling_report.optimal.surface import EVEN, fit_cost
from scaling_report.pooled import SIZE_AXES, Pooled, pool_lengths
from scaling_report.settings import ReportSettings
from scaling_report.wording import AXIS_NAMES, count, listed

# losses, and perplexities, whose logarithms are losses; of one text the first that is there
LOSSES = {
    "bits_per_byte": False,
    "masked_lm_loss": False,
    "token_perplexity": True,
    "pseudo_perplexity": True,
}


def analyse_optimal(frame: Frame, settings: ReportSettings) -> tuple[list[dict[str, Any]], str | None]:
    """One entry a model family and objective, of its first language-modelling loss, test before train.

    An empty list comes with the reason, which names runs that would help; without language modelling, and
    without any reason, there is nothing to say.
    """
    wanted = next((name for name in settings.x if name in SIZE_AXES), SIZE_AXES[0])
    axes = (wanted, *(name for name in SIZE_AXES if name != wanted))
    by_axis = [{_kind(one): one for one in losses_of(pool_lengths(frame, axis))} for axis in axes]
    chosen = [_best_convention([found[kind] for found in by_axis if kind in found]) for kind in by_axis[0]]
    able = [one for one in chosen if one.varies and np.unique(one.n).size > 1]
    if not able:
        return [], _what_it_takes(next(iter(by_axis[0].values()))) if chosen else None
    return [_entry(one, settings) for one in able], None


def _kind(one: Pooled) -> tuple[str | None, ...]:
    return one.first.run, one.first.family, one.first.objective


def _best_convention(conventions: Sequence[Pooled]) -> Pooled:
    """The first one by which FLOPs go as k·N·D, else the one that comes nearest to a power of N."""
    costs = [fit_cost(one.n, one.d, one.c) for one in conventions]
    even = [one for one, cost in zip(conventions, costs, strict=True) if cost.p == 1 and cost.worst <= EVEN]
    return even[0] if even else conventions[int(np.argmin([cost.worst for cost in costs]))]


def losses_of(pooled: Sequence[Pooled]) -> list[Pooled]:
    """One a kind of model (family, objective): its best known loss on the first split that has one."""
    by_kind: dict[tuple[str | None, ...], list[Pooled]] = {}
    for one in pooled:
        first = one.first
        if first.stage == "pretrain" and first.task in CORPUS_TASKS and first.metric in LOSSES and one.y.size:
            by_kind.setdefault(_kind(one), []).append(one)
    order = list(LOSSES)
    return [min(found, key=lambda one: order.index(one.first.metric)) for found in by_kind.values()]


def _entry(one: Pooled, settings: ReportSettings) -> dict[str, Any]:
    as_logarithm = LOSSES[one.first.metric]
    seed = zlib.crc32(f"{settings.seed} {one.id} compute-optimal".encode())
    y = np.log(one.y) if as_logarithm else one.y
    kept = y > 0
    found = compute_optimal(
        one.n[kept], one.d[kept], one.c[kept], y[kept],
        bootstrap=settings.bootstrap, level=settings.level, seed=seed,
    )  # fmt: skip
    names = {
        "id": f"compute-optimal-{one.id}",
        "title": one.title,
        "metric": one.first.metric,
        "unit": "nats per token" if as_logarithm else one.first.unit,
        "x": one.size_axis,
        "left_out": list(one.left_out),
    }
    return names | found


def _what_it_takes(one: Pooled) -> str:
    """Which runs would make a table of runs that vary in one way only enough."""
    sizes, first = np.unique(one.n), "What a budget is best spent on cannot be told"
    if not one.y.size:
        return f"{first}: no run has its size, tokens and FLOPs in the results."
    if sizes.size < 3:
        return (
            f"{first} from {count(sizes.size, 'size')}: it takes three or more, each trained at two or more "
            "FLOPs budgets (`budget: {isoflop: […]}` in a recipe)."
        )
    return (
        f"{first}: every size was trained to one length, or lengths grow with sizes, so size and data cannot "
        f"be told apart. Two more budgets would do: {listed(_suggest(one, sizes))}."
    )


def _suggest(one: Pooled, sizes: Array) -> list[str]:
    """Two iso-FLOP groups of three neighbouring sizes, at the cost of the middle one's own run."""
    last = sizes.size - 2
    told = []
    for place, factor in ((1, 1.0), (last, 1.0 if last > 1 else 4.0)):
        at = np.flatnonzero(one.n == sizes[place])[0]
        flops = one.c[at] * factor
        trio = sizes[place - 1 : place + 2]
        tokens = [one.d[at] * factor * sizes[place] / size for size in trio]
        runs = [f"{short(size)} on {short(amount)} tokens" for size, amount in zip(trio, tokens, strict=True)]
        told.append(f"about {power_of_ten(flops, 2)} FLOPs with {listed(runs)} ({AXIS_NAMES[one.size_axis]})")
    return told
