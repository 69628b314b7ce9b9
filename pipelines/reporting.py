"""`stepladder report`: the report of runs, of evaluations or of results files, from their results alone."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from eval.files import InputError
from pipelines.store import RunFolder

if TYPE_CHECKING:
    from scaling_report.settings import ReportSettings

RESULTS = "results.jsonl"


def report_again(
    sources: Sequence[Path],
    out: Path | None = None,
    overlays: Sequence[str] = (),
    targets: Sequence[str] = (),
) -> Path:
    """The report of finished runs, made again from their results alone; of folders of evaluations, too.

    The settings are those of the first run's recipe, with `overlays` and `targets` (METRIC=VALUE)
    beside those it names; the defaults where no source is a run. Raises `InputError` for a folder that is
    neither, a run without results, an overlay that there is not and a target that no metric reaches.
    """
    from scaling_report.report import make_report
    from scaling_report.settings import ReportSettings

    runs = [run for source in sources if (run := _run_of(Path(source))) is not None]
    _check_out(out)
    settings = _recipe_settings(runs[0]) if runs else ReportSettings()
    settings = _with_targets(_with_overlays(settings, overlays), targets)
    with ExitStack() as stack:
        for run in runs:
            stack.enter_context(run.locked())
        return make_report(list(sources), settings, out=out, force=True)


def _check_out(out: Path | None) -> None:
    """Raise `InputError` for a folder that a report would be strewn into: a run's, or one of results."""
    if out is None:
        return
    if out.exists() and not out.is_dir():
        raise InputError(f"--out: {out} is a file; name a folder")
    if any((out / name).is_file() for name in (RESULTS, "plan.json")):
        raise InputError(f"--out: {out} is a run's folder; name one in it, such as {out / 'report'}")


def _run_of(source: Path) -> RunFolder | None:
    """The run whose folder this is; None of evaluations and results files."""
    if (source / "plan.json").is_file():
        run = RunFolder(source)
        run.recipe_name()  # says what is wrong with a folder that is no run folder
        if not (source / RESULTS).is_file():
            raise InputError(f"{source}: has no results yet; finish `stepladder run` first")
        return run
    if source.is_file() or (source / RESULTS).is_file():
        return None
    raise InputError(
        f"{source}: neither a run (plan.json) nor evaluations (results.jsonl); name a folder that "
        "`stepladder run` or `stepladder eval` made"
    )


def _recipe_settings(run: RunFolder) -> ReportSettings:
    from pipelines.recipe_file import load_recipe

    return load_recipe(str(run.root / "recipe.yaml")).recipe.report


def _with_targets(settings: ReportSettings, targets: Sequence[str]) -> ReportSettings:
    """`targets` in place of the recipe's for the same metrics."""
    from scaling_report.settings import read_target

    asked: dict[str, str] = {}
    for one in targets:
        try:
            metric, _ = read_target(one)
        except ValueError as error:
            raise InputError(f"--target {error}") from error
        if metric in asked:
            raise InputError(f"--target: {metric} is given twice; leave one out")
        asked[metric] = one
    kept = [one for one in settings.target if read_target(one)[0] not in asked]
    return settings.model_copy(update={"target": (*kept, *asked.values())})


def _with_overlays(settings: ReportSettings, overlays: Sequence[str]) -> ReportSettings:
    from scaling_report.published import OverlayName

    known = get_args(OverlayName)
    if unknown := [name for name in overlays if name not in known]:
        raise InputError(
            f"--overlay {unknown[0]}: no published ladder of this name; there are {', '.join(known)}"
        )
    return settings.model_copy(update={"overlay": tuple(dict.fromkeys((*settings.overlay, *overlays)))})
