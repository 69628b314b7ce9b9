"""One series of laws.json -> its section of the report: sentences, charts, tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from scaling_report.figures import chosen_fit, has_axis
from scaling_report.frame import METRIC_NAMES
from scaling_report.notation import (
    MISSING,
    axis_value,
    fixed,
    integer,
    signed_percent,
    significant,
    slug,
    with_error,
)
from scaling_report.parts import Column, Section, Table
from scaling_report.series_figures import series_figures
from scaling_report.wording import AXIS_NAMES, capital, listed

TASK_TITLES = {
    "perplexity": "Language modelling",
    "code-to-docstring": "Code to docstring",
    "module-classification": "Module classification",
}
Series = Mapping[str, Any]


def tell_series(series: Series, settings: Mapping[str, Any]) -> Section:
    """The section of one entry of laws.json's `series`; `settings` are its `settings`."""
    axes = [axis for axis in settings["x"] if has_axis(series, axis)]
    return Section(
        id=slug(series["id"]),
        group=TASK_TITLES.get(series["task"], str(series["task"])),
        title=metric_title(series),
        sentences=_sentences(series),
        figures=series_figures(series, axes, settings["level"]),
        tables=tuple(table for table in (_forecasts(series), _points(series, axes), _fits(series)) if table),
        small_print=_small_print(series),
    )


def glance(series: Sequence[Series]) -> Table:
    """One row a series: the smallest and the largest rung, the baseline, the trend, the forecast's error."""
    return Table(
        "Every metric at a glance",
        (
            Column("Metric", numeric=False),
            Column("Smallest rung"),
            Column("Largest rung"),
            Column("Baseline"),
            Column("Trend", numeric=False),
            Column("Forecast error"),
        ),
        tuple(_glance_row(one) for one in series),
        tuple(slug(one["id"]) for one in series),
    )


def summarise_tasks(series: Sequence[Series]) -> tuple[str, ...]:
    """Which downstream metrics move with size, and which beat their baselines: up to two sentences."""
    moving = _grouped(series, lambda one: one["trend"]["verdict"])
    verbs = {
        "rises": ("rises", "rise"),
        "falls": ("falls", "fall"),
        "no trend": ("shows no trend", "show no trend"),
    }
    trends = [
        f"{listed(names)} {verbs[way][len(names) > 1]}{'' if way == 'no trend' else ' with size'}"
        for way in verbs
        if (names := moving.get(way))
    ]
    told = [f"Downstream, {'; '.join(trends)}."] if trends else []
    beating = _grouped([one for one in series if one["baselines"]], _share_above)
    if set(beating) == {"no rung"}:
        told.append("No rung is clearly better than a baseline in any of them.")
    elif beating:
        shares = ("every rung", "some rungs", "no rung")
        parts = [f"{share} in {listed(names)}" for share in shares if (names := beating.get(share))]
        told.append(f"Clearly better than the baseline: {'; '.join(parts)}.")
    return tuple(told)


def _grouped(series: Sequence[Series], by: Callable[[Series], str | None]) -> dict[str | None, list[str]]:
    """Short names of the metrics by what `by` says of them, each once; with its task, if several have it."""
    groups: dict[str | None, list[str]] = {}
    tasks = {metric: {one["task"] for one in series if one["metric"] == metric} for metric in METRIC_NAMES}
    for one in series:
        names = groups.setdefault(by(one), [])
        of = f" of {one['task']}" if len(tasks[one["metric"]]) > 1 else ""
        of += f" ({one['apart']})" if one.get("apart") else ""
        if (name := METRIC_NAMES[one["metric"]] + of) not in names:
            names.append(name)
    return groups


def _share_above(series: Series) -> str:
    """How many of the rungs beat every baseline, in words."""
    above, rungs = len(series["above_baseline"]), len({point["rung"] for point in series["points"]})
    return "no rung" if above == 0 else "every rung" if above == rungs else "some rungs"


def metric_title(series: Series) -> str:
    """The metric and split as a heading, its task being the heading above: "ROUGE-L, test"."""
    length = f", at {series['length']}" if series["length"] else ""
    which = f" ({series['apart']})" if series.get("apart") else ""
    return f"{capital(METRIC_NAMES[series['metric']])}, {series['split']}{length}{which}"


def best_baseline(series: Series) -> Mapping[str, Any] | None:
    """The baseline that is hardest to beat, if the series has any."""
    way = 1 if series["higher_is_better"] else -1
    return max(series["baselines"], key=lambda baseline: way * baseline["value"], default=None)


def _sentences(series: Series) -> tuple[str, ...]:
    forecast = series["forecast"]
    told = (
        series["trend"]["sentence"],
        forecast["sentence"] if forecast else series["no_forecast_reason"],
        *series["outlook"].get("sentences", ()),
        *series["surprises"],
        *(one["sentence"] for one in series["off_trend"]),
        series["baseline_sentence"],
        *series["notes"],
    )
    return tuple(sentence for sentence in told if sentence)


