"""A comparison as people read it in a terminal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from eval.printing import Table, count, number, print_table

if TYPE_CHECKING:
    from rich.console import Console

    from eval.comparing import Compared, Comparison


def comparison_table(compared: Iterable[Compared]) -> Table:
    """A row a metric."""
    return [
        {
            "metric": one.metric,
            "A": number(one.a),
            "B": number(one.b),
            "B - A": number(one.difference),
            "95 % interval": ""
            if one.interval is None
            else f"{one.interval[0]:.3g} to {one.interval[1]:.3g}",
            "p boot.": _p(one.p_bootstrap),
            "p rand.": _p(one.p_randomisation),
            "McNemar": _p(one.p_mcnemar),
            "Holm": _p(one.p_holm),
            "verdict": one.verdict,
        }
        for one in compared
    ]


def print_comparison(console: Console, comparison: Comparison) -> None:
    """A heading and a table for each model and task, seeds' spreads, and what was refused."""

    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    say(f"A: {comparison.a}\nB: {comparison.b}\n")
    together: dict[str, list[Compared]] = {}
    for one in comparison.compared:
        model = "" if one.rung is None else one.rung + ("" if one.seed is None else f" s{one.seed}") + ", "
        together.setdefault(f"{model}{one.task} · {one.split} · {count(one.n, 'item')}", []).append(one)
    for heading, compared in together.items():
        say(heading)
        print_table(console, comparison_table(compared))
    for side, spreads in comparison.spreads.items():
        for spread in spreads:
            say(
                f"{side}: {spread.task}, {spread.metric}, {spread.rung}: {spread.n} seeds, mean "
                f"{number(spread.mean)}, standard deviation between them {number(spread.deviation)}"
            )
    for refused in comparison.refused:
        say(f"not compared: {refused.what}: {refused.reason}")


def _p(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if value >= 0.001 else f"{value:.0e}"
