"""Coordinate check of rule `mup` (Yang 2022): do activations move as far at every width?

    python benchmarks/coordinate_check.py --out coordinate-check.svg [--family bert] [--widths 64 128 ...]

Trains a few steps at each width, with and without mup, on bytes of Python's standard library, and compares
the activations of unseen text before and after. A table goes to standard output: by place the root mean
square of the change, and the power of the width that it goes with (0 is flat). The chart goes to --out.
The logits' change still falls at small widths, where chance overlaps of tokens outweigh what was learnt.
"""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import altair as alt
import torch

from pipelines.ladder import Shape
from pipelines.models import SpecialIds, build_model
from pipelines.mup import coordinate_changes, scale_model, width_slopes
from pipelines.optim import Optimisation
from scaling_report.palette import light, rung_colours
from scaling_report.svg import draw

Changes = dict[int, dict[str, float]]  # by width, by place
CONTEXT, ROWS, BYTES = 64, 8, 256
PANELS = ("without mup", "with mup")


def batches_of_bytes(count: int) -> list[torch.Tensor]:
    """Ids (ROWS, CONTEXT) of consecutive bytes of argparse's source."""
    text = inspect.getsource(argparse).encode()[: count * ROWS * CONTEXT]
    return list(torch.tensor(list(text)).reshape(count, ROWS, CONTEXT))


def measure(options: argparse.Namespace, with_mup: bool, width: int) -> dict[str, float]:
    """The changes at one width, their mean squares averaged over seeds."""
    multiple = width / min(options.widths) if with_mup else 1.0
    how = Optimisation(
        learning_rate=options.rate,
        steps=options.steps,
        warmup_steps=0,
        schedule="constant",
        decay_fraction=0.2,
        weight_decay=0.1,
        beta1=0.9,
        beta2=0.95,
        clip=1.0,
        mup_multiple=multiple,
    )
    *batches, seen = batches_of_bytes(options.steps + 1)
    found = []
    for seed in range(options.seeds):
        model = build_model(
            options.family,
            Shape(options.layers, width, width // options.head_size),
            vocab_size=BYTES,
            context=CONTEXT,
            special=SpecialIds(0, 0, 0),
            seed=seed,
        )
        found.append(coordinate_changes(scale_model(model, multiple), how, batches, seen))
    return {place: (sum(one[place] ** 2 for one in found) / len(found)) ** 0.5 for place in found[0]}


def table(title: str, changes: Changes) -> str:
    """Rows are places, columns widths; the last column is the slope."""
    slopes = width_slopes(changes)
    lines = [f"{title:12}" + "".join(f"{width:>9}" for width in changes) + "    slope"]
    for place, slope in slopes.items():
        cells = "".join(f"{row[place]:9.4f}" for row in changes.values())
        lines.append(f"{place:12}{cells}{slope:9.2f}")
    return "\n".join(lines)


def chart(panels: Sequence[tuple[str, Changes]]) -> dict[str, Any]:
    """Vega-Lite: a panel without and one with mup, a line for each place, both axes logarithmic."""
    places = list(next(iter(panels[0][1].values())))
    rows = [
        {"panel": title, "width": width, "place": place, "change": change}
        for title, changes in panels
        for width, row in changes.items()
        for place, change in row.items()
    ]
    widths = sorted(panels[0][1])
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X(
            "width:Q",
            scale=alt.Scale(type="log", base=2, domain=[widths[0], widths[-1]]),
            axis=alt.Axis(title="width", values=widths, grid=False),
        ),
        y=alt.Y(
            "change:Q",
            scale=alt.Scale(type="log"),
            axis=alt.Axis(title="change of activations (root mean square)", format="~g", tickCount=5),
        ),
        color=alt.Color(
            "place:N",
            sort=None,
            scale=alt.Scale(domain=places, range=rung_colours(len(places))),
            legend=alt.Legend(orient="bottom", title=None),
        ),
    )
    lines = alt.layer(base.mark_line(strokeWidth=2), base.mark_point(filled=True, size=40, opacity=1))
    drawn = lines.properties(width=320, height=280).facet(
        column=alt.Column("panel:N", sort=list(PANELS), title=None, header=alt.Header(labelFontSize=13))
    )
    drawn = drawn.configure(background=light("paper"), font="Helvetica Neue, Arial, sans-serif")
    drawn = drawn.configure_axis(labelColor=light("muted"), titleColor=light("ink"), gridColor=light("line"))
    spec: dict[str, Any] = drawn.to_dict()
    return spec


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="the chart, an SVG")
    parser.add_argument("--family", choices=["gpt2", "bert"], default="gpt2")
    parser.add_argument("--widths", nargs="+", type=int, default=[32, 64, 128, 256, 512])
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--head-size", type=int, default=32)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    panels = []
    for title, with_mup in zip(PANELS, (False, True), strict=True):
        changes = {width: measure(options, with_mup, width) for width in sorted(options.widths)}
        print(table(title, changes), flush=True)
        panels.append((title, changes))
    options.out.write_text(draw(chart(panels)), encoding="utf-8")


if __name__ == "__main__":
    main()
