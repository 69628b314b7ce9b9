"""Find the task that a command line means: a built-in one, a file's, or a kind over the reader's own rows."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, StringConstraints, ValidationError

from eval.files import InputError, read_text
from eval.results import SPLITS
from eval.safety import check_name
from eval.settings_errors import explain
from eval.tables import DOCUMENT, TABLES, file_kind, read_table
from eval.tasks import TASKS, Task, Toxicity, make_task
from eval.tasks.base import KINDS
from eval.tasks.canonical import make_row
from eval.tasks.data import check_source, write_rows
from eval.tasks.rows import check_row
from eval.tasks.settings import RowSettings, TaskSettings
from eval.tasks.toxicity import check_classifier
from eval.yaml_text import parse_yaml

S = TypeVar("S", bound=RowSettings)

_EXAMPLE = "docs/tasks.md shows one"
_TASK_FILES = (".yaml", ".yml")


class TaskFile(TaskSettings):
    """What a file of a task holds."""

    name: (
        Annotated[
            str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=64), AfterValidator(check_name)
        ]
        | None
    ) = None
    """What results call the task; the file's own name when left out."""


@dataclass(frozen=True, kw_only=True)
class FoundTask:
    """A task with its rows. `settings`: None for a built-in one; `base`: where relative files are.

    `source` makes the rows; None where `folder` holds them in canonical form already.
    """

    name: str
    task: Task
    settings: TaskSettings | None
    base: Path
    source: RowSettings | None
    folder: Path | None

    def files(self, split: str) -> tuple[str, ...]:
        """What the rows of a split come from: files, patterns of files, or a data set of the hub.

        Validation rows that nobody names come from the train rows.
        """
        if self.folder is not None:
            return (_splits(self.folder)[split],)
        assert self.source is not None, "rows are made, or there already"
        if (hub := self.source.hub) is not None:
            config = f":{hub.config}" if hub.config else ""
            return (hub.name + config + (f"@{hub.revision}" if hub.revision else ""),)
        assert self.source.files is not None, "settings have files or hub"
        patterns = getattr(self.source.files, split) or self.source.files.train or ()
        return tuple(os.path.normpath(self.base / Path(pattern).expanduser()) for pattern in patterns)

    def rows(self, out: Path) -> Path:
        """The folder of the canonical rows, `{split}.jsonl`: the reader's own, else `out`, written now.

        Raises `InputError` for the first row that is wrong, by file and row.
        """
        if self.source is None:
            assert self.folder is not None, "rows are made, or there already"
            return self.folder
        write_rows(self.name, self.source, self.base, out)
        return out


def find_task(reference: str, data: Sequence[str] = ()) -> FoundTask:
    """The task that `reference` names, over its own rows or over `data`; nothing heavy is loaded.

    `reference`: a built-in task's name, a YAML file of TaskSettings (its files are relative to it), or the
    name of a kind. `data`: files of test rows, or one folder that holds test.jsonl, train.csv and so on; of a
    YAML task files take the place of its test rows, a folder that of all. The first row of each file is
    checked. Raises `InputError`, one line, for a name, file or setting that is wrong.
    """
    if reference not in TASKS and reference not in KINDS:
        path = Path(reference).expanduser()
        if path.suffix.lower() in _TASK_FILES or path.is_file():
            return _of_file(path, data)
        raise InputError(_unknown(reference))
    kind = TASKS[reference].kind if reference in TASKS else reference
    if not data:
        fields = ", ".join(field for field in KINDS[kind].fields if field != "id")
        raise InputError(f"{reference}: has no rows of its own; name some (--data FILE) with {fields}")
    values = {"kind": kind, "files": _files(data)}
    if reference in TASKS:
        found = FoundTask(
            name=reference,
            task=TASKS[reference],
            settings=None,
            base=Path.cwd(),
            source=_validate(RowSettings, values, {}, reference),
            folder=None,
        )
    else:
        settings = _validate(TaskSettings, values, {}, reference)
        found = _own(f"{reference}-{_stem(data[0])}", settings, Path.cwd())
    folder = Path(data[0]).expanduser()
    return _checked(found, folder if folder.is_dir() else None)


def find_tasks(names: Sequence[str], data: Sequence[str] = ()) -> list[FoundTask]:
    """Each task of a command line with its rows, each pair once: one task may be asked about several.

    One of `data` is for all tasks; several are one task's, or as many as there are tasks. Raises `InputError`
    for another number of them, and as `find_task` does.
    """
    where = [tuple(data)] * len(names)
    if len(names) > 1 and len(data) > 1:
        if len(data) != len(names):
            raise InputError(f"--data: {len(data)} for {len(names)} tasks; give one for all, or one for each")
        where = [(one,) for one in data]
    return [find_task(name, rows) for name, rows in dict.fromkeys(zip(names, where, strict=True))]


