"""Turn a table's rows into the canonical rows of a kind of task, or say which value is wrong and where."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from eval.files import InputError
from eval.tasks.base import KINDS
from eval.tasks.settings import TaskSettings

_ABSENT = object()
_WITHHELD = "; hub sets mark labels that are withheld so: use a split that has them"


def make_row(row: Mapping[str, Any], settings: TaskSettings, where: str, new_id: str) -> dict[str, Any]:
    """One canonical row: the fields of the kind, checked, and the optional ones that are there.

    `where` begins every error; `new_id` names the row where the table has no column of ids. Raises
    `InputError` for columns that are not there, with those that are, and for values of the wrong kind.
    """
    kind = KINDS[settings.kind]
    made: dict[str, Any] = {}
    for field in (*kind.fields, *kind.optional):
        value = _find(row, field, settings, where)
        if value is _ABSENT and field == "id":
            value = new_id
        if value is _ABSENT and field == "target":
            value = _first_reference(row, settings, where)
        if value is not _ABSENT:
            made[field] = _READERS[field](value, f"{where}: {field}", settings.labels or ())
    if settings.kind == "tagging" and len(made["words"]) != len(made["tags"]):
        raise InputError(
            f"{where}: {len(made['words'])} words and {len(made['tags'])} tags; give each word one tag"
        )
    if settings.kind == "span":
        _check_answers(made, where)
    return made


def _find(row: Mapping[str, Any], field: str, settings: TaskSettings, where: str) -> Any:
    """The value of a field's column; `_ABSENT` for an optional field that is neither named nor there."""
    column = settings.columns.get(field, field)
    value = row[column] if column in row else _inside(row, column)
    if value is not _ABSENT:
        return value
    spared = ("id", *KINDS[settings.kind].optional)
    if field not in settings.columns and (field in spared or _has_references(field, row, settings)):
        return _ABSENT
    there = ", ".join(map(str, row))
    advice = f"set columns: {{{field}: …}} to one of them" if column == field else "name one of them"
    raise InputError(f"{where}: no column {column!r} for {field}; there are {there}; {advice}")


def _inside(row: Mapping[str, Any], path: str) -> Any:
    """The value at `a.b.c`, looked up inside of mappings."""
    value: Any = row
    for part in path.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return _ABSENT
        value = value[part]
    return value


def _has_references(field: str, row: Mapping[str, Any], settings: TaskSettings) -> bool:
    """Whether a generation row gives its target by its references alone."""
    column = settings.columns.get("references", "references")
    return field == "target" and (column in row or _inside(row, column) is not _ABSENT)


def _first_reference(row: Mapping[str, Any], settings: TaskSettings, where: str) -> Any:
    value = _find(row, "references", settings, where)
    return _texts(value, f"{where}: references", ())[0]


def _id(value: Any, where: str, labels: Sequence[str]) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
        raise InputError(f"{where} is {_show(value)}; a text or a whole number is wanted")
    return str(value)


def _text(value: Any, where: str, labels: Sequence[str]) -> str:
    if not isinstance(value, str):
        raise InputError(f"{where} is {_show(value)}; a text is wanted")
    return value


def _some_text(value: Any, where: str, labels: Sequence[str]) -> str:
    if not _text(value, where, labels).strip():
        raise InputError(f"{where} is empty; a text is wanted: write one, or remove the row")
    return str(value)


def _joined(value: Any, where: str, labels: Sequence[str]) -> str:
    """A text, or a list of its sentences."""
    return _some_text(" ".join(_texts(value, where, labels)), where, labels)


def _first(value: Any, where: str, labels: Sequence[str]) -> str:
    """A text, or the first of several that would do."""
    return _texts(value, where, labels)[0]


def _texts(value: Any, where: str, labels: Sequence[str]) -> list[str]:
    """One text or several, at least one."""
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list) or not found:
        raise InputError(f"{where} is {_show(value)}; a list of texts is wanted")
    return [_some_text(one, where, labels) for one in found]


