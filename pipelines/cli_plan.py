"""The command `stepladder plan`: what a recipe trains and what that costs; no torch in this process."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated

import typer

from eval.files import InputError


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(plan)


def plan(
    recipe: Annotated[
        str, typer.Argument(help="A recipe file, or the name of a packaged recipe such as quickstart.")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="Settings to replace, as key.path=value.", metavar="[KEY=VALUE]..."),
    ] = None,
    hardware: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="cpu (this processor), h100, h200, a100, b200, …; 8xh100, 64xh100."
        ),
    ] = "cpu",
    price: Annotated[
        float | None,
        typer.Option(min=0, help="Of a device and hour, in the recipe's report.currency; else assumed."),
    ] = None,
    watts: Annotated[
        float | None, typer.Option(min=0, help="What a device draws; its data sheet's when left out.")
    ] = None,
    electricity: Annotated[
        float | None, typer.Option(min=0, help="Price of a kWh; without --price all that is paid.")
    ] = None,
    mfu: Annotated[
        float | None, typer.Option(help="Share of a GPU's peak that training reaches, above 0 to 1.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder; runs/<recipe> when left out.")] = None,
    probe: Annotated[
        bool, typer.Option("--probe", help="Train two rungs for some steps here, and keep how fast that was.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show sizes, tokens, FLOPs, memory, disk, time, energy and money before anything starts."""
    from pipelines.costs import plan_costs
    from pipelines.environment import check_environment
    from pipelines.hardware import parse_machine
    from pipelines.plan import make_plan
    from pipelines.rates import Terms
    from pipelines.recipe_file import load_recipe
    from pipelines.stages import LoopSettings

    for option, amount in (("price", price), ("watts", watts), ("electricity", electricity)):
        if amount is not None and not math.isfinite(amount):
            raise InputError(f"--{option}: {amount:g} is no amount; give a finite number")
    machine = parse_machine(hardware)
    share = _share(mfu)
    if share is not None and machine.device is None:
        raise InputError(f"--mfu: {share:g} is a share of a GPU's peak; it needs --hardware of a GPU")
    terms = Terms(machine=machine, price=price, watts=watts, electricity=electricity, mfu=share)
    loaded = load_recipe(recipe, overrides or ())
    made = make_plan(loaded)
    if probe:
        if machine.device is not None:
            raise InputError("--probe: measures this processor; leave --hardware out")
        from pipelines.probe import probe_plan

        probe_plan(made)
        made = make_plan(loaded)
    costs = plan_costs(made, loaded.recipe, terms, out or Path("runs") / loaded.recipe.name)
    here = None
    if machine.device is None:  # what is planned for another machine need not run here
        try:
            check_environment(loaded.recipe, LoopSettings.of(loaded))
        except InputError as error:
            here = str(error)
    if json_:
        from pipelines.costs_json import to_json

        found = to_json(costs) | {"here_it_would_not_run": here}
        print(json.dumps(found, ensure_ascii=False, allow_nan=False))
        return
    from pipelines.plan_view import print_plan

    print_plan(made, costs)
    if here is not None:
        print(f"here it would not run: {here}")


def _share(mfu: float | None) -> float | None:
    if mfu is not None and not 0 < mfu <= 1:
        raise InputError(f"--mfu: {mfu:g} is no share of a peak; give a number above 0, at most 1")
    return mfu
