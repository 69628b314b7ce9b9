"""YAML with a place for every value: the recipe's text as plain Python data, and where each part stands in it.

Scalars are YAML 1.2's (`3e-4` is a number, `no` is text), duplicate keys are refused, aliases are allowed but bounded, and
tags build nothing but plain data.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import yaml

from eval.files import InputError

Path = tuple[str | int, ...]

_MAX_DEPTH = 20  # a recipe is five deep
_MAX_NODES = 10_000  # values after aliases are written out; a recipe has a few dozen

_SCALARS = {
    "tag:yaml.org,2002:null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "tag:yaml.org,2002:bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    # A longer number than 18 digits is read as a float, which no field takes that large.
    "tag:yaml.org,2002:int": (r"[-+]?(?:0|[1-9][0-9_]{0,17})", list("-+0123456789")),
    "tag:yaml.org,2002:float": (
        r"[-+]?(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
}


class _Resolver:
    """YAML 1.2's core scalars; PyYAML's own are 1.1's, which read `3e-4` as text and `no` as false."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}


for _tag, (_pattern, _firsts) in _SCALARS.items():
    for _first in _firsts:
        _Resolver.yaml_implicit_resolvers.setdefault(_first, []).append((_tag, re.compile(rf"(?:{_pattern})\Z")))


class _Loader(_Resolver, yaml.SafeLoader):
    """Composes nodes only as deep as a recipe can be."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise yaml.MarkedYAMLError(problem="nested too deeply", problem_mark=self.peek_event().start_mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


class _Dumper(_Resolver, yaml.SafeDumper):
    """Quotes exactly what `_Loader` would otherwise not read back as text."""


@dataclass(frozen=True)
class Document:
    """Plain data, and for every path in it the place of its key (in a list: of the item), as `file:line:column`."""

    data: Any
    places: dict[Path, str]


def parse_yaml(text: str, name: str) -> Document:
    """Read one YAML document. `name` stands before line and column in the `InputError` of anything refused."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        builder = _Builder(name)
        return Document(None if node is None else builder.build(node, ()), builder.places)
    except yaml.MarkedYAMLError as error:
        place = _place(name, mark) if (mark := error.problem_mark or error.context_mark) else name
        raise InputError(f"{place}: {_explain(error)}") from error
    finally:
        loader.dispose()


def dump_yaml(data: Any) -> str:
    """Plain data as YAML that `parse_yaml` reads back the same, keys in their order."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


class _Builder:
    """Turns composed nodes into plain data, keeping places and counting what aliases write out."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.places: dict[Path, str] = {}
        self.nodes = 0

    def build(self, node: yaml.Node, path: Path) -> Any:
        self.nodes += 1
        if self.nodes > _MAX_NODES or len(path) > _MAX_DEPTH:
            raise InputError(f"{_place(self.name, node.start_mark)}: aliases (*) write out too much; spell the values out")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self._item(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            place = _place(self.name, key_node.start_mark)
            key = self._scalar(key_node) if isinstance(key_node, yaml.ScalarNode) else None
            if not isinstance(key, str):
                raise InputError(f"{place}: a key must be text; write a field's name")
            if key in data:
                first = self.places[*path, key]
                raise InputError(f"{place}: {join((*path, key))}: given a second time (first at {first}); remove one")
            self.places[*path, key] = place
            data[key] = self.build(value_node, (*path, key))
        return data

    def _item(self, node: yaml.Node, path: Path) -> Any:
        self.places[path] = _place(self.name, node.start_mark)
        return self.build(node, path)

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        """A scalar by its tag; the patterns are checked again because a tag may be written by hand (`!!int x`)."""
        if node.tag == "tag:yaml.org,2002:str":
            return node.value
        pattern, _ = _SCALARS.get(node.tag, (None, None))
        if pattern is None or not re.fullmatch(pattern, node.value):
            raise InputError(f"{_place(self.name, node.start_mark)}: tag {node.tag!r} does not fit here; remove the tag")
        return _READ[node.tag](node.value)


def join(path: Path) -> str:
    """A path as people write it: `finetune.0.task`."""
    return ".".join(str(part) for part in path)


def _place(name: str, mark: yaml.Mark) -> str:
    return f"{name}:{mark.line + 1}:{mark.column + 1}"


def _explain(error: yaml.MarkedYAMLError) -> str:
    problem = str(error.problem)
    if "'\\t'" in problem:
        return "not YAML: a tab; indent with spaces"
    if "mapping values are not allowed" in problem:
        return "not YAML: a second ': ' in one value; put the value in quotes, or start a new line"
    context = f" ({error.context})" if error.context else ""
    return f"not YAML: {problem}{context}; check brackets, quotes and indentation up to here"


_READ: dict[str, Callable[[str], Any]] = {
    "tag:yaml.org,2002:null": lambda text: None,
    "tag:yaml.org,2002:bool": lambda text: text.lower() == "true",
    "tag:yaml.org,2002:int": lambda text: int(text.replace("_", "")),
    "tag:yaml.org,2002:float": lambda text: float(text.replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan")),
}
