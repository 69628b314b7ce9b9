"""A report's parts -> the same report as Markdown, its charts linked from `figures/`."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from scaling_report.parts import Figure, Story

# what begins a construct inside a line: emphasis, code, links, HTML, table cells, strikethrough
_SIGNS = re.compile(r"([\\`*_\[\]<>|~])")
_BLANK_LINES = re.compile(r"\n{3,}")


class Raw(str):
    """Text that is Markdown already."""

    __slots__ = ()


def render_markdown(story: Story) -> str:
    """The report as Markdown with tables; whatever came from a model or a recipe stands as plain text."""
    text = _environment().get_template("report.md.j2").render(story=story)
    return _BLANK_LINES.sub("\n\n", text).strip() + "\n"


def escape(value: Any) -> str:
    """`value` as text that Markdown shows as it is, on one line; `Raw` passes."""
    if isinstance(value, Raw):
        return value
    line = " ".join(str(value).split())
    return _SIGNS.sub(r"\\\1", line).replace("&", "&amp;")


def fence(text: str) -> Raw:
    """A code block whose fence is longer than any run of backticks in `text`."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    marks = "`" * max(3, longest + 1)
    return Raw(f"{marks}\n{text.rstrip()}\n{marks}")


def caption(figure: Figure) -> Raw:
    """What the marks on a chart mean, in a line of emphasis."""
    names = {
        "measured": "Blue dots",
        "series": "Filled marks",
        "fit": "line",
        "confidence": "dark band",
        "prediction": "light band",
        "truth": "diamond",
        "predicted": "open circle",
        "baseline": "dotted line",
        "hollow": "hollow dots",
        "overlay": "open marks",
    }
    return Raw("*" + "; ".join(f"{names[mark]}: {escape(words)}" for mark, words in figure.key) + ".*")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("scaling_report"),
        autoescape=False,  # noqa: S701, Markdown has signs of its own: `finalize` escapes every value
        finalize=escape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals["raw"] = Raw
    environment.filters |= {"fenced": fence, "caption": caption}
    return environment