def _forecasts(series: Series) -> Table | None:
    forecast = series["forecast"]
    if forecast is None:
        return None
    columns = (
        Column("Hidden rung", numeric=False),
        Column("Forecaster", numeric=False),
        Column("Value"),
        Column(f"{100 * forecast['level']:g} % interval"),
        Column("Error"),
    )
    rows = [row for one in forecast["rungs"] for row in _forecast_rows(one, forecast["law_name"])]
    return Table("The hidden rung, predicted and measured", columns, tuple(rows))


def _forecast_rows(one: Mapping[str, Any], law: str) -> list[tuple[str, ...]]:
    """What the law, the two naive forecasters and the measurement say of one hidden rung."""
    low, high = one["interval"]
    guesses = (
        (law, one, f"{significant(low)} to {significant(high)}"),
        ("straight line in log-log", one["log_log_line"], MISSING),
        ("repeat the last value", one["last_value"], MISSING),
    )
    return [
        *(
            (
                one["rung"],
                name,
                significant(guess["predicted"]),
                interval,
                signed_percent(guess["error_percent"]),
            )
            for name, guess, interval in guesses
        ),
        (one["rung"], "measured", significant(one["actual"]), MISSING, MISSING),
    ]


def _points(series: Series, axes: Sequence[str]) -> Table:
    fit = chosen_fit(series, axes[0]) if axes else None
    away = fit["residuals"] if fit else [None] * len(series["points"])
    rows = [
        (
            point["rung"],
            MISSING if point["seed"] is None else str(point["seed"]),
            *(axis_value(axis, point["x"].get(axis)) for axis in axes),
            with_error(point["value"], point["stderr"]),
            integer(point["n"]),
            MISSING if residual is None else fixed(residual, 4),
            _point_note(series, point),
        )
        for point, residual in zip(series["points"], away, strict=True)
    ]
    rows += [
        (
            base["name"],
            MISSING,
            *(MISSING for _ in axes),
            with_error(base["value"], base["stderr"]),
            integer(base["n"]),
            MISSING,
            "baseline",
        )
        for base in series["baselines"]
    ]
    columns = (
        Column("Rung", numeric=False),
        Column("Seed"),
        *(Column(capital(AXIS_NAMES[axis])) for axis in axes),
        Column("Value ± s.e."),
        Column("n"),
        Column("ln residual"),
        Column("Note", numeric=False),
    )
    return Table("Measured", columns, tuple(rows))


def _point_note(series: Series, point: Mapping[str, Any]) -> str:
    notes = ["hidden from the fits"] if point["held_out"] else []
    if point["rung"] in series["above_baseline"]:
        notes.append("above baseline")
    return ", ".join(notes)


def _fits(series: Series) -> Table | None:
    rows = tuple(
        (
            f"{fit['formula']} ({fit['name']}{', chosen' if fit['chosen'] else ''})",
            AXIS_NAMES[fit["x"]],
            ", ".join(_parameter(fit, name) for name in fit["parameters"]),
            f"{fit['n']} at {fit['sizes']}",
            " ".join([*fit["notes"], _resampling(fit)]),
        )
        for fit in series["fits"]
    )
    columns = (
        Column("Law", numeric=False),
        Column("Against", numeric=False),
        Column("Parameters ± s.e.", numeric=False),
        Column("Runs at sizes"),
        Column("Notes", numeric=False),
    )
    return Table("Fitted, the hidden rungs unseen", columns, rows) if rows else None


def _parameter(fit: Mapping[str, Any], name: str) -> str:
    error = fit["standard_errors"][name]
    bound = " (at its bound)" if name in fit["at_bound"] else ""
    return f"{name} = {with_error(fit['parameters'][name], error)}{bound}"


def _resampling(fit: Mapping[str, Any]) -> str:
    bootstrap = fit["bootstrap"]
    failed = f", {bootstrap['failed']} failed" if bootstrap["failed"] else ""
    return f"Bands and errors: {bootstrap['kind']} bootstrap, {bootstrap['replicates']} refits{failed}."


def _small_print(series: Series) -> str:
    told = (("Signature", series["signature"]), ("Data", series["data_fingerprint"]))
    return " · ".join(f"{name}: {value}" for name, value in told if value)


def _glance_row(series: Series) -> tuple[str, ...]:
    baseline, forecast = best_baseline(series), series["forecast"]
    points = series["points"]
    return (
        str(series["title"]),
        with_error(points[0]["value"], points[0]["stderr"]),
        with_error(points[-1]["value"], points[-1]["stderr"]),
        f"{significant(baseline['value'], 3)}" if baseline else MISSING,
        series["trend"]["verdict"] or "too few sizes",
        signed_percent(forecast["error_percent"]) if forecast else "none made",
    )
