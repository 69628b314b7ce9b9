"""The command that turns a plan around: which runs to train next; nothing heavy before it is called."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eval.files import InputError
from pipelines.cli_using import tidy

if TYPE_CHECKING:
    from rich.console import Console


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command(name="next")(next_)


def next_(
    source: Annotated[Path, typer.Argument(help="A run folder, or a table of runs as for `fit`.")],
    budget: Annotated[float, typer.Option(help="FLOPs that all suggested runs may take together.")],
    runs: Annotated[int, typer.Option(min=1, max=50, help="At most so many.")] = 4,
    reach: Annotated[
        str | None,
        typer.Option(
            metavar="FLOPS|n=…,d=…",
            help="Where the forecast is wanted: the best run of so many FLOPs, or a size and tokens. "
            "Ten times the dearest run when left out.",
        ),
    ] = None,
    x: Annotated[
        list[str] | None,
        typer.Option(metavar="INPUT=COLUMN", help="Of a table: n, d or c; else columns of these names."),
    ] = None,
    y: Annotated[str | None, typer.Option(metavar="COLUMN", help="Of a table: the loss.")] = None,
    where: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN<NUMBER", help="Of a table: rows to use.")
    ] = None,
    level: Annotated[float, typer.Option(min=0.5, max=0.999, help="Of the band.")] = 0.9,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Name the runs that would narrow the forecast most for their FLOPs, and the band after each."""
    from rich.console import Console

    with tidy():
        from pipelines.next_runs import of_folder, of_table, suggest

        if source.is_dir():
            if x or y or where:
                raise InputError(f"{source}: a run folder knows its columns; leave out --x, --y and --where")
            there = of_folder(source)
        elif y:
            there = of_table(source, x=x or (), y=y, where=where or ())
        else:
            raise InputError(f"{source}: no run folder; for a table name its columns with --y and --x")
        found = suggest(there, budget=budget, most=runs, reach=reach, level=level)
        if json_:
            print(json.dumps(found, ensure_ascii=False, allow_nan=False))
            return
        _show(Console(highlight=False), found)


def _show(console: Console, found: dict[str, Any]) -> None:
    from eval.printing import print_table
    from pipelines.next_runs import told
    from scaling_report.notation import short, significant

    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    target = found["target"]
    say(
        f"{found['what']}: {found['formula']} on {found['n_runs']} runs, {found['cost']}. Target: "
        f"{short(target['n'])} on {short(target['d'])} tokens ({target['flops']:.2e} FLOPs), predicted "
        f"{significant(target['value'])}.\n"
    )
    print_table(console, told(found))
    share = f"{100 * found['level']:g} %"
    say(f"Band: {share} interval of the curve at the target, if the law is right and noise stays as it is.")
    say(f"{found['spent']:.2e} of {found['budget']:.2e} FLOPs are spent.")
    for note in found["notes"]:
        say(note)
    for recipe in found["recipes"]:
        say(f"\n{recipe}")
