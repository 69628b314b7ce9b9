"""A model and a task in, Results out: the room's front door."""

from __future__ import annotations

import dataclasses
import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from eval.checking import WITHOUT_TRAIN, check_before_loading
from eval.contamination import compare
from eval.files import InputError
from eval.loading import check_family, find_checkpoint, fingerprint, load_model, model_name
from eval.measuring import Asked, Measurement, begin
from eval.metrics import Score
from eval.model import Model
from eval.ranks import Ranks
from eval.records import Setting, foreign_origin, make_result
from eval.results import Origin, Result
from eval.running import Tell, run, speed
from eval.settings import EvalSettings
from eval.tally import Tally
from eval.tasks import Task, get_task
from eval.tasks.rows import has_rows, open_rows

_LIBRARIES = ("torch", "transformers", "tokenizers", "numpy", "sacrebleu", "rouge-score")


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation leaves: results (baselines and subsets among them), samples to read, and facts.

    `facts` (JSON): `items`, those that `failed` or were `cut`, `contamination` by the train rows (null with
    `contamination_missing`, why), `speed`, and for labels a `confusion` matrix, for
    running text a `passage` with the nats of its tokens.
    """

    results: list[Result]
    samples: list[dict[str, str]]
    facts: dict[str, Any]


@dataclass(frozen=True)
class _Setting(Setting):
    """What all results of one evaluation share, and how their errors are drawn."""

    replicates: int
    seed: int


def evaluate(
    model_dir: str | Path,
    task: str | Task,
    data: Path,
    *,
    split: str | None = None,
    origin: Origin | None = None,
    settings: EvalSettings | None = None,
    seed: int = 0,
    items_to: Path | None = None,
    tell: Tell | None = None,
    models: dict[tuple[str, ...], Model] | None = None,
    ranks: Ranks | None = None,
) -> Evaluation:
    """Measure a checkpoint (a folder, or a hub name) on one task whose rows are in the folder `data`.

    `task` is a built-in one's name, or a task (`eval.tasks.make_task` makes one from a recipe's settings).
    `split` is the settings' unless given; `origin` is None for a checkpoint from elsewhere; `seed` is the
    bootstrap's. Every item goes to `items_to` (.jsonl.gz), if named; `tell` hears how many are done, of how
    many; `models` keeps what was loaded for the next call; `ranks` (`eval.ranks.join_ranks`) share the rows.
    Equal inputs give equal results but for `seconds`. Raises `InputError` for a user's mistakes.
    """
    started = time.perf_counter()
    settings = settings or EvalSettings()
    split = split or settings.split
    task = get_task(task) if isinstance(task, str) else task
    folder = find_checkpoint(model_dir)
    rows = check_before_loading(folder, task, Path(data), split, settings)
    models = {} if models is None else models
    model = _Loader(settings, models)(folder, task)
    # how much the measured model reads is nothing to a judge
    judges = _Loader(settings.model_copy(update={"context": None}), models)
    asked = Asked(task, rows, Path(data), settings, judges)
    measurement = begin(model, asked)
    contamination = _contamination(asked)
    begun = time.perf_counter()
    tally = run(
        measurement,
        rows,
        device=model.device.type,
        contaminated=contamination.ids,
        samples=settings.samples,
        items_to=items_to,
        tell=tell,
        ranks=ranks,
    )
    inner = time.perf_counter() - begun
    _refuse_nothing(task, tally)
    facts = _facts(tally) | contamination.facts
    facts["speed"] = speed(model, tally, inner)
    known = origin or foreign_origin(model.network, task.objective, model_name(model_dir))
    if known.model_fingerprint is None:
        known = dataclasses.replace(known, model_fingerprint=fingerprint(folder))
    absent = "not given by the run" if origin else "a checkpoint from elsewhere does not say"
    seconds = round(time.perf_counter() - started, 3)
    setting = _Setting(split, rows.fingerprint(), _versions(), seconds, settings.bootstrap, seed)
    results = [
        make_result(score, name, setting, known, absent)
        for name, scores in _parts(task, tally, setting)
        for score in scores
    ]
    return Evaluation(results + _baselines(measurement, asked, known, setting), tally.samples, facts)


def _facts(tally: Tally) -> dict[str, Any]:
    facts = {"items": tally.items, "failed": tally.told("failed"), "cut": tally.told("cut")}
    more = {"confusion": tally.confusion(), "passage": tally.passage}
    return facts | {name: value for name, value in more.items() if value is not None}


@dataclass(frozen=True)
class _Loader:
    """Loads models, each once."""

    settings: EvalSettings
    models: dict[tuple[str, ...], Model]

    def __call__(self, folder: str | Path, task: Task) -> Model:
        head = check_family(Path(folder), task)
        key = (str(Path(folder).resolve()), head, self.settings.dtype, str(self.settings.context))
        if key not in self.models:
            self.models[key] = load_model(Path(folder), task, self.settings)
        return self.models[key]


@dataclass(frozen=True)
class _Contamination:
    facts: dict[str, Any]
    ids: frozenset[str] = frozenset()


def _contamination(asked: Asked) -> _Contamination:
    """Which items share n-grams with train rows, where there are such rows and it means something."""
    reason = None
    if not asked.settings.contamination:
        reason = "not asked for"
    elif asked.task.kind in WITHOUT_TRAIN:
        reason = f"not looked for in {asked.task.kind}"
    elif not has_rows(asked.data, "train"):
        reason = "no train rows to compare with"
    if reason is not None:
        return _Contamination({"contamination": None, "contamination_missing": reason})
    report = compare(asked.rows, open_rows(asked.task, asked.data, "train"))
    return _Contamination({"contamination": report.facts()}, report.ids)


def _parts(task: Task, tally: Tally, setting: _Setting) -> Iterator[tuple[str, list[Score]]]:
    """The scores of all items, and of every part that is scored by itself; each with its name."""
    yield task.name, tally.scores(replicates=setting.replicates, seed=setting.seed)
    for name, chosen in tally.parts():
        scores = tally.scores(replicates=setting.replicates, seed=setting.seed, chosen=chosen)
        yield f"{task.name}/{name}", scores


def _baselines(measurement: Measurement, asked: Asked, model: Origin, setting: _Setting) -> list[Result]:
    """The scores of what needs no model, on the same rows."""
    results = []
    for name, baseline in measurement.baselines:
        nobody = Origin(
            run=model.run, stage="evaluate", family="baseline", objective=model.objective, rung=name
        )
        scores = run(baseline, asked.rows).scores(replicates=setting.replicates, seed=setting.seed)
        results += [
            make_result(score, asked.task.name, setting, nobody, "a baseline has no model")
            for score in scores
        ]
    return results


def _refuse_nothing(task: Task, tally: Tally) -> None:
    """Raise `InputError` where no item could be scored."""
    failed = tally.told("failed")
    if failed["count"] == tally.items:
        raise InputError(f"{task.name}: all {tally.items} items failed, the first: {failed['examples'][0]}")
    if task.kind == "language-modelling" and not tally.tokens:
        raise InputError(f"{task.name}: all {tally.items} documents are empty; give some text")


def _versions() -> dict[str, str]:
    return {"python": platform.python_version()} | {name: version(name) for name in _LIBRARIES}
