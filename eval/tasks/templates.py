"""Prompts from templates: Jinja over the columns of one row of a table, in a sandbox.

A template sees the row's columns, the row itself as `row` (for columns whose names are no words of Jinja's:
`{{ row['Best Answer'] }}`), and nothing else: no globals, no files, no chance. What it renders is the same
every time.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any

from eval.files import InputError

ROW = "row"
_LONGEST = 1_000_000  # characters that a product may make

# What a template fails with: a filter given a value that it cannot take raises what Python raises, one that
# calls itself, or writes without end, what the machine does.
_FAILURES = (
    *(ArithmeticError, TypeError, ValueError, LookupError, AttributeError),
    *(RecursionError, MemoryError),
)


def find_mistake(template: str, *, constant: bool = False) -> str | None:
    """What is wrong with a template's text, whatever the rows; None when it is well.

    `constant`: a text that names no column will do.
    """
    from jinja2 import TemplateSyntaxError, meta

    environment = _environment()
    try:
        tree = environment.parse(template)
        environment.from_string(template)
    except TemplateSyntaxError as error:
        line = f" in line {error.lineno}" if "\n" in template.strip() else ""
        return f"is no template: {error.message}{line}; mend it"
    except RecursionError:
        return "is no template: nested too deeply; mend it"
    if list(meta.find_referenced_templates(tree)):
        return "takes in another template, which it cannot; write its text here"
    if not constant and not meta.find_undeclared_variables(tree):
        return "names no column; write one, as {{ question }}"
    return None


def render(template: str, row: Mapping[str, Any], where: str) -> str:
    """The template's text for one row of a table; `where` begins the error.

    Raises `InputError` for columns that are not there (with those that are) or are empty, and for whatever
    fails or is not allowed in a template.
    """
    from jinja2 import TemplateError

    there = {str(name): value for name, value in row.items()}
    if absent := sorted(columns_of(template) - {*there, ROW}):
        raise InputError(f"{where}: no column {absent[0]!r}; there are {', '.join(there)}; name one of them")
    try:
        text = str(_compiled(template).render({ROW: there} | there))
        text.encode("utf-8")  # half a character, which no file can hold, is a ValueError
        return text
    except (TemplateError, *_FAILURES) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"{where}: cannot be rendered ({reason}); mend the template, or the row") from error


@functools.cache
def _environment() -> Any:
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        autoescape=False,  # a prompt is plain text that a model reads, never a page
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        finalize=_refuse_nothing,
    )
    environment.globals.clear()
    del environment.filters["random"]
    # a slip of a few digits in these would keep a machine for ever
    environment.intercepted_binops = frozenset(["**", "*"])
    environment.binop_table = environment.binop_table | {"**": _refuse_power, "*": _multiply}
    return environment


def _refuse_power(left: Any, right: Any) -> Any:
    raise ValueError("** is not for templates")


def _multiply(left: Any, right: Any) -> Any:
    """Numbers, or a text so many times, a ruler of dashes say, that is not longer than any model reads."""
    for text, times in ((left, right), (right, left)):
        if isinstance(text, (str, list, tuple)) and isinstance(times, int) and len(text) * times > _LONGEST:
            raise ValueError(f"{times} times a text is too long")
    return left * right


def _refuse_nothing(value: Any) -> Any:
    """A missing value would be written as "None", or as "nan"."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        raise ValueError("a column has no value")
    return value


@functools.cache
def _compiled(template: str) -> Any:
    return _environment().from_string(template)


@functools.cache
def columns_of(template: str) -> frozenset[str]:
    """The names that a template takes from the row: its columns, and maybe `row`."""
    from jinja2 import meta

    return frozenset(meta.find_undeclared_variables(_environment().parse(template)))
