"""A report's parts -> one HTML file: styles, charts and script inside it, the network shut out."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from scaling_report.palette import stylesheet
from scaling_report.parts import Story

_TIED = re.compile(" [=<>±×] | %")
_HYPHENATED = re.compile(r"\S{1,12}-\S{1,12}$")


def render_page(story: Story, stills: Mapping[str, str], vega: str) -> str:
    """The page. `stills` has the SVG of every figure by its id, `vega` the script that defines `vegaEmbed`.

    Everything that came from a model, a recipe or a file name is escaped, and the page's policy lets only its
    own two scripts run and nothing be fetched. Vega stands in the page packed, at half its size.
    """
    script = _template("page.js")
    assert not re.search("</script|<!--", script, re.IGNORECASE), "an inline script would end early"
    html: str = (
        _environment()
        .get_template("page.html.j2")
        .render(
            story=story,
            stills={name: Markup(svg) for name, svg in stills.items()},  # noqa: S704, drawn and escaped by Vega
            policy=_policy(vega, script),
            style=Markup(stylesheet() + _template("page.css")),  # noqa: S704, our own
            vega=_pack(vega),
            script=Markup(script),  # noqa: S704
        )
    )
    return html


def inline_json(value: Any) -> Markup:
    """JSON that can stand in a script element: no sign in it can end the element or open a comment."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)  # noqa: S704


def keep_whole(text: str) -> Markup:
    """Escaped text whose lines do not break in `p < 0.1`, `5 %` or a short word with a hyphen (`r1-13k`)."""
    text = _TIED.sub(lambda sign: sign.group().replace(" ", "\u00a0"), text)
    words = (
        Markup('<span class="whole">{}</span>').format(word) if _HYPHENATED.match(word) else escape(word)
        for word in text.split(" ")
    )
    return Markup(" ").join(words)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("scaling_report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["data"] = inline_json
    environment.filters["prose"] = keep_whole
    return environment


def _policy(*scripts: str) -> str:
    """A content security policy: these inline scripts, inline styles, no request of any kind."""
    hashes = (base64.b64encode(hashlib.sha256(code.encode()).digest()).decode() for code in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; "
        "connect-src 'none'; base-uri 'none'; form-action 'none'"
    )


@cache
def _pack(code: str) -> str:
    """A script as the page carries it: gzip, the same bytes each time, in base64."""
    return base64.b64encode(gzip.compress(code.encode(), 9, mtime=0)).decode()


def _template(name: str) -> str:
    return (resources.files("scaling_report") / "templates" / name).read_text(encoding="utf-8")
