"""YAML with a place for every value: text as plain Python data, and where each part stands in the text.

Scalars are YAML 1.2's (`3e-4` is a number, `no` is text), duplicate keys are refused, aliases are allowed but
bounded, tags build nothing, and secrets are refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import yaml

from eval.files import InputError
from eval.safety import redact

Path = tuple[str | int, ...]

_MAX_DEPTH = 20  # a recipe, the deepest file of settings, is five deep
_MAX_CHARACTERS = 1_000_000  # the longest recipe that comes along has 2,000
_LARGEST_WHOLE = 2**53  # up to here a float holds every integer
_MAX_NODES = 10_000  # values after aliases are written out; a file of settings has a few dozen

# What stands in settings is written beside the results, and shown.
_SECRET = (
    "holds what looks like an access token or a password, which has no place in settings; take it out "
    "(for the hub there are `hf auth login` and HF_TOKEN)"
)

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

    yaml_implicit_resolvers: ClassVar[dict[str, list[tuple[str, re.Pattern[str]]]]] = {}


for _tag, (_pattern, _firsts) in _SCALARS.items():
    for _first in _firsts:
        _Resolver.yaml_implicit_resolvers.setdefault(_first, []).append(
            (_tag, re.compile(rf"(?:{_pattern})\Z"))
        )


class _Loader(_Resolver, yaml.SafeLoader):
    """Composes nodes only as deep as settings can be."""

    depth = 0
    nodes = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.depth += 1
        self.nodes += 1
        if self.nodes > _MAX_NODES:
            raise yaml.MarkedYAMLError(
                problem=f"more than {_MAX_NODES:,} values", problem_mark=self.peek_event().start_mark
            )
        if self.depth > _MAX_DEPTH:
            raise yaml.MarkedYAMLError(problem="nested too deeply", problem_mark=self.peek_event().start_mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


class _Dumper(_Resolver, yaml.SafeDumper):
    """Quotes exactly what `_Loader` would otherwise not read back as text."""


@dataclass(frozen=True)
class Document:
    """Plain data, and for every path in it the place of its key (in a list: of the item)."""

    data: Any
    places: dict[Path, str]


Locate = Callable[[int, int], str]
"""Words a place, such as `recipe.yaml:8:3`, from a line and a column, both counted from 1."""


def parse_yaml(text: str, locate: Locate) -> Document:
    """Read one YAML document; an empty one is None. Raises `InputError`, beginning with the place."""
    if len(text) > _MAX_CHARACTERS:
        told = f"{len(text):,} characters, where settings may have {_MAX_CHARACTERS:,}"
        raise InputError(f"{locate(1, 1)}: {told}; put data in files of its own")
    try:
        loader = _Loader(text)
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        place = locate(before.count("\n") + 1, len(before) - before.rfind("\n"))
        raise InputError(f"{place}: not YAML: character U+{error.character:04X}; remove it") from error
    try:
        node = loader.get_single_node()
        builder = _Builder(locate)
        return Document(None if node is None else builder.build(node, ()), builder.places)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        assert mark is not None, "scanner, parser and composer always say where"
        raise InputError(f"{locate(mark.line + 1, mark.column + 1)}: {_explain(error)}") from error
    finally:
        loader.dispose()


def dump_yaml(data: Any) -> str:
    """Plain data as YAML that `parse_yaml` reads back the same, keys in their order."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


class _Builder:
    """Turns composed nodes into plain data, keeping places and counting what aliases write out."""

    def __init__(self, locate: Locate) -> None:
        self.locate = locate
        self.places: dict[Path, str] = {}
        self.nodes = 0

    def build(self, node: yaml.Node, path: Path) -> Any:
        self.nodes += 1
        if self.nodes > _MAX_NODES or len(path) > _MAX_DEPTH:
            raise InputError(f"{self._place(node)}: aliases (*) write out too much; spell the values out")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self._item(item, (*path, index)) for index, item in enumerate(node.value)]
        assert isinstance(node, yaml.ScalarNode), "YAML knows no fourth kind"
        return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            place = self._place(key_node)
            key = self._scalar(key_node) if isinstance(key_node, yaml.ScalarNode) else None
            if not isinstance(key, str):
                raise InputError(f"{place}: a key must be text; write a field's name")
            if key in data:
                first = self.places[*path, key]
                raise InputError(
                    f"{place}: {join((*path, key))}: given a second time (first at {first}); remove one"
                )
            self.places[*path, key] = place
            data[key] = self.build(value_node, (*path, key))
        return data

    def _item(self, node: yaml.Node, path: Path) -> Any:
        self.places[path] = self._place(node)
        return self.build(node, path)

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        """A scalar by its tag, its pattern checked again: a tag may be written by hand (`!!int x`)."""
        if node.tag == "tag:yaml.org,2002:str":
            if redact(node.value) != node.value:
                raise InputError(f"{redact(self._place(node))}: {_SECRET}")
            return node.value
        pattern, _ = _SCALARS.get(node.tag, (None, None))
        if pattern is None or not re.fullmatch(pattern, node.value):
            raise InputError(f"{self._place(node)}: tag {node.tag!r} does not fit here; remove the tag")
        return _READ[node.tag](node.value)

    def _place(self, node: yaml.Node) -> str:
        return self.locate(node.start_mark.line + 1, node.start_mark.column + 1)


def join(path: Path) -> str:
    """A path as people write it: `finetune.0.task`."""
    return ".".join(part if isinstance(part, str) and part.isprintable() else repr(part) for part in path)


def _explain(error: yaml.MarkedYAMLError) -> str:
    problem = str(error.problem)
    if "'\\t'" in problem:
        return "not YAML: a tab; indent with spaces"
    if "mapping values are not allowed" in problem:
        return "not YAML: a second ': ' in one value; put the value in quotes, or start a new line"
    context = f" ({error.context})" if error.context else ""
    return f"not YAML: {problem}{context}; check brackets, quotes and indentation up to here"


def _read_float(text: str) -> float:
    """A number; a whole one (`1e6`) as an integer, since nobody writes large counts digit by digit."""
    value = float(text.replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan"))
    return int(value) if value.is_integer() and abs(value) < _LARGEST_WHOLE else value


_READ: dict[str, Callable[[str], Any]] = {
    "tag:yaml.org,2002:null": lambda _: None,
    "tag:yaml.org,2002:bool": lambda text: text.lower() == "true",
    "tag:yaml.org,2002:int": lambda text: int(text.replace("_", "")),
    "tag:yaml.org,2002:float": _read_float,
}
