"""Vega-Lite -> SVG and PNG without a browser, and the one script that draws the same charts inside a page."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import altair as alt
import vl_convert

# both renderers speak the Vega-Lite that altair wrote the chart in, e.g. "6.4"
_VEGA_LITE = ".".join(alt.SCHEMA_VERSION.lstrip("v").split(".")[:2])
_GEOMETRY = re.compile(r' (?:d|transform|x|y|x1|y1|x2|y2|width|height)="[^"<>]*"')
_LONG_NUMBER = re.compile(r"-?\d+\.\d{2,}")
_INVISIBLE = re.compile(r'<path class="(?:background|foreground)"[^<>]* d="(?:M0,0h0v0h0Z)?"[^<>]*/>')


def draw(spec: dict[str, Any]) -> str:
    """The chart as a standalone SVG: text as text, coordinates to a tenth of a pixel, no network."""
    svg: str = vl_convert.vegalite_to_svg(spec, vl_version=_VEGA_LITE, allowed_base_urls=[])
    svg = _INVISIBLE.sub("", svg)
    return _GEOMETRY.sub(lambda attribute: _LONG_NUMBER.sub(_tenth, attribute.group()), svg) + "\n"


def rasterise(svgs: Mapping[str, str]) -> dict[str, bytes]:
    """Each SVG as a PNG of twice its size, for slides and programs that read no SVG."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # the converter lets other threads run
        return dict(
            zip(svgs, pool.map(lambda svg: vl_convert.svg_to_png(svg, scale=2), svgs.values()), strict=True)
        )


def vega_script() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script (0.9 MB) that defines `vegaEmbed`."""
    script: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=_VEGA_LITE)
    return script


def _tenth(number: re.Match[str]) -> str:
    return f"{float(number.group()):.1f}".removesuffix(".0")
