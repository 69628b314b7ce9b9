"""A folder of evaluations: each model, task and settings once, kept whole, gathered in one table."""

from __future__ import annotations

import dataclasses
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from eval.files import InputError, hash_file, hash_json, read_json, read_jsonl, write_json, write_jsonl
from eval.ranks import Ranks
from eval.results import Origin, Result, read_results, write_results
from eval.settings import EvalSettings
from eval.tasks.base import Task
from eval.tasks.rows import split_files

VERSION = 1  # raised when the same question should be answered anew
MANIFEST = "manifest.json"
RESULTS, ITEMS, SAMPLES, FACTS = "results.jsonl", "items.jsonl.gz", "samples.jsonl", "facts.json"
MODEL = "model.json"
# What a folder of evaluations never has in it, and what a folder with it is.
_OTHERS = {
    "plan.json": "a run's folder",
    "config.json": "a model's folder",
    MANIFEST: "one evaluation, or a stage of a run",
    MODEL: "the evaluations of one model",
}
# Settings that change no result: speed, and what is shown. Which task is measured stands in the key anyway.
_NOT_IN_KEY = {"batch_tokens", "batch_size", "samples", "tasks"}
_LONGEST_NAME, _KEY = 80, 12  # characters

Tell = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One model on one task. `model`: what people call it; `rows`: the folder of the task's canonical rows.

    `definition` says what the task is beside its fields, as JSON: a reader's settings. `source` names the
    files of the rows, for people. `origin` is None for a checkpoint from elsewhere.
    """

    model: str
    checkpoint: Path
    fingerprint: str
    task: Task
    rows: Path
    settings: EvalSettings
    definition: Any = None
    source: tuple[str, ...] = ()
    seed: int = 0
    origin: Origin | None = None

    @property
    def label(self) -> str:
        """What its folder is called, but for the key."""
        return f"{self.task.name}-{self.settings.split}"

    def told(self) -> dict[str, Any]:
        """All that decides what is found, as JSON; the key is its hash."""
        from eval.loading import tokenizer_fingerprint

        return {
            "version": VERSION,
            "fingerprint": self.fingerprint,
            "tokenizer": tokenizer_fingerprint(self.checkpoint),
            "task": _task_as_json(self.task),
            "definition": self.definition,
            "rows": {path.name: hash_file(path) for path in split_files(self.rows)},
            "settings": self.settings.model_dump(mode="json", exclude=_NOT_IN_KEY),
            "seed": self.seed,
            "origin": self.origin and dataclasses.asdict(self.origin),
        }


@dataclass(frozen=True)
class Kept:
    """A finished evaluation, read back from its folder."""

    folder: Path
    manifest: Mapping[str, Any]
    results: list[Result]
    facts: Mapping[str, Any]

    def items(self) -> Iterator[dict[str, Any]]:
        """Its items, one after the other."""
        return read_jsonl(self.folder / ITEMS)


class Evaluations:
    """`root`/<model>/<task>-<split>-<key>/, and `results.jsonl` over all of them.

    An evaluation is finished when its manifest.json is there, which is written last; what a stopped or failed
    one left is removed.
    """

    def __init__(self, root: Path, ranks: Ranks | None = None) -> None:
        """`ranks`: the processes of a launcher, of which the first one writes."""
        self.root = root
        self.ranks = ranks or Ranks()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for this process.

        Raises `InputError` for a file, for a folder that holds something else, whose table would be lost, and
        where another process holds it.
        """
        if self.root.exists() and not self.root.is_dir():
            raise InputError(f"{self.root}: is a file; name a folder with --out")
        for name, what in _OTHERS.items():
            if (self.root / name).is_file():
                raise InputError(f"{self.root}: is {what} ({name} is in it); name another folder with --out")
        if not self.ranks.is_first:
            yield
            return
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"{self.root}: cannot be made ({error.strerror}); name another folder with --out"
            ) from error
        lock = FileLock(self.root / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise InputError(
                f"{self.root}: another `stepladder eval` writes here; wait for it, or name another --out"
            ) from error
        try:
            yield
        finally:
            lock.release()

    def model_folder(self, name: str, fingerprint: str) -> Path:
        """Where the evaluations of a model are: its name, made safe, and part of its fingerprint where
        another model has that folder."""
        plain = safe_name(name)
        for label in (plain, f"{plain}-{fingerprint[:8]}"):
            folder = self.root / label
            if not (folder / MODEL).is_file() or read_json(folder / MODEL)["fingerprint"] == fingerprint:
                return folder
        raise InputError(f"{folder}: holds another model's evaluations; name another --out")

    def folder(self, asked: Asked) -> Path:
        """Where this one is, or will be."""
        return self.place(asked.model, asked.fingerprint, asked.label, asked.told())

    def place(self, model: str, fingerprint: str, name: str, told: Mapping[str, Any]) -> Path:
        """The folder of an evaluation called `name` that `told` decides."""
        return self.model_folder(model, fingerprint) / f"{safe_name(name)}-{hash_json(told)[:_KEY]}"

    def run(self, asked: Asked, tell: Tell | None = None, models: dict[Any, Any] | None = None) -> Kept:
        """The evaluation, measured unless it is there. Raises as `eval.evaluate.evaluate` does.

        Every process of a launcher calls it; the first one writes.
        """
        told = asked.told()  # once: what is in the files may change meanwhile
        folder = self.place(asked.model, asked.fingerprint, asked.label, told)
        if (kept := read_kept(folder)) is not None:
            return kept
        from eval.evaluate import evaluate

        with self._writing(folder, asked.model, asked.fingerprint) as first:
            found = evaluate(
                asked.checkpoint,
                asked.task,
                asked.rows,
                origin=asked.origin,
                settings=asked.settings,
                seed=asked.seed,
                items_to=folder / ITEMS,
                tell=tell,
                models=models,
                ranks=self.ranks,
            )
            results = found.results
            if asked.origin is None:
                results = [self._named(result, asked, folder) for result in results]
            manifest = _manifest(asked.model, asked.task.name, told, asked.source)
            if first:
                write_results(folder / RESULTS, results)
                write_jsonl(folder / SAMPLES, found.samples)
                write_json(folder / FACTS, found.facts)
                write_json(folder / MANIFEST, manifest)
        return Kept(folder, manifest, results, found.facts)

    def file(
        self,
        folder: Path,
        model: str,
        told: Mapping[str, Any],
        results: Sequence[Result],
        items: Iterable[Mapping[str, Any]],
        facts: Mapping[str, Any],
    ) -> Kept:
        """Keep what was measured elsewhere, in a folder that `place` gave; `told` has the `fingerprint`."""
        manifest = _manifest(model, results[0].task if results else "", told)
        with self._writing(folder, model, told["fingerprint"]) as first:
            if first:
                write_jsonl(folder / ITEMS, items)
                write_results(folder / RESULTS, results)
                write_json(folder / FACTS, facts)
                write_json(folder / MANIFEST, manifest)
        return Kept(folder, manifest, list(results), facts)

    def finished(self) -> list[Kept]:
        """Every finished evaluation, in the order in which they were made."""
        found = [read_kept(manifest.parent) for manifest in sorted(self.root.glob(f"*/*/{MANIFEST}"))]
        return sorted(
            (kept for kept in found if kept is not None),
            key=lambda kept: (str(kept.manifest["made"]), str(kept.folder)),
        )

    def gather(self) -> list[Result]:
        """Write `results.jsonl` from all finished evaluations: what a report is made of.

        Of results that differ in nothing but value and error (measured with more bootstrap replicates, say)
        the last made one stands; so do baselines that several models share.
        """
        table: dict[tuple[Any, ...], Result] = {}
        for kept in self.finished():
            for result in kept.results:
                table[_identity(result)] = result
        results = list(table.values())
        write_results(self.root / RESULTS, results)
        return results

    def _named(self, result: Result, asked: Asked, folder: Path) -> Result:
        """A foreign model's result under the name that tells it from the others in this folder."""
        if result.family == "baseline":
            return result
        return dataclasses.replace(result, rung=self.label(asked.model, folder))

    def label(self, model: str, folder: Path) -> str:
        """What tells a foreign model from the others: its name, or that of its folder where it shares one."""
        own = folder.parent.name
        return model if own == safe_name(model) else own

    @contextmanager
    def _writing(self, folder: Path, model: str, fingerprint: str) -> Iterator[bool]:
        """An empty folder to write in, which is gone again unless all goes well; whether to write at all."""
        first = self.ranks.is_first
        if first:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            write_json(folder.parent / MODEL, {"model": model, "fingerprint": fingerprint})
        try:
            yield first
        except BaseException:
            if first:
                shutil.rmtree(folder, ignore_errors=True)
            raise


def read_kept(folder: Path) -> Kept | None:
    """The finished evaluation in `folder`; None where a file of it is not there."""
    if not all((folder / name).is_file() for name in (MANIFEST, RESULTS, ITEMS, FACTS)):
        return None
    manifest = read_json(folder / MANIFEST)
    return Kept(folder, manifest, read_results(folder / RESULTS), read_json(folder / FACTS))


def safe_name(name: str) -> str:
    """The name as every file system takes it: letters, digits, `._-`, not too long, no dot in front."""
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:_LONGEST_NAME]
    return safe or "model"


def _manifest(model: str, task: str, told: Mapping[str, Any], source: Sequence[str] = ()) -> dict[str, Any]:
    return {
        "format": 1,
        "model": model,
        "task": task,
        "source": list(source),
        "key": hash_json(told)[:12],
        "told": told,
        "made": datetime.now(UTC).isoformat(timespec="microseconds"),
    }


def _task_as_json(task: Task) -> dict[str, Any]:
    """The task's fields that are data; functions are told by `VERSION` and the definition."""
    fields: dict[str, Any] = {}
    for field in dataclasses.fields(task):
        value = getattr(task, field.name)
        if not callable(value):
            fields[field.name] = value.model_dump(mode="json") if hasattr(value, "model_dump") else value
    if (classifier := fields.get("classifier")) is not None:
        from eval.loading import find_checkpoint, fingerprint

        fields["classifier"] = fingerprint(find_checkpoint(classifier))
    return fields


def _identity(result: Result) -> tuple[Any, ...]:
    """What must be the same before one result stands for another."""
    names = "run stage family objective rung tokens step seed task split metric signature"
    fingerprints = "model_fingerprint data_fingerprint"
    return tuple(getattr(result, name) for name in f"{names} {fingerprints}".split())
