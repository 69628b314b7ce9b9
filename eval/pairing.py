"""Which evaluations two names stand for, which of A's belongs to which of B's, and where they differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.evaluations import ITEMS, MANIFEST, RESULTS
from eval.files import InputError, hash_json, read_json, read_jsonl
from eval.results import Result, read_results

_SHOWN = 3  # ids that a refusal lists
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """One model's results on one task, by metric; subsets and baselines left out."""

    folder: Path
    task: str
    results: Mapping[str, Result]
    made: str

    @property
    def first(self) -> Result:
        """Any of its results: what all share can be read from it."""
        return next(iter(self.results.values()))


@dataclass(frozen=True)
class Side:
    """All that one name stands for; of a run its rungs and seeds are told apart."""

    path: Path
    is_run: bool
    measured: tuple[Measured, ...]


@dataclass(frozen=True)
class Pair:
    """The same task and split, measured on both sides; of runs the same rung and seed, too."""

    a: Measured
    b: Measured


@dataclass(frozen=True)
class Items:
    """Scored items by id, in the order of the file: statistics by metric, (blocks, k) each."""

    statistics: Mapping[str, Mapping[str, Array]]
    references: Mapping[str, str]
    groups: Mapping[str, str]


def find_side(path: Path) -> Side:
    """The evaluations of a folder: one, a model's (`evals/<model>`), or a run's.

    Raises `InputError` for a folder with none, or with those of several models.
    """
    if not path.is_dir():
        raise InputError(f"{path}: no such folder; name an evaluation, evals/<model>, or a run folder")
    if (path / RESULTS).is_file() and (path / ITEMS).is_file():
        return Side(path, False, tuple(_read(path)))
    if (path / "stages").is_dir():
        folders = [path for path in sorted(path.glob("stages/evaluate-*")) if _is_finished(path)]
        return _side(path, True, folders)
    folders = [path for path in sorted(path.glob("*")) if _is_finished(path)]
    if not folders and (models := sorted({found.parent.parent for found in path.glob(f"*/*/{MANIFEST}")})):
        there = ", ".join(str(model) for model in models[:_SHOWN])
        raise InputError(f"{path}: holds evaluations of several models; name one of them, such as {there}")
    return _side(path, False, folders)


def pair_up(a: Side, b: Side) -> list[Pair]:
    """What both have measured. Of several evaluations of one task those with the same data and signatures are
    paired; where there are none, the last made, which a comparison then refuses in words.

    Raises `InputError` where they share nothing, and for a run against a model where the run has several.
    """
    runs = a.is_run and b.is_run
    for side, other in ((a, b), (b, a)):
        if side.is_run and not other.is_run:
            _refuse_many(side)
    first, second = _by_question(a, runs), _by_question(b, runs)
    shared = [question for question in first if question in second]
    if not shared:
        raise InputError(
            f"{a.path} and {b.path}: no task measured in both; A has {_names(first)}, B has {_names(second)}"
        )
    return [_best(first[question], second[question]) for question in shared]


def read_items(measured: Measured) -> Items:
    """The scored items of an evaluation; those that failed have no statistics, and are left out.

    Raises `InputError` for an item without an id, and for statistics that are no numbers of one length.
    """
    path = measured.folder / ITEMS
    lengths: dict[str, int] = {}
    statistics: dict[str, dict[str, Array]] = {}
    references: dict[str, str] = {}
    groups: dict[str, str] = {}
    for number, item in enumerate(read_jsonl(path), start=1):
        if item.get("task", measured.task) != measured.task or item.get("failed") is not None:
            continue
        try:
            name = str(item["id"])
            statistics[name] = {
                metric: _numbers(values, metric, lengths)
                for metric, values in item.get("statistics", {}).items()
            }
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(
                f"{path}: item {number} is not whole ({reason}); measure the model again"
            ) from error
        references[name] = hash_json(item.get("reference"))
        if "group" in item:
            groups[name] = str(item["group"])
    return Items(statistics, references, groups)


def _numbers(values: Any, metric: str, lengths: dict[str, int]) -> Array:
    """An item's statistics (blocks, k); of one metric every item has the same k, which `lengths` keeps."""
    found = np.atleast_2d(np.asarray(values, dtype=np.float64))
    if found.ndim != 2 or found.shape[1] != lengths.setdefault(metric, found.shape[1]) or not found.size:
        raise ValueError(f"{metric}: its statistics are of shape {found.shape}")
    if not np.isfinite(found).all():
        raise ValueError(f"{metric}: a statistic is no finite number")
    return found


