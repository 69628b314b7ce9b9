"""What a template may not grow to: a slip, or a stranger, would else keep a machine for ever.

Turns of loops, and characters that operations handle and write, are counted over a rendering. Macros, calls
back into loops and powers are not for prompts, and refused.
"""

from __future__ import annotations

import functools
import re
from collections.abc import (
    Callable,
    ItemsView,
    Iterable,
    Iterator,
    KeysView,
    Mapping,
    MappingView,
    ValuesView,
)
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Template
    from jinja2.sandbox import SandboxedEnvironment

LONGEST = 1_000_000  # characters that one operation may make: more than any model reads
LARGEST_VALUE = 20 * LONGEST  # characters that one operation may be given
MOST_WORK = 200_000_000  # characters handled in a rendering: seconds
TURN = 10_000  # what a turn of a loop counts as
CALL = 500  # what a call, or a filter, counts as, whatever it is given
MEMBER = 5  # what a member of a list counts as, beside what is in it
LARGEST = 10**30  # numbers

_WIDE = re.compile(r"\d{5,}|%[-+ #0]*\*")  # in a format: a width of thousands, or one that a number gives
_COUNTED, _BOUNDED, _CHARGED = " counted", " bounded", " charged"  # filters that no template can name
# Filters that can make much of a number or a second text.
_GROWING = (
    "batch", "center", "format", "indent", "join", "replace", "slice", "string", "tojson", "urlize",
    "wordwrap", "xmlattr",
)  # fmt: skip
_SLOW = ("pprint", "striptags", "sum", "urlize")  # may go over all of it for every part of it
# A call for every member.
_EACH = ("groupby", "map", "reject", "rejectattr", "select", "selectattr", "sort", "unique")
_REFUSED = {
    "Block": "blocks are",
    "Macro": "macros are",
    "CallBlock": "macros are",
    "FilterBlock": "filters of whole blocks are",
    "AssignBlock": "blocks of text as variables are",
}

_work: ContextVar[list[int]] = ContextVar("characters that a rendering may still handle")


def render_limited(template: Template, values: Mapping[str, Any]) -> str:
    """The template's text. Raises `ValueError` for one that grows too long, or goes on too long."""
    token = _work.set([MOST_WORK])
    try:
        pieces = []
        for piece in template.generate(values):
            _charge(10 * len(piece))
            pieces.append(piece)
        return "".join(pieces)
    finally:
        _work.reset(token)


