"""Runs of one ladder that were trained to several lengths, told apart: k-th lengths belong together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from eval.results import Result
from scaling_report.notation import short

ALIKE = 0.05  # FLOPs of one budget differ by less: budgets are spent in whole steps


def split_by_budget(runs: Sequence[Result]) -> list[tuple[list[Result], str | None]]:
    """The runs by budget, the longest first, each with its name; one part without a name where there is one.

    Budgets are told apart by how many tokens a rung and seed saw: the shortest of every rung are one budget,
    the next ones another. They are named by what their runs have in common, tokens or FLOPs.
    """
    by_run: defaultdict[tuple[object, ...], list[Result]] = defaultdict(list)
    for run in runs:
        by_run[run.run, run.rung, run.seed].append(run)
    most = max(len(lengths) for lengths in by_run.values())
    if most == 1:
        return [(list(runs), None)]
    parts: list[list[Result]] = [[] for _ in range(most)]
    for lengths in by_run.values():
        for place, run in enumerate(sorted(lengths, key=lambda run: run.tokens or 0)):
            parts[place].append(run)
    return [(part, _name(part, place, most)) for place, part in reversed(list(enumerate(parts)))]


def _name(part: Sequence[Result], place: int, most: int) -> str:
    tokens = {run.tokens for run in part}
    if len(tokens) == 1 and None not in tokens:
        return f"{short(tokens.pop() or 0)} tokens"
    flops = [run.flops for run in part if run.flops]
    if len(flops) == len(part) and max(flops) <= min(flops) * (1 + ALIKE):
        return f"{min(flops):.1e} FLOPs"
    return f"budget {place + 1} of {most}"