def differing_items(a: Items, b: Items) -> str | None:
    """Which ids only one of them has, or which references differ; None where they are the same."""
    only_a = [name for name in a.statistics if name not in b.statistics]
    only_b = [name for name in b.statistics if name not in a.statistics]
    if only_a or only_b:
        told = [_some(names, f"only in {side}") for names, side in ((only_a, "A"), (only_b, "B")) if names]
        return f"other items: {', '.join(told)}"
    other = [name for name in a.references if a.references[name] != b.references[name]]
    return f"other references: {_some(other, 'differ')}" if other else None


def differing_signature(a: str | None, b: str | None) -> str | None:
    """The parts of two signatures (`key:value|…`) that differ, with both values; None where none does."""
    one, other = _parts(a), _parts(b)
    keys = [key for key in dict.fromkeys((*one, *other)) if one.get(key) != other.get(key)]
    if not keys:
        return None
    parts = [f"{key} is {one.get(key, 'not there')} in A, {other.get(key, 'not there')} in B" for key in keys]
    return f"other signature: {'; '.join(parts)}"


def _parts(signature: str | None) -> dict[str, str]:
    """A part without a colon is a key that is there."""
    found: dict[str, str] = {}
    for part in (signature or "").split("|"):
        key, colon, value = part.partition(":")
        if key:
            found[key] = value if colon else "there"
    return found


def _side(path: Path, is_run: bool, folders: Sequence[Path]) -> Side:
    if not folders:
        raise InputError(f"{path}: no finished evaluation in it; name one, evals/<model>, or a run folder")
    return Side(path, is_run, tuple(found for folder in folders for found in _read(folder)))


def _is_finished(folder: Path) -> bool:
    return all((folder / name).is_file() for name in (MANIFEST, RESULTS, ITEMS))


def _read(folder: Path) -> Iterator[Measured]:
    """The tasks of an evaluation: one, or those of a group of lm-eval's."""
    results = [result for result in read_results(folder / RESULTS) if result.family != "baseline"]
    tasks = list(dict.fromkeys(result.task for result in results))
    whole = [task for task in tasks if not any(task.startswith(f"{other}/") for other in tasks)]
    manifest = folder / MANIFEST
    told = read_json(manifest) if manifest.is_file() else {}
    made = str(told.get("made", "")) if isinstance(told, dict) else ""
    for task in whole:
        of_task = {result.metric: result for result in results if result.task == task}
        yield Measured(folder, task, of_task, made)


def _refuse_many(side: Side) -> None:
    models = sorted({f"{one.first.rung}, seed {one.first.seed}" for one in side.measured})
    if len(models) > 1:
        raise InputError(
            f"{side.path}: a run of {len(models)} models ({'; '.join(models[:_SHOWN])}, …) against one; "
            "name a stage's folder (stages/evaluate-…) of the model that is meant"
        )


Question = tuple[Any, ...]


def _by_question(side: Side, runs: bool) -> dict[Question, list[Measured]]:
    found: dict[Question, list[Measured]] = {}
    for one in side.measured:
        first = one.first
        model = (first.stage, first.rung, first.seed, first.tokens) if runs else ()
        found.setdefault((first.task, first.split, *model), []).append(one)
    return found


def _names(questions: Mapping[Question, Any]) -> str:
    return ", ".join(sorted({f"{task} ({split})" for task, split, *_ in questions}))


def _best(a: Sequence[Measured], b: Sequence[Measured]) -> Pair:
    """The pair that agrees in the most, the last made of equals."""
    pairs = [Pair(one, other) for one in a for other in b]
    return max(pairs, key=lambda pair: (_agreement(pair), pair.a.made, pair.b.made))


def _agreement(pair: Pair) -> tuple[bool, int]:
    shared = [metric for metric in pair.a.results if metric in pair.b.results]
    same_rows = pair.a.first.data_fingerprint == pair.b.first.data_fingerprint
    agreeing = [m for m in shared if pair.a.results[m].signature == pair.b.results[m].signature]
    return same_rows, len(agreeing)


def _some(names: Sequence[str], what: str) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{len(names)} {what} ({', '.join(names[:_SHOWN])}{more})"
