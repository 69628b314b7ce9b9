"""Prompts from templates: Jinja over the columns of one row of a table, in a sandbox.

A template sees the row's columns, the row itself as `row` (for columns whose names are no words of Jinja's:
`{{ row['Best Answer'] }}`), and nothing else: no globals, no files, no chance. What it renders is the same
every time, and is done in time: `template_limits` says what a template may not grow to.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any

from eval.files import InputError
from eval.tasks.template_limits import compile_template, make_environment, render_limited

ROW = "row"

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
        compile_template(environment, template)
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
        text = render_limited(_compiled(template), {ROW: there} | there)
        text.encode("utf-8")  # half a character, which no file can hold, is a ValueError
        return text
    except (TemplateError, *_FAILURES) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"{where}: cannot be rendered ({reason}); mend the template, or the row") from error


@functools.cache
def _environment() -> Any:
    from jinja2 import StrictUndefined

    return make_environment(
        autoescape=False,  # a prompt is plain text that a model reads, never a page
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        finalize=_refuse_nothing,
    )


def _refuse_nothing(value: Any) -> Any:
    """A missing value would be written as "None", or as "nan"."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        raise ValueError("a column has no value")
    return value


@functools.cache
def _compiled(template: str) -> Any:
    return compile_template(_environment(), template)


@functools.cache
def columns_of(template: str) -> frozenset[str]:
    """The names that a template takes from the row: its columns, and maybe `row`."""
    from jinja2 import meta

    return frozenset(meta.find_undeclared_variables(_environment().parse(template)))