def make_environment(*, finalize: Callable[[Any], Any], **options: Any) -> SandboxedEnvironment:
    """Jinja's sandbox without globals, chance, and whatever makes very much of little."""
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Environment(ImmutableSandboxedEnvironment):
        intercepted_binops = frozenset(["**", "*", "+", "%"])

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            _check_operation(operator, left, right)
            return super().call_binop(context, operator, left, right)

        def call(self, context: Any, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
            method = getattr(obj, "__wrapped__", obj)  # the sandbox wraps `format`
            owner = getattr(method, "__self__", None)
            if getattr(method, "__name__", "").startswith("format"):
                _check_format(owner)
            args, kwargs = _held(args, kwargs)
            _check_given([owner, *args, *kwargs.values()])
            return super().call(context, obj, *args, **kwargs)

    environment = Environment(**options, finalize=functools.partial(_written, finalize))
    environment.globals.clear()
    del environment.filters["random"]
    environment.filters |= {name: _measured(name, one) for name, one in environment.filters.items()}
    environment.filters |= {_COUNTED: _counted, _BOUNDED: _bounded, _CHARGED: _charged}
    return environment


def compile_template(environment: SandboxedEnvironment, text: str) -> Template:
    """The template, its loops counted and its variables bounded. Raises `TemplateSyntaxError`."""
    from jinja2 import TemplateSyntaxError, nodes

    tree = environment.parse(text)
    refused = (nodes.Block, nodes.Macro, nodes.CallBlock, nodes.FilterBlock, nodes.AssignBlock)
    if (node := next(tree.find_all(refused), None)) is not None:
        raise TemplateSyntaxError(f"{_REFUSED[type(node).__name__]} not for prompts", node.lineno)
    for loop in list(tree.find_all(nodes.For)):
        if loop.recursive:
            raise TemplateSyntaxError("recursive loops are not for prompts", loop.lineno)
        loop.iter = _filtered(loop.iter, _COUNTED)
    for given in list(tree.find_all(nodes.Assign)):
        given.node = _filtered(given.node, _BOUNDED)
    for joined in list(tree.find_all(nodes.Concat)):
        joined.nodes = [_filtered(one, _CHARGED) for one in joined.nodes]
    for part in list(tree.find_all(nodes.Getitem)):
        if isinstance(part.arg, nodes.Slice):
            part.node = _filtered(part.node, _CHARGED)
    return environment.from_string(tree)


def _filtered(node: Any, name: str) -> Any:
    from jinja2 import nodes

    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


def _charge(work: int) -> None:
    left = _work.get()
    left[0] -= work
    if left[0] < 0:
        raise ValueError("it goes on too long, or writes too much")


def _counted(members: Iterable[Any]) -> Iterator[Any]:
    for member in members:
        _charge(TURN)
        yield member


def _bounded(value: Any) -> Any:
    if _size(value, LONGEST) > LONGEST:
        raise ValueError("a variable grows too long")
    return value


def _charged(value: Any) -> Any:
    _charge(CALL + _size(value))
    return value


def _written(finalize: Callable[[Any], Any], value: Any) -> Any:
    """What `finalize` makes of a value, if the text of it, which Jinja makes next, can be written."""
    if 10 * _size(value) > _work.get()[0]:
        raise ValueError("it writes too much")
    return finalize(value)


def _measured(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that is asked first what it is given."""

    @functools.wraps(function)
    def filtered(*args: Any, **kwargs: Any) -> Any:
        args, kwargs = _held(args, kwargs)
        given = [*args, *kwargs.values()]
        if name == "format":
            _check_format(args[0])
        if name in _GROWING:
            _check_given(given)
        sizes = [_size(one) for one in given]
        _charge(CALL + sum(sizes))
        if name in _SLOW:
            _charge(max(sizes, default=0) ** 2 // 100)
        if name in _EACH:
            _charge(CALL * max(map(_count, given), default=0))
        return function(*args, **kwargs)

    return filtered


def _held(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The same with lists for what can be gone through only once, so that it can be measured."""
    return (
        tuple(_listed(one) if isinstance(one, Iterator) else one for one in args),
        {name: _listed(one) if isinstance(one, Iterator) else one for name, one in kwargs.items()},
    )


def _listed(members: Iterator[Any]) -> list[Any]:
    held, size = [], 0
    for member in members:
        size += MEMBER + _size(member)
        if size > LARGEST_VALUE:
            raise ValueError("a list grows too long")
        held.append(member)
    return held


def _check_given(values: list[Any]) -> None:
    """Refuse calls of texts' methods, and filters, that would make very much of what they are given."""
    if any(_is_number(one) and abs(one) > LONGEST for one in values):
        raise ValueError("a number is too large for this")
    factors = sorted(
        [_size(one) or (abs(int(one)) if _is_number(one) and one == one else 1) for one in values]
    )
    _charge(max(CALL, max(1, factors[-1]) * max(1, factors[-2] if len(factors) > 1 else 1)))


def _check_format(text: Any) -> None:
    if isinstance(text, str) and _WIDE.search(text):
        raise ValueError("a width is too large")


def _check_operation(operator: str, left: Any, right: Any) -> None:
    if operator == "**":
        raise ValueError("** is not for templates")
    if operator == "%" and isinstance(left, str):
        _check_format(left)
        _charge(_size(left) + left.count("%") * _size(right))  # each may be all of what is named
    elif operator == "+":
        _charge(_size(left) + _size(right))
    elif operator == "*":
        _check_times(left, right)


def _check_times(left: Any, right: Any) -> None:
    """Numbers, or a text so many times, a ruler of dashes say, that is not longer than any model reads."""
    if _is_number(left) and _is_number(right) and max(abs(left), abs(right)) > LARGEST:
        raise ValueError("a number grows too large")
    for text, times in ((left, right), (right, left)):
        if isinstance(text, str | list | tuple) and isinstance(times, int):
            size = _size(text) * max(0, times)
            if size > LONGEST:
                raise ValueError(f"{times} times a text is too long")
            _charge(size)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _count(value: Any) -> int:
    return len(value) if isinstance(value, str | list | tuple | dict | MappingView) else 0


def _size(value: Any, most: int = LARGEST_VALUE) -> int:
    """The characters of a text, or of all texts in a value, with `MEMBER` for each member.

    Ends at the first sum above `most`, which is returned. Raises `ValueError` above `LARGEST_VALUE`.
    """
    size, waiting = 0, [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            size += len(one)
        elif isinstance(one, list | tuple | dict | KeysView | ValuesView | ItemsView):
            size += MEMBER * len(one)
            if size <= most:
                waiting.extend(one)
                waiting.extend(one.values() if isinstance(one, dict) else ())
        if size > most:
            break
    if size > LARGEST_VALUE:
        raise ValueError("a value is too large")
    return size
