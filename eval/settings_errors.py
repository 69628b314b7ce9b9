"""Pydantic's findings in a settings file as one line for its writer: where, what, and what to do."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from eval.yaml_text import Path, join


def explain(
    error: ValidationError,
    model: type[BaseModel],
    data: Any,
    places: Mapping[Path, str],
    whole: str,
    example: str,
) -> str:
    """The first finding, as `place: field: what is wrong; what to do`, and how many more there are.

    `data` and `places` are the file's (`yaml_text.Document`); `whole` is the place of what has none, the
    file; `example` says what shows a whole one.
    """
    details = error.errors(include_url=False)
    # A misspelt key also makes one missing: the misspelling is what the writer must see.
    details.sort(key=lambda detail: detail["type"] != "extra_forbidden")
    first = details[0]
    path = _path_in(data, _location(first))
    more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
    place = _place(path, places, whole)
    field = f"{join(path)}: " if path else ""
    advice = f"is missing; add it ({example})" if first["type"] == "missing" else _advice(first, path, model)
    return f"{place}: {field}{advice}{more}"


def suggest(word: str, known: Iterable[str]) -> str:
    """`did you mean 'x'?` for the nearest known word, else all of them."""
    known = list(known)
    bare = word.strip("_-").lower()
    near = difflib.get_close_matches(bare, known, n=1)
    near += [one for one in known if bare in _short_forms(one)]
    return f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(known)}"


def _short_forms(name: str) -> set[str]:
    """What people write for a name of several words: its initials (`lr` for `learning_rate`), or one word."""
    words = name.replace("-", "_").split("_")
    return {"".join(word[0] for word in words), "".join(words), *words} if len(words) > 1 else set()


def _location(detail: ErrorDetails) -> Path:
    return (*detail["loc"], *detail.get("ctx", {}).get("at", ()))


def _path_in(data: Any, location: Path) -> Path:
    """The location without the union tags that pydantic puts between (they are not in the file)."""
    path: list[str | int] = []
    for number, part in enumerate(location):
        last = number == len(location) - 1
        if isinstance(data, list) and isinstance(part, int) and part < len(data):
            path.append(part)
            data = data[part]
        elif isinstance(data, dict) and (part in data or last):
            path.append(part)
            data = data.get(part)
    return tuple(path)


def _place(path: Path, places: Mapping[Path, str], whole: str) -> str:
    """The place of the path, or of the nearest part around it."""
    for length in range(len(path), 0, -1):
        if path[:length] in places:
            return places[path[:length]]
    return whole


def _advice(detail: ErrorDetails, path: Path, model: type[BaseModel]) -> str:
    kind, given, ctx = detail["type"], detail.get("input"), detail.get("ctx", {})
    if kind == "mistake":
        return str(ctx["text"])
    if kind == "extra_forbidden":
        return f"unknown key; {_suggest_key(path, model)}"
    if kind == "literal_error":
        return f"{given!r} is not one of the choices; {suggest(str(given), _choices(ctx))}"
    if kind == "string_pattern_mismatch":
        return f"{given!r} does not fit; use small letters, digits and dashes"
    if kind in _BOUNDS:
        word, bound = _BOUNDS[kind]
        return f"must be {word} {ctx[bound]:,g}, got {_show(given)}; change it"
    if kind == "too_short" and ctx["actual_length"]:
        return f"has {ctx['actual_length']}; {ctx['min_length']} or more are wanted"
    if kind in ("too_short", "string_too_short"):
        return "is empty; write something in it, or leave it out"
    if kind == "value_error":
        return str(ctx["error"])
    wanted = _WANTED.get(kind)
    if wanted is None:
        return f"{detail['msg'][0].lower()}{detail['msg'][1:]}, got {_show(given)}; change it"
    if isinstance(given, str) and _is_number(given) and wanted in _NUMBERS:
        return f"must be {wanted}, got the text {given!r}; write it without quotes: {given}"
    return f"must be {wanted}, got {_show(given)}; change it"


_BOUNDS = {
    "greater_than": ("more than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}
_NUMBERS = ("a number", "a whole number")
_WANTED = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "string_type": "text (in quotes, if it looks like something else)",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "tuple_type": "a list: [one, two]",
    "list_type": "a list: [one, two]",
    "model_type": "a mapping of keys to values",
    "model_attributes_type": "a mapping of keys to values",
    "dict_type": "a mapping of keys to values",
}


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _show(value: Any) -> str:
    """A value as YAML shows it, cut to one short line."""
    if value is None:
        return "nothing"
    kinds: dict[type, str] = {str: "the text ", dict: "the mapping ", list: "the list "}
    text = repr(value).lower() if isinstance(value, bool) else kinds.get(type(value), "") + repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _choices(ctx: Mapping[str, Any]) -> list[str]:
    """The literals of pydantic's `expected`, which is a sentence: 'a', 'b' or 'c'."""
    return re.findall(r"'([^']*)'", ctx["expected"])


def _suggest_key(path: Path, model: type[BaseModel]) -> str:
    """The nearest key of the same section; for a key of another section, where it belongs."""
    key = str(path[-1])
    known = _section_at(model, path[:-1]).model_fields
    homes = [join((*home, key)) for home, section in _sections(model) if key in section.model_fields]
    advice = suggest(key, known)
    if homes and not advice.startswith("did you mean"):
        return f"it belongs in {' or '.join(homes)}"
    return advice


def _section_at(model: type[BaseModel], path: Path) -> type[BaseModel]:
    named = False  # whether the next part is a name that the writer chose, as below a recipe's `tasks`
    for part in path:
        if isinstance(part, str) and not named:
            annotation = model.model_fields[part].annotation
            section = _section_of(annotation)
            assert section is not None, f"{part} holds no section, so it cannot have an unknown key"
            model, named = section, _is_named(annotation)
        else:
            named = False
    return model


def _sections(model: type[BaseModel], path: Path = ()) -> Iterator[tuple[Path, type[BaseModel]]]:
    yield path, model
    for name, field in model.model_fields.items():
        section = _section_of(field.annotation)
        if section is not None:
            yield from _sections(section, (*path, name, *(["NAME"] if _is_named(field.annotation) else [])))


def _section_of(annotation: Any) -> type[BaseModel] | None:
    """The settings class in a field's annotation, also inside a list or an optional."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((section for part in get_args(annotation) if (section := _section_of(part))), None)


def _is_named(annotation: Any) -> bool:
    """Whether a field holds sections by names of the writer's own."""
    return get_origin(annotation) is dict
