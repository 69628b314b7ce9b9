"""The commands that measure: eval and compare; nothing heavy before one is called."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eval.files import InputError
from pipelines.cli_using import quiet, tidy

if TYPE_CHECKING:
    from eval.settings import EvalSettings

Arguments = Annotated[
    list[str] | None,
    typer.Argument(
        help="Models: folders, or names on the hub. KEY=VALUE: settings, such as context=256.",
        metavar="MODEL... [KEY=VALUE]...",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command("eval")(evaluate)
    app.command()(compare)


def evaluate(
    arguments: Arguments = None,
    task: Annotated[
        list[str] | None,
        typer.Option(help="A built-in task, or a YAML file; repeatable."),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(help="The rows: folder or file, one a task or for all."),
    ] = None,
    split: Annotated[str | None, typer.Option(help="train, validation or test; test when left out.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of evaluations.")] = Path("evals"),
    max_items: Annotated[int | None, typer.Option(help="Items measured, evenly spaced.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap.")] = 0,
    lm_eval: Annotated[
        str | None, typer.Option(metavar="TASK,...", help="Tasks of lm-evaluation-harness, too.")
    ] = None,
    lm_eval_tasks: Annotated[Path | None, typer.Option(help="A folder with tasks of lm-eval (YAML).")] = None,
    list_: Annotated[bool, typer.Option("--list", help="Show the built-in tasks and the kinds.")] = False,
) -> None:
    """Measure models on tasks; what is finished is not measured again."""
    from rich.console import Console

    if list_:
        from eval.listing import print_tasks

        print_tasks(Console(highlight=False))
        return
    models, settings = _arguments(arguments or (), {"split": split, "max_items": max_items})
    harness = tuple(dict.fromkeys(name.strip() for name in (lm_eval or "").split(",") if name.strip()))
    if not task and not harness:
        raise InputError("eval: no task; name one with --task (`stepladder eval --list` shows them)")
    for option, given, owner, there in (
        ("--data", data, "--task", task),
        ("--lm-eval-tasks", lm_eval_tasks, "--lm-eval", harness),
    ):
        if given and not there:
            raise InputError(f"{option}: is for {owner}, which is not given; name its tasks, or leave it out")
    with tidy():
        from eval.tasks.find import find_tasks

        tasks = tuple(find_tasks(task or (), data or ()))  # before torch is there: a slip is told at once
        with quiet():
            from pipelines.evaluating import Wanted, evaluate_models

            evaluate_models(
                Wanted(
                    models=models,
                    tasks=tasks,
                    out=out,
                    settings=settings,
                    seed=seed,
                    harness=harness,
                    harness_folder=lm_eval_tasks,
                ),
                Console(highlight=False),
                Console(stderr=True, highlight=False),
            )


def compare(
    a: Annotated[Path, typer.Argument(help="An evaluation, evals/<model>, or a run folder.")],
    b: Annotated[Path, typer.Argument(help="Another one, measured on the same items.")],
    seed: Annotated[int, typer.Option(min=0, help="Of the resampling.")] = 0,
    replicates: Annotated[
        int | None, typer.Option(min=2, help="Of both tests; 1,000 and 10,000 when left out.")
    ] = None,
    json_: Annotated[Path, typer.Option("--json", help="Where the numbers are written, too.")] = Path(
        "compare.json"
    ),
) -> None:
    """Compare two models on the items that both were measured on: which differences are more than chance."""
    from rich.console import Console

    with tidy():
        from eval.comparing import compare as compare_folders
        from eval.comparison_view import print_comparison
        from eval.files import write_json

        found = compare_folders(a, b, seed=seed, replicates=replicates)
        print_comparison(Console(highlight=False), found)
        if not found.compared:
            raise InputError("compare: nothing of A and B can be compared; name two that were asked the same")
        write_json(json_, found.to_dict())
        print(f"numbers: {json_}")


def _arguments(given: Sequence[str], options: Mapping[str, Any]) -> tuple[tuple[str, ...], EvalSettings]:
    """Models and settings. Raises `InputError` for no model, and for a setting that is unknown or wrong."""
    from pydantic import ValidationError

    from eval.settings import EvalSettings
    from eval.settings_errors import explain
    from eval.yaml_text import parse_yaml

    models, data = [], {name: value for name, value in options.items() if value is not None}
    by_option = tuple(data)
    for one in given:
        key, equals, value = one.partition("=")
        if not equals or Path(one).exists():
            models.append(one)
            continue
        if key in by_option:
            raise InputError(f"command line: {one}: --{key.replace('_', '-')} says it, too; leave one out")
        data[key] = parse_yaml(value, lambda *_, place=one: f"command line: {place}").data
    if "tasks" in data:
        raise InputError("command line: tasks: name them with --task")
    if not models:
        raise InputError("eval: no model; name a folder, or a model of the hub")
    try:
        return tuple(models), EvalSettings.model_validate_json(json.dumps(data), strict=True)
    except ValidationError as error:
        raise InputError(explain(error, EvalSettings, data, {}, "command line", "context=256")) from error
