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


def report_again(sources: Sequence[Path], out: Path | None = None, overlays: Sequence[str] = ()) -> Path:
    """The report of finished runs, made again from their results alone; of folders of evaluations, too.

    The settings are those of the first run's recipe, with `overlays` beside those it names; the defaults
    where no source is a run. Raises `InputError` for a folder that is neither, a run without results and an
    overlay that there is not.
    """
    from scaling_report.report import make_report
    from scaling_report.settings import ReportSettings

    runs = [run for source in sources if (run := _run_of(Path(source))) is not None]
    settings = _recipe_settings(runs[0]) if runs else ReportSettings()
    settings = _with_overlays(settings, overlays)
    with ExitStack() as stack:
        for run in runs:
            stack.enter_context(run.locked())
        return make_report(list(sources), settings, out=out, force=True)


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


def _with_overlays(settings: ReportSettings, overlays: Sequence[str]) -> ReportSettings:
    from scaling_report.published import OverlayName

    known = get_args(OverlayName)
    if unknown := [name for name in overlays if name not in known]:
        raise InputError(
            f"--overlay {unknown[0]}: no published ladder of this name; there are {', '.join(known)}"
        )
    return settings.model_copy(update={"overlay": tuple(dict.fromkeys((*settings.overlay, *overlays)))})