def _of_file(path: Path, data: Sequence[str]) -> FoundTask:
    text = read_text(path).removeprefix("\ufeff")
    document = parse_yaml(text, lambda line, column: f"{path}:{line}:{column}")
    if not isinstance(document.data, dict):
        raise InputError(f"{path}: is not a task; write `key: value` lines ({_EXAMPLE})")
    values = dict(document.data)
    if data:
        own = values.get("files") if not Path(data[0]).expanduser().is_dir() else None
        values["files"] = {**(own if isinstance(own, dict) else {}), **_files(data)}
        values.pop("hub", None)
    read = _validate(TaskFile, values, document.places, str(path))
    settings = TaskSettings(**read.model_dump(exclude={"name"}))
    return _checked(_own(read.name or _stem(str(path)), settings, path.absolute().parent), None)


def _validate(model: type[S], values: Mapping[str, Any], places: Mapping[Any, str], shown: str) -> S:
    try:
        # by way of JSON, whose strict rules take a list where a model has a tuple, never text for a number
        return model.model_validate_json(json.dumps(values), strict=True)
    except ValidationError as error:
        raise InputError(explain(error, model, values, places, shown, _EXAMPLE)) from error


def _own(name: str, settings: TaskSettings, base: Path) -> FoundTask:
    if settings.kind == "prompted-classification" and not settings.classes:
        settings = _with_labels_seen(name, settings, base)
    task = make_task(name, settings, base)
    return FoundTask(name=name, task=task, settings=settings, base=base, source=settings, folder=None)


def _checked(found: FoundTask, folder: Path | None) -> FoundTask:
    """Look at the first row of each file; a folder of canonical rows, if it is one, is taken as it is."""
    if isinstance(found.task, Toxicity):
        check_classifier(found.task, f"{found.name}: classifier")
    assert found.source is not None
    if found.source.hub is not None:
        return found
    if folder is not None and _is_canonical(found.task, folder):
        return FoundTask(**{**vars(found), "source": None, "folder": folder})
    check_source(found.name, found.source, found.base)
    return found


def _is_canonical(task: Task, folder: Path) -> bool:
    """Whether the first row of every split is as the task reads it."""
    for path in map(Path, _splits(folder).values()):
        if file_kind(path) != ".jsonl":
            return False
        try:
            for row in read_table(path):
                check_row(task, row, str(path))
                break
        except InputError:
            return False
    return True


def _with_labels_seen(name: str, settings: TaskSettings, base: Path) -> TaskSettings:
    """The settings with the labels of all rows, each standing for itself."""
    if settings.hub is not None:
        raise InputError(f"{name}: names neither labels nor verbalizers; name the labels to choose from")
    labels: set[str] = set()
    for paths in check_source(name, settings, base).values():
        for path in paths.values():
            for number, row in enumerate(read_table(path), start=1):
                labels.add(make_row(row, settings, f"{path}: row {number}", "any")["label"])
    if len(labels) < 2:
        raise InputError(f"{name}: the rows have one label, {min(labels)!r}; two or more are wanted")
    return settings.model_copy(update={"verbalizers": {label: label for label in sorted(labels)}})


def _files(data: Sequence[str]) -> dict[str, Any]:
    """By split: the files of a folder, or those that are named, which are test rows."""
    for name in data:
        path = Path(name).expanduser()
        if path.is_dir() and len(data) > 1:
            raise InputError(f"{name}: is a folder; give it alone, or name files")
        if not path.exists() and not set("*?[") & set(name):
            raise InputError(f"{name}: no such file or folder; check the name")
    folder = Path(data[0]).expanduser()
    if folder.is_dir():
        return _splits(folder)
    return {"test": [str(Path(name).expanduser().absolute()) for name in data]}


def _splits(folder: Path) -> dict[str, Any]:
    """The one file of each split in a folder; where there is none of those, its texts are the test rows."""
    found: dict[str, Any] = {}
    for split in SPLITS:
        paths = sorted(path for path in folder.glob(f"{split}.*") if file_kind(path) in (*TABLES, DOCUMENT))
        if len(paths) > 1:
            raise InputError(f"{folder}: has {paths[0].name} and {paths[1].name}; keep one of them")
        if paths:
            found[split] = str(paths[0].absolute())
    if not found and (texts := sorted(path for path in folder.glob("*") if file_kind(path) == DOCUMENT)):
        return {"test": [str(path.absolute()) for path in texts]}
    if "test" not in found:
        raise InputError(
            f"{folder}: has no test.jsonl, test.csv or test.parquet; name the test rows' file so, or name "
            f"files: --data '{folder}/*.jsonl'"
        )
    return found


def _stem(name: str) -> str:
    """A file's or folder's name without its endings, as names of tasks are written."""
    stem = Path(name).expanduser().absolute().name.split(".")[0].lower()
    return "".join(one if one.isascii() and one.isalnum() else "-" for one in stem).strip("-") or "rows"


def _unknown(reference: str) -> str:
    """Names that are near, and how to see all."""
    near = difflib.get_close_matches(reference.lower(), {*TASKS, *KINDS}, n=3, cutoff=0.5)
    meant = f"did you mean {' or '.join(map(repr, sorted(near)))}? " if near else ""
    return f"task {reference!r} is not known; {meant}`stepladder eval --list` shows all; a file ends in .yaml"
