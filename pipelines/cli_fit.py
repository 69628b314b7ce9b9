"""The command that fits a law to a table that anybody measured; nothing heavy before it is called."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eval.files import InputError
from pipelines.cli_using import tidy

if TYPE_CHECKING:
    from rich.console import Console

    from scaling_report.judgement import Judgement
    from scaling_report.two_step import TwoStep


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(fit)


def fit(
    table: Annotated[
        Path,
        typer.Argument(
            help="Runs: .csv, .jsonl, .parquet (also .gz), a run folder, lm-eval or Trainer files."
        ),
    ],
    law: Annotated[
        str,
        typer.Option(
            help="power, power-floor, bnsl (of one input); chinchilla, kaplan (n, d); product (n, d, c);"
            " repeated (n, d, u); error-decay, sigmoid (l); two-step (n, d, --via)."
        ),
    ],
    y: Annotated[str, typer.Option(metavar="COLUMN", help="The metric, above zero.")],
    x: Annotated[
        list[str] | None,
        typer.Option(
            metavar="INPUT=COLUMN",
            help="n, d or c (FLOPs; two give the third by C = 6ND), u (unique tokens), l (loss); repeatable;"
            " without it the columns are called so.",
        ),
    ] = None,
    error: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Standard error of y: what runs weigh by.")
    ] = None,
    via: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="two-step: the task's loss, which accuracy follows.")
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN=VALUE", help="Rows to fit (also !=, <, >, <=, >=); repeatable."),
    ] = None,
    loss: Annotated[
        str,
        typer.Option(
            help="huber, lad, least-squares (of ln y; of shares, of log-odds) or asymmetric (of y)."
        ),
    ] = "huber",
    starts: Annotated[int, typer.Option(min=0, help="Of a published grid (chinchilla: 4500).")] = 64,
    bootstrap: Annotated[int, typer.Option(min=0, help="Refits behind errors and intervals.")] = 400,
    holdout: Annotated[int, typer.Option(min=0, help="Largest places (by compute) to hide and predict.")] = 0,
    predict: Annotated[
        list[str] | None, typer.Option(metavar="n=…,d=…", help="A run to predict; repeatable.")
    ] = None,
    level: Annotated[float, typer.Option(min=0.5, max=0.999, help="Of intervals.")] = 0.9,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap.")] = 0,
    save: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Keep the fit, to predict from without the data.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Fit a scaling law to a table of runs: parameters with errors, what is identified, predictions."""
    from rich.console import Console

    with tidy():
        from pipelines.fitting import judge_table

        if save is not None:
            from scaling_report.saving import check_place

            check_place(save, str(table), "--save")
        found = judge_table(
            table,
            law=law,
            x=x or (),
            y=y,
            via=via,
            error=error,
            where=where or (),
            loss=loss,
            starts=starts,
            bootstrap=bootstrap,
            holdout=holdout,
            predict=predict or (),
            level=level,
            seed=seed,
        )
        if save is not None:
            found.save(save, command=shlex.join(["stepladder", *sys.argv[1:]]))
        if json_:
            print(json.dumps(found.to_dict(), ensure_ascii=False, allow_nan=False))
            return
        _show(Console(highlight=False), found)


def _show(console: Console, found: Judgement | TwoStep) -> None:
    from eval.printing import print_table
    from scaling_report.notation import significant

    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    told: dict[str, Any] = found.to_dict()
    errors, intervals = told["standard_errors"] or {}, told["intervals"] or {}
    say(f"{told['law']}: {told['formula']} · {told['n']:,} runs · {told['loss']} {told['objective']:.9g}\n")
    print_table(
        console,
        [
            {
                "parameter": name,
                "value": significant(value, 6),
                "± s.e.": significant(errors[name], 3) if name in errors else "",
                f"{100 * found.level:.0f} % interval": " to ".join(
                    significant(end) for end in intervals.get(name) or ()
                ),
                "least squares": significant(told["second_opinion"][name], 6),
            }
            for name, value in told["parameters"].items()
        ],
    )
    for sentence in told["verdict"]:
        say(sentence)
    for line in told["left_out"]:
        say(f"left out: {line}")
    for line in told["notes"]:
        say(f"note: {line}")


def parse_pair(given: str, option: str) -> tuple[str, str]:
    """NAME=VALUE. Raises InputError for anything else."""
    name, equals, value = given.partition("=")
    if not (equals and name.strip() and value.strip()):
        what = "COLUMN, such as n=params" if option == "--x" else "NUMBER, such as n=1e9"
        raise InputError(f"{option}: {given!r}; NAME={what}, is wanted")
    return name.strip(), value.strip()
