"""Turn a table's rows into the canonical rows of a kind of task, or say which value is wrong and where."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eval.files import InputError
from eval.tasks.base import KINDS
from eval.tasks.fields import CHECKS, READERS, show, some_text, some_texts
from eval.tasks.settings import RowSettings
from eval.tasks.templates import render

_ABSENT = object()


def make_row(row: Mapping[str, Any], settings: RowSettings, where: str, new_id: str) -> dict[str, Any]:
    """One canonical row: the fields of the kind, checked, and the optional ones that are there.

    `where` begins every error; `new_id` names the row where the table has no column of ids. Raises
    `InputError` for columns that are not there, with those that are, for templates that cannot be rendered,
    and for values of the wrong kind.
    """
    kind = KINDS[settings.kind]
    given = _rendered(row, settings, where) | _cut_passage(row, settings, where)
    made: dict[str, Any] = {}
    for field in (*kind.fields, *kind.optional):
        value = given[field] if field in given else _find(row, field, settings, where)
        if value is _ABSENT and field == "id":
            value = new_id
        if value is _ABSENT and field == "target":
            value = _first_reference(row, settings, where)
        if value is not _ABSENT:
            made[field] = READERS[field](value, f"{where}: {field}", settings.labels or ())
    if settings.verbalizers is not None and made["label"] not in settings.verbalizers:
        known = ", ".join(settings.verbalizers)
        raise InputError(f"{where}: label is {show(made['label'])}; the verbalizers are for {known}")
    if check := CHECKS.get(settings.kind):
        check(made, where)
    return made


def _rendered(row: Mapping[str, Any], settings: RowSettings, where: str) -> dict[str, Any]:
    """The fields that templates make."""
    made: dict[str, Any] = {
        field: render(template, row, f"{where}: the template of {field}")
        for field, template in settings.templates.items()
    }
    if settings.choices is not None:
        made["choices"] = [render(one, row, f"{where}: a template of choices") for one in settings.choices]
    return made


def _cut_passage(row: Mapping[str, Any], settings: RowSettings, where: str) -> dict[str, str]:
    """Of a cloze row that has only a `text`: all before its last word, and that word (LAMBADA's form)."""
    column = settings.columns.get("text", "text")
    fields = {"context", "target"}
    if settings.kind != "cloze" or fields & (set(settings.templates) | set(settings.columns) | set(row)):
        return {}
    value = row[column] if column in row else _inside(row, column)
    if value is _ABSENT and "text" not in settings.columns:
        return {}
    if value is _ABSENT:
        raise _no_column(row, "text", column, where)
    parts = some_text(value, f"{where}: text", ()).rsplit(None, 1)
    if len(parts) < 2:
        raise InputError(
            f"{where}: text is one word, {show(value)}; a passage before its last word is wanted"
        )
    return {"context": parts[0], "target": parts[1]}


def _find(row: Mapping[str, Any], field: str, settings: RowSettings, where: str) -> Any:
    """The value of a field's column; `_ABSENT` for an optional field that is neither named nor there."""
    column = settings.columns.get(field, field)
    value = row[column] if column in row else _inside(row, column)
    if value is not _ABSENT:
        return value
    spared = ("id", *KINDS[settings.kind].optional)
    if field not in settings.columns and (field in spared or _has_references(field, row, settings)):
        return _ABSENT
    raise _no_column(row, field, column, where)


def _no_column(row: Mapping[str, Any], field: str, column: str, where: str) -> InputError:
    there = ", ".join(map(str, row))
    advice = f"set columns: {{{field}: …}} to one of them" if column == field else "name one of them"
    return InputError(f"{where}: no column {column!r} for {field}; there are {there}; {advice}")


def _inside(row: Mapping[str, Any], path: str) -> Any:
    """The value at `a.b.c`, looked up inside of mappings."""
    value: Any = row
    for part in path.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return _ABSENT
        value = value[part]
    return value


def _has_references(field: str, row: Mapping[str, Any], settings: RowSettings) -> bool:
    """Whether a generation row gives its target by its references alone."""
    column = settings.columns.get("references", "references")
    return field == "target" and (column in row or _inside(row, column) is not _ABSENT)


def _first_reference(row: Mapping[str, Any], settings: RowSettings, where: str) -> Any:
    value = _find(row, "references", settings, where)
    return some_texts(value, f"{where}: references", ())[0]
