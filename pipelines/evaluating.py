"""`stepladder eval`: check everything, measure every model on every task, keep, gather and show."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from eval.checking import check_model, check_outputs, check_rows, labels_there
from eval.evaluations import VERSION, Asked, Evaluations, Kept, read_kept
from eval.files import InputError, write_atomic
from eval.harness import PREFIX, check_harness, load_harness, run_harness, task_fingerprint
from eval.loading import check_family, fingerprint, model_name, tokenizer_fingerprint
from eval.ranks import join_ranks
from eval.records import foreign_origin
from eval.results import SPLITS, Origin
from eval.settings import EvalSettings
from eval.tasks import LanguageModelling
from eval.tasks.find import FoundTask
from eval.tasks.rows import has_rows
from eval.view import print_results, results_markdown
from pipelines.disk import as_input_error
from pipelines.origin import find_origin
from pipelines.using.folders import find_model

# What a model that cannot be loaded or run on a task ends in; anything else is a mistake of this program.
_FAILURES = (ValueError, RuntimeError, MemoryError)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the command was asked. `harness`: tasks of lm-evaluation-harness, some of them in
    `harness_folder`.
    """

    models: tuple[str, ...]
    tasks: tuple[FoundTask, ...]
    out: Path
    settings: EvalSettings
    seed: int = 0
    harness: tuple[str, ...] = ()
    harness_folder: Path | None = None


@dataclass(frozen=True)
class _Model:
    name: str
    checkpoint: Path
    fingerprint: str
    origin: Origin | None
    context: int | None
    """Of the rows that it was fine-tuned on in a run: what it reads unless told otherwise."""


@dataclass(frozen=True)
class _Job:
    """One evaluation: what it is called, where it is kept, and how it is made."""

    name: str
    model: _Model
    make: Callable[[Callable[[int, int], None], dict[Any, Any]], Kept]


def evaluate_models(wanted: Wanted, out: Console, err: Console) -> None:
    """Measure what is not there, print all that was asked for on `out`, and how far it is on `err`.

    Raises `InputError` for a mistake before anything is measured; at the end, where something failed.
    """
    models = [_find(name) for name in dict.fromkeys(wanted.models)]
    with tempfile.TemporaryDirectory(prefix="stepladder-") as scratch:
        with _on_disk(Path(scratch)):
            tasks = _check_tasks(wanted, models, Path(scratch))
        if wanted.harness:
            check_harness(wanted.harness, wanted.harness_folder)
            for model in models:
                check_family(model.checkpoint, LanguageModelling(name="lm-eval", fields=()))
        store = Evaluations(wanted.out, join_ranks())
        with _on_disk(wanted.out), store.locked():
            store.finished()  # one that cannot be read is told now, not once all is measured
            kept, failed = _measure(store, _jobs(store, wanted, models, tasks), err)
    if kept and store.ranks.is_first:
        print_results(out, kept)
        out.print(f"\nkept in {wanted.out}", markup=False, highlight=False, soft_wrap=True)
    if failed:
        count = len(failed) + len(kept)
        raise InputError(failed[0] if count == 1 else f"{len(failed)} of {count} failed: {'; '.join(failed)}")


@contextmanager
def _on_disk(folder: Path) -> Iterator[None]:
    """What goes wrong with a disk is told of the folder that is written to, where the error names no file."""
    try:
        yield
    except OSError as error:
        if error.errno is None or isinstance(error, BrokenPipeError):  # a library's own words; a reader gone
            raise
        raise as_input_error(error, folder) from error


def _find(name: str) -> _Model:
    checkpoint = find_model(name)
    label = model_name(checkpoint) if Path(name).expanduser().is_dir() else name
    origin, context = find_origin(checkpoint) or (None, None)
    return _Model(label, checkpoint, fingerprint(checkpoint), origin, context)


def _check_tasks(wanted: Wanted, models: Sequence[_Model], scratch: Path) -> list[tuple[FoundTask, Path]]:
    """Every task with the folder of its rows, found right for every model."""
    tasks = []
    for place, found in enumerate(wanted.tasks):
        rows = found.rows(scratch / str(place))
        if found.source is not None:
            _check_split(found.name, rows, wanted.settings.split)
        asked = check_rows(found.task, rows, wanted.settings.split, wanted.settings)
        labels = labels_there(found.task, asked, rows)
        for model in models:
            check_model(model.checkpoint, found.task, _settings(wanted, model))
            check_outputs(model.checkpoint, found.task, labels)
        tasks.append((found, rows))
    return tasks


def _check_split(name: str, rows: Path, split: str) -> None:
    """Of rows that were made here, nobody knows the folder: say what of the task is missing."""
    if not has_rows(rows, split):
        there = ", ".join(one for one in SPLITS if has_rows(rows, one))
        raise InputError(f"{name}: has no {split} rows; name some, or measure one of {there} with --split")


