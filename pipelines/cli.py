"""The command `stepladder`: parse, call, print. No logic, and nothing heavy before it is needed."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from eval.files import InputError, write_atomic
from eval.safety import plain_line
from pipelines import cli_eval, cli_fit, cli_mirror, cli_next, cli_plan, cli_using
from pipelines.stopping import Interrupted

if TYPE_CHECKING:
    from pipelines.recipe_file import LoadedRecipe
    from pipelines.run import RunSummary

app = typer.Typer(
    name="stepladder",
    help="Train a ladder of language models, measure every rung, predict the next before it is shown.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

cli_using.register(app)
cli_eval.register(app)
cli_fit.register(app)
cli_next.register(app)
cli_plan.register(app)
cli_mirror.register(app)

Recipe = Annotated[
    str, typer.Argument(help="A recipe file, or the name of a packaged recipe such as quickstart.")
]
Overrides = Annotated[
    list[str] | None, typer.Argument(help="Settings to replace, as key.path=value.", metavar="[KEY=VALUE]...")
]
Out = Annotated[Path | None, typer.Option(help="Run folder; runs/<recipe> when left out.")]


@app.command()
def run(
    recipe: Recipe,
    overrides: Overrides = None,
    out: Out = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Stages side by side; chosen for this machine when left out.")
    ] = None,
    executor: Annotated[
        Literal["local", "ray"],
        typer.Option(help="What runs the stages: this machine, or a Ray cluster (extra ray)."),
    ] = "local",
    address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="With --executor ray: the cluster's head, or `auto`; started here when left out.",
        ),
    ] = None,
    push_to_hub: Annotated[
        str | None,
        typer.Option(metavar="OWNER", help="Upload the finished models to the hub, private, as OWNER's."),
    ] = None,
    mirror: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Copy what is finished to object storage: s3://BUCKET/PREFIX."),
    ] = None,
    verify_mirror: Annotated[
        bool, typer.Option("--verify-mirror", help="Read every mirrored file back.")
    ] = False,
) -> None:
    """Train, measure and report a recipe; what is already there is not done again."""
    from rich.console import Console

    from pipelines.recipe_file import load_recipe
    from pipelines.remote import Remote
    from pipelines.run import Executor, run_recipe

    loaded = load_recipe(recipe, overrides or ())
    if push_to_hub is not None:
        _check_publishing(loaded, push_to_hub)
    folder = out or Path("runs") / loaded.recipe.name
    console = Console(highlight=False)
    if address is not None and executor != "ray":
        raise InputError("--address: names a Ray cluster; add --executor ray, or leave it out")
    mirror_to = None if mirror is None else Remote(mirror)
    how = Executor(executor, jobs, address)
    summary = run_recipe(loaded, folder, how, console, mirror_to, verify_mirror=verify_mirror)
    if summary is None:  # one of a launcher's other processes
        return
    complaint = _say(summary)
    if push_to_hub is not None:
        _publish(loaded, folder, push_to_hub)
    if summary.failed:
        if complaint is not None:
            print(complaint, file=sys.stderr)
        names = ", ".join(outcome.stage for outcome in summary.failed)
        raise InputError(f"{folder}: {len(summary.failed)} stages failed ({names}); the report lists why")
    if complaint is not None:
        raise InputError(complaint)


def _say(summary: RunSummary) -> str | None:
    """Print what came of a run; what is to be complained of its mirror, if anything."""
    if summary.worked:
        what = f"done in {summary.seconds:.0f} s"
    elif summary.reported:
        what = "every stage was there, the report was made again"
    else:
        what = "nothing to do, all of it was there"
    print(f"{what}\nreport: {summary.report}")
    if summary.mirrored is None:
        return None
    print(summary.mirrored.line())
    return summary.mirrored.complaint()


def _check_publishing(loaded: LoadedRecipe, owner: str) -> None:
    from pipelines.plan import make_plan
    from pipelines.publish import check_names, check_token

    check_token()
    check_names(make_plan(loaded), owner)


def _publish(loaded: LoadedRecipe, folder: Path, owner: str) -> None:
    from pipelines.plan import make_plan
    from pipelines.publish import publish_run
    from pipelines.store import RunFolder

    publish_run(RunFolder(folder), make_plan(loaded), owner, print)


@app.command()
def status(
    folder: Annotated[Path, typer.Argument(help="A run folder.")],
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it anew every 2 s, until the run ends.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object a look.")] = False,
    all_: Annotated[bool, typer.Option("--all", help="Show every stage, however many there are.")] = False,
) -> None:
    """Show what of a run is done, running or failed, and why, how fast it is and how long it still takes."""
    from pipelines.status_view import show_status

    show_status(folder, watch=watch, as_json=json_, every_stage=all_)


@app.command()
def report(
    sources: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="Run folders, folders of evaluations or results files."),
    ],
    out: Annotated[
        str | None, typer.Option(help="Where to write it; of one run its folder `report` when left out.")
    ] = None,
    overlay: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="A published ladder to draw beside: gpt2-zero-shot, bert-miniatures."
        ),
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METRIC=VALUE", help="A score to reach: at which size, with interval and latency."
        ),
    ] = None,
) -> None:
    """Make the report of a run again, or of what `eval` measured, from the results alone; of several, one."""
    from pipelines.reporting import report_again

    if out is not None and not out.strip():
        raise InputError("--out: names no folder; give one, or leave it out")
    folder = None if out is None else Path(out)
    print(f"report: {report_again(sources, folder, overlay or (), target or ())}")


@app.command()
def init(path: Annotated[Path, typer.Argument(help="Where to write it.")] = Path("recipe.yaml")) -> None:
    """Write a commented recipe to start from."""
    from pipelines.recipe_file import template

    if path.exists():
        raise InputError(f"{path}: is there already; name another file")
    write_atomic(path, template())
    print(f"wrote {path}; next: stepladder plan {path}")


@app.command()
def schema() -> None:
    """Print the JSON Schema of recipes, for editors."""
    import json

    from pipelines.recipe_file import schema as recipe_schema

    print(json.dumps(recipe_schema(), indent=2))


# What typer raises for unknown options and missing arguments; it exports this class's child alone.
_Misuse: Any = typer.BadParameter.__base__


def _stop(number: int, frame: FrameType | None) -> None:
    if number == signal.SIGTERM:  # once is enough: a second one must not cut off the checkpoints
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Interrupted(number)


def main() -> None:
    """Run the command; a user's mistake is one line on standard error and exit code 2."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    try:
        app(sys.argv[1:] or ["--help"], standalone_mode=False)
    except _Misuse as error:
        command = " ".join(["stepladder", *sys.argv[1:2]]) if error.ctx and error.ctx.parent else "stepladder"
        told = plain_line(error.format_message().rstrip("."))
        print(f"error: {told}; see `{plain_line(command)} --help`", file=sys.stderr)
        sys.exit(2)
    except InputError as error:
        print(f"error: {plain_line(str(error))}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        sys.exit(1)
    except OSError as error:
        from pipelines.disk import as_input_error

        print(f"error: {plain_line(str(as_input_error(error, Path.cwd())))}", file=sys.stderr)
        sys.exit(2)
    except Interrupted as stopped:
        runs = sys.argv[1:2] == ["run"]
        goes_on = "; the same command goes on from the last checkpoint" if runs else ""
        print(f"stopped{goes_on}", file=sys.stderr)
        sys.exit(stopped.exit_code if runs else 128 + stopped.number)
