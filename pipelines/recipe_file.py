"""From a recipe's name or path, and overrides, to a checked recipe."""

from __future__ import annotations

import difflib
import importlib.resources
import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from eval import yaml_text
from eval.files import InputError, read_text
from eval.safety import plain_line, redact
from eval.settings_errors import explain
from eval.yaml_text import Document, dump_yaml, join, parse_yaml
from pipelines.recipe import Recipe

TEMPLATE = "template"
_EXAMPLE = "`stepladder init` writes a recipe that has everything"


@dataclass(frozen=True, kw_only=True)
class LoadedRecipe:
    """A checked recipe. `text`: its YAML, overrides included. `base`: where its relative files are.

    `command`: what a shell was given to run it.
    """

    recipe: Recipe
    text: str
    command: str
    path: Path | None
    base: Path


def load_recipe(name_or_path: str, overrides: Sequence[str] = ()) -> LoadedRecipe:
    """Read a recipe file, else a packaged recipe of that name, and put `key.path=value` overrides in.

    Raises `InputError`, with the place: no such recipe; not UTF-8; not YAML; what the recipe's models refuse.
    """
    text, shown, path = _find(name_or_path)
    document = parse_yaml(text, lambda line, column: f"{shown}:{line}:{column}")
    if document.data is None:
        raise InputError(f"{shown}: is empty; `stepladder init` writes a recipe to start from")
    if not isinstance(document.data, dict):
        raise InputError(f"{shown}:1:1: is not a recipe; write `key: value` lines, as `stepladder init` does")
    for override in overrides:
        _put(document, override)
    if overrides:
        text = f"# {shown} with {' '.join(overrides)}\n{dump_yaml(document.data)}"
    try:
        # By way of JSON, whose strict rules take a list where a model has a tuple, and never text for a
        # number.
        recipe = Recipe.model_validate_json(json.dumps(document.data), strict=True)
    except ValidationError as error:
        raise InputError(explain(error, Recipe, document.data, document.places, shown, _EXAMPLE)) from error
    return LoadedRecipe(
        recipe=recipe,
        text=redact(text),  # a comment may hold a secret, too
        command=redact(shlex.join(["stepladder", "run", name_or_path, *overrides])),
        path=path,
        base=_base(recipe, path, any(override.startswith("data=") for override in overrides)),
    )


def _base(recipe: Recipe, path: Path | None, from_here: bool) -> Path:
    """Where relative files are: beside the recipe, or in its `data` folder.

    A folder named on the command line is looked up from where the command is given. Raises InputError where
    it is not there.
    """
    beside = path.absolute().parent if path else Path.cwd()
    if recipe.data is None:
        return beside
    folder = (Path.cwd() if from_here else beside) / Path(recipe.data).expanduser()
    if not folder.is_dir():
        raise InputError(f"data: {folder}: no such folder; write data=FOLDER behind the recipe")
    return folder


def packaged_recipes() -> list[str]:
    """The names of the recipes that come with Stepladder."""
    files = [Path(entry.name) for entry in importlib.resources.files("recipes").iterdir()]
    return sorted(file.stem for file in files if file.suffix == ".yaml" and file.stem != TEMPLATE)


def template() -> str:
    """A commented recipe to start from (`stepladder init`)."""
    return _read_packaged(TEMPLATE)


def schema() -> dict[str, Any]:
    """The JSON Schema of a recipe, for editors (`stepladder schema`)."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | Recipe.model_json_schema()


def _find(name_or_path: str) -> tuple[str, str, Path | None]:
    """The recipe's text, the name that errors show, and its path unless it is a packaged one."""
    path = Path(name_or_path)
    if path.is_file():
        return read_text(path).removeprefix("\ufeff"), plain_line(name_or_path), path
    packaged = packaged_recipes()
    if name_or_path in packaged:
        return _read_packaged(name_or_path), f"{name_or_path}.yaml", None
    if path.is_dir():
        raise InputError(f"{plain_line(name_or_path)}: is a folder; name a recipe file in it")
    near = difflib.get_close_matches(path.stem, packaged, n=1)
    advice = f"did you mean {near[0]!r}?" if near else f"name a file, or choose from {', '.join(packaged)}"
    shown = plain_line(name_or_path)
    raise InputError(f"{shown}: no such recipe file, and no packaged recipe has this name; {advice}")


def _read_packaged(name: str) -> str:
    return importlib.resources.files("recipes").joinpath(f"{name}.yaml").read_text(encoding="utf-8")


def _put(document: Document, override: str) -> None:
    """Set one value from the command line, replacing what stands there; sections on the way are made."""
    place = f"command line: {redact(repr(override) if not override.isprintable() else override)}"
    key, equals, text = override.partition("=")
    parts = key.split(".")
    if not equals or not all(parts) or not override.isprintable() or redact(key) != key:
        raise InputError(f"{place}: is no override; write key=value, such as training.learning_rate=3e-3")
    value = parse_yaml(text, lambda *_: place).data
    target: Any = document.data
    path: yaml_text.Path = ()
    for part in parts[:-1]:
        if isinstance(target, dict) and target.get(part) is None:
            target[part] = {}
        path = (*path, _index(target, part, path, place))
        target = target[path[-1]]
    path = (*path, _index(target, parts[-1], path, place))
    target[path[-1]] = value
    for inside in [known for known in document.places if known[: len(path)] == path]:
        del document.places[inside]
    document.places[path] = place


def _index(target: Any, part: str, path: yaml_text.Path, place: str) -> str | int:
    """The key or list index that `part` is in `target`, the value at `path`."""
    if isinstance(target, dict):
        return part
    if not isinstance(target, list):
        raise InputError(f"{place}: {join(path)} has no keys; set it as a whole")
    if not part.isdecimal() or int(part) >= len(target):
        raise InputError(
            f"{place}: {join(path)} is a list of {len(target)}; write a number from 0 for {part!r}"
        )
    return int(part)
