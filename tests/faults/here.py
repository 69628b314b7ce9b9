"""Whole runs of a tiny recipe in this process, so that many of them can be broken and mended in seconds."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from pathlib import Path
from types import TracebackType

import pytest
from rich.console import Console

from eval.results import Result, read_results, same
from pipelines.executors.scheduling import Ended, Needs
from pipelines.recipe_file import load_recipe
from pipelines.run import Executor, run_recipe
from pipelines.stages import Job, Message, Outcome, run_stage
from tests.test_run import write_recipe

RECIPE = """
name: tiny
corpus: {files: [text.jsonl]}
tokenizer: {train: bpe, vocab_size: 300}
context: 32
ladder: {rungs: {shapes: [1x16, 1x32]}, head_size: 16}
budget: {tokens: 8e3}
training: {rule: small-ladder, batch_tokens: 512, checkpoint_every_s: 1e-6}
eval: {tasks: [perplexity], bootstrap: 100, max_items: 5}
report: {bootstrap: 100, holdout: 0}
"""


class Here:
    """A backend whose stages run in this process, one at a time."""

    threads = 1

    def __init__(self, jobs: int, on_message: Callable[[Message], None]) -> None:
        self._tell = on_message
        self._ended: list[Ended] = []

    def __enter__(self) -> Here:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def room(self, needs: Needs) -> bool:
        return not self._ended

    def start(self, job: Job, needs: Needs) -> None:
        self._ended.append(Ended(job.stage.id, run_stage(job, self._tell)))

    def wait(self, seconds: float) -> list[Ended]:
        ended, self._ended = self._ended, []
        return ended

    def stop(self, stage: str) -> None: ...

    def kill(self, stage: str) -> None: ...


def run_here(
    folder: Path, monkeypatch: pytest.MonkeyPatch, recipe: str = RECIPE
) -> tuple[str, list[Outcome]]:
    """Run the recipe into `folder/runs/tiny`; what was shown, in one line, and what failed."""
    if not (folder / "tiny.yaml").is_file():
        write_recipe(folder, recipe)
    monkeypatch.setattr("pipelines.run.Local", Here)
    # it has tests of its own, and takes longer than all the rest
    monkeypatch.setattr("pipelines.run._report", lambda run, loaded: (run.root / "report", False))
    shown = StringIO()
    loaded = load_recipe(str(folder / "tiny.yaml"), ())
    summary = run_recipe(loaded, folder / "runs" / "tiny", Executor(jobs=1), Console(file=shown, width=1000))
    assert summary is not None
    return " ".join(shown.getvalue().split()), list(summary.failed)


def results_of(folder: Path) -> list[Result]:
    return read_results(folder / "runs" / "tiny" / "results.jsonl")


def assert_same(results: list[Result], expected: list[Result]) -> None:
    assert len(results) == len(expected) > 0
    for one, other in zip(results, expected, strict=True):
        assert same(one, other), (one, other)