def _jobs(
    store: Evaluations, wanted: Wanted, models: Sequence[_Model], tasks: Sequence[tuple[FoundTask, Path]]
) -> list[_Job]:
    """All evaluations, model by model; lm-eval's are the first process's alone, and last: nobody waits."""
    jobs = [_task_job(store, wanted, model, found, rows) for model in models for found, rows in tasks]
    if store.ranks.is_first:
        jobs += [_harness_job(store, wanted, model, name) for model in models for name in wanted.harness]
    return jobs


def _task_job(store: Evaluations, wanted: Wanted, model: _Model, found: FoundTask, rows: Path) -> _Job:
    asked = Asked(
        model=model.name,
        checkpoint=model.checkpoint,
        fingerprint=model.fingerprint,
        task=found.task,
        rows=rows,
        settings=_settings(wanted, model),
        # what the files hold is told by the rows
        definition=found.settings and found.settings.model_dump(mode="json", exclude={"files", "hub"}),
        source=found.files(wanted.settings.split),
        seed=wanted.seed,
        origin=model.origin,
    )
    return _Job(found.name, model, lambda tell, models: store.run(asked, tell, models))


def _settings(wanted: Wanted, model: _Model) -> EvalSettings:
    """How a model is measured: one fine-tuned in a run reads as much as there, unless told otherwise."""
    if wanted.settings.context is not None:
        return wanted.settings
    return wanted.settings.model_copy(update={"context": model.context})


def _harness_job(store: Evaluations, wanted: Wanted, model: _Model, name: str) -> _Job:
    settings = wanted.settings
    told = {
        "version": VERSION,
        "fingerprint": model.fingerprint,
        "tokenizer": tokenizer_fingerprint(model.checkpoint),
        "task": PREFIX + name,
        "definition": task_fingerprint(name, wanted.harness_folder),
        "settings": settings.model_dump(include={"max_items", "context", "dtype", "bootstrap"}),
    }

    def make(tell: Callable[[int, int], None], models: dict[Any, Any]) -> Kept:
        folder = store.place(model.name, model.fingerprint, PREFIX + name, told)
        if (kept := read_kept(folder)) is not None:
            return kept
        if "lm-eval" not in models:
            models["lm-eval"] = load_harness(model.checkpoint, settings)
        lm = models["lm-eval"]
        label = store.label(model.name, folder)
        origin = model.origin or dataclasses.replace(
            foreign_origin(lm.model, "causal-lm", label), model_fingerprint=model.fingerprint
        )
        filed = run_harness(lm, name, origin, task_folder=wanted.harness_folder, settings=settings)
        results = [result for one in filed for result in one.results]
        items = [item for one in filed for item in one.items]
        if not results:
            raise InputError(f"lm-eval {name}: {'; '.join(left for one in filed for left in one.left_out)}")
        facts = {
            "items": len(items),
            "left_out": [f"{one.task}: {left}" for one in filed for left in one.left_out],
            "contamination": None,
            "contamination_missing": "lm-eval does not look for it",
        }
        return store.file(folder, model.name, told, results, items, facts)

    return _Job(PREFIX + name, model, make)


def _measure(store: Evaluations, jobs: Sequence[_Job], err: Console) -> tuple[list[Kept], list[str]]:
    """Every job's evaluation, or why there is none; what is finished is gathered however it ends."""
    kept: list[Kept] = []
    failed: list[str] = []
    loaded: dict[Any, Any] = {}
    before = None
    with _progress(err) as progress:
        whole = progress.add_task("all", total=len(jobs))
        try:
            for job in jobs:
                if job.model != before:
                    loaded, before = {}, job.model  # one model in memory at a time
                bar = progress.add_task(f"{job.model.name}: {job.name}", total=None)

                def tell(done: int, of: int, bar: Any = bar) -> None:
                    progress.update(bar, completed=done, total=of)

                try:
                    kept.append(job.make(tell, loaded))
                except _FAILURES as error:
                    failed.append(f"{job.model.name}, {job.name}: {_first_line(error)}")
                progress.remove_task(bar)
                progress.update(whole, advance=1)
        finally:
            if store.ranks.is_first:
                _gather(store)
    return kept, failed


def _gather(store: Evaluations) -> None:
    """results.jsonl and results.md over all that is finished, results.md of each model."""
    store.gather()
    finished = store.finished()
    write_atomic(store.root / "results.md", results_markdown(finished))
    for folder in {one.folder.parent for one in finished}:
        own = [one for one in finished if one.folder.parent == folder]
        write_atomic(folder / "results.md", results_markdown(own))


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeRemainingColumn(compact=True),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
