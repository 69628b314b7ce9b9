"""The report's colours: one table, each role with its value on light and on dark paper.

Charts carry the light values as plain SVG attributes, so that a figure also stands alone in a paper. The page
maps every such attribute to a CSS variable: the scheme then changes without drawing a chart again. The hues
are safe for colour-blind readers (blue and orange), and what differs in colour differs in shape or dash too.
"""

from __future__ import annotations

PALETTE: dict[str, tuple[str, str]] = {
    # role: (on light paper, on dark paper)
    "paper": ("#fefdfb", "#16181b"),
    "panel": ("#f5f3ee", "#1f2226"),
    "ink": ("#1d2024", "#e9e6e0"),
    "muted": ("#5c626a", "#a3a9b1"),
    "line": ("#e3e0d9", "#33373d"),
    "measured": ("#0a5fa5", "#6cb4f3"),
    "predicted": ("#bd4b05", "#ff9b5c"),
    # series on the same axes, after measured and predicted
    "third": ("#2a7540", "#7fcf92"),
    "fourth": ("#7a3e99", "#cf9ee8"),
    "fifth": ("#86640a", "#e2bf55"),
    "sixth": ("#9b2c4e", "#f190ac"),
    # rungs from the smallest to the largest
    "rung-0": ("#86b9a4", "#3f6f72"),
    "rung-1": ("#5fa7a3", "#46838c"),
    "rung-2": ("#4095a6", "#4f97a8"),
    "rung-3": ("#2d80a5", "#5caac3"),
    "rung-4": ("#286a9f", "#71bbdb"),
    "rung-5": ("#2b5393", "#8ecaec"),
    "rung-6": ("#313c82", "#aed8f7"),
    "rung-7": ("#34276c", "#cfe5fd"),
    "rung-8": ("#331253", "#eef3ff"),
}
HEAT: dict[str, tuple[str, str]] = {
    # how hard a token was to guess, behind text in ink; in no chart
    "heat-0": ("#fefdfb", "#16181b"),
    "heat-1": ("#fbeee2", "#2a2320"),
    "heat-2": ("#f9ddc5", "#402b20"),
    "heat-3": ("#f7c9a3", "#57331e"),
    "heat-4": ("#f4b27f", "#6f3b1a"),
    "heat-5": ("#ef985a", "#883f0f"),
}
RUNG_COLOURS = tuple(light for role, (light, _) in PALETTE.items() if role.startswith("rung-"))


def light(role: str) -> str:
    """The colour of `role` on light paper, as `#rrggbb`."""
    return PALETTE[role][0]


def rung_colours(n: int) -> list[str]:
    """`n` colours in the order of size, spread over the whole ramp (repeated where `n` exceeds it)."""
    last = len(RUNG_COLOURS) - 1
    return [RUNG_COLOURS[round(i * last / max(n - 1, 1))] for i in range(n)]


def stylesheet() -> str:
    """CSS: each role as a variable, dark on dark screens, and every chart attribute handed to its role."""
    declared = PALETTE | HEAT
    declare = "".join(f"--{role}:{on_light};" for role, (on_light, _) in declared.items())
    darken = "".join(f"--{role}:{on_dark};" for role, (_, on_dark) in declared.items())
    paint = "".join(
        f'.chart [{attribute}="{on_light}"]{{{attribute}:var(--{role})}}'
        for role, (on_light, _) in PALETTE.items()
        for attribute in ("fill", "stroke")
    )
    return (
        f":root{{color-scheme:light dark;{declare}}}\n"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{darken}}}}}\n{paint}\n"
    )