def _label(value: Any, where: str, labels: Sequence[str]) -> str:
    """A label's name: of a whole number its name in `labels`; without `labels` the value itself, as text.

    Space around it counts for nothing: tables often have some after a comma.
    """
    value = value.strip() if isinstance(value, str) else value
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        raise InputError(f"{where} is missing; give every row its label, or remove the row")
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # tables with gaps keep whole numbers so
    if not isinstance(value, (str, int)):
        raise InputError(f"{where} is {_show(value)}; a name or a whole number is wanted")
    if not labels:
        return str(value)
    if isinstance(value, str) and value in labels:
        return value
    number = _whole(value)
    if number is None or not 0 <= number < len(labels):
        hint = _WITHHELD if number == -1 else ""
        raise InputError(
            f"{where} is {_show(value)}; the {len(labels)} labels are 0 {labels[0]} to "
            f"{len(labels) - 1} {labels[-1]}{hint}"
        )
    return labels[number]


def _labels(value: Any, where: str, labels: Sequence[str]) -> list[str]:
    """A row's set of labels, sorted; a text is cut at its commas."""
    found = [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
    if not isinstance(found, list):
        raise InputError(f"{where} is {_show(value)}; a list of labels is wanted (empty for none)")
    return sorted({_label(one, where, labels) for one in found})


def _number(value: Any, where: str, labels: Sequence[str]) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{where} is {_show(value)}; a finite number is wanted")
    return number


def _words(value: Any, where: str, labels: Sequence[str]) -> list[str]:
    """Words, or a text that is cut at its white space."""
    found = value.split() if isinstance(value, str) else value
    if not isinstance(found, list) or not found:
        raise InputError(f"{where} is {_show(value)}; a list of words is wanted")
    return [_some_text(one, where, labels) for one in found]


def _tags(value: Any, where: str, labels: Sequence[str]) -> list[str]:
    found = value.split() if isinstance(value, str) else value
    if not isinstance(found, list):
        raise InputError(f"{where} is {_show(value)}; a list of tags is wanted")
    return [_label(one, where, labels) for one in found]


def _answers(value: Any, where: str, labels: Sequence[str]) -> list[dict[str, Any]]:
    """Answers as [{text, start}], from that form or SQuAD's {text: [...], answer_start: [...]}."""
    if isinstance(value, Mapping):
        texts, starts = value.get("text"), value.get("answer_start", value.get("start"))
        if not isinstance(texts, list) or not isinstance(starts, list) or len(texts) != len(starts):
            raise InputError(f"{where} is {_show(value)}; as many text as answer_start are wanted")
        value = [{"text": text, "start": start} for text, start in zip(texts, starts, strict=True)]
    if not isinstance(value, list):
        raise InputError(f"{where} is {_show(value)}; [{{text, start}}] is wanted (empty: no answer)")
    found: list[dict[str, Any]] = []
    for one in value:
        start = one.get("start", one.get("answer_start")) if isinstance(one, Mapping) else None
        if start is None or isinstance(start, bool) or not isinstance(start, int) or "text" not in one:
            raise InputError(f"{where} has {_show(one)}; {{text, start}} is wanted")
        found.append({"text": _some_text(one["text"], where, labels), "start": start})
    return found


def _check_answers(row: Mapping[str, Any], where: str) -> None:
    for answer in row["answers"]:
        start, text = answer["start"], answer["text"]
        if start < 0 or row["context"][start : start + len(text)] != text:
            raise InputError(
                f"{where}: the answer {_show(text)} does not stand at character {start} of the context; "
                "mend its start"
            )


def _whole(value: str | int) -> int | None:
    try:
        return int(value)
    except ValueError:
        return None


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


_READERS: dict[str, Callable[[Any, str, Sequence[str]], Any]] = {
    "id": _id,
    "text": _text,
    "text_pair": _text,
    "label": _label,
    "labels": _labels,
    "value": _number,
    "source": _joined,
    "target": _first,
    "references": _texts,
    "question": _some_text,
    "context": _some_text,
    "answers": _answers,
    "words": _words,
    "tags": _tags,
    "group": _id,
}
