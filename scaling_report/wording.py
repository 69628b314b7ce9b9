"""Sentences for findings: plain, exact, with the numbers and the rule they rest on."""

from __future__ import annotations

from collections.abc import Sequence

from scaling_report.forecast import Forecast, Guess
from scaling_report.frame import METRIC_NAMES, Series
from scaling_report.trend import ALPHA, FALLS, Trend

AXIS_NAMES = {
    "non_embedding": "non-embedding parameters",
    "total": "parameters",
    "matmul": "parameters in matrix products",
    "flops": "training FLOPs",
    "tokens": "training tokens",
}
LAW_NAMES = {"power": "power law", "power-floor": "power law with a floor"}
SMALL_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def number(value: float, digits: int = 4) -> str:
    """A number as a reader wants it: `digits` significant ones, a true minus sign."""
    return f"{value:.{digits}g}".replace("-", "−")


def count(many: int, thing: str) -> str:
    """ "one rung", "seven rungs", "12 rungs"."""
    return f"{SMALL_NUMBERS[many] if many < len(SMALL_NUMBERS) else many} {thing}{'' if many == 1 else 's'}"


def listed(words: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def quantity(series: Series) -> str:
    """What is measured, in running text: "bits per byte", "accuracy of module-classification"."""
    name = METRIC_NAMES[series.metric]
    return name if series.stage == "pretrain" else f"{name} of {series.task}"


def capital(sentence: str) -> str:
    """The sentence with a capital letter in front, the rest as it is."""
    return sentence[:1].upper() + sentence[1:]


def per_cent(value: float) -> str:
    """A percentage without its sign and with two significant digits."""
    return f"{number(abs(value), 2)} %"


def trend_sentence(series: Series, trend: Trend, visible: Trend, axis: str) -> str:
    """Whether the metric moves with size, by how much, and how sure that is."""
    what = capital(quantity(series))
    if trend.slope is None or trend.interval is None or trend.p_value is None:
        return f"{what}: {count(trend.sizes, 'size')} cannot show a trend; three are the least that can."
    low, high = trend.interval
    change = (
        f"{number(trend.slope, 2)} for every tenfold of {AXIS_NAMES[axis]}"
        f" (95 % interval {number(low, 2)} to {number(high, 2)}, {_p_text(trend.p_value)})"
    )
    if trend.moves:
        way = "falls" if trend.verdict == FALLS else "rises"
        return f"{what} {way} with size, on average by {change}."
    sentence = f"{what} shows no trend over {count(trend.sizes, 'size')}: the slope is {change}."
    if visible.moves:
        way = "fell" if visible.verdict == FALLS else "rose"
        sentence += f" The rungs that the fits could see {way}; the hidden ones break that."
    return sentence


def steps_sentence(series: Series, means: Sequence[tuple[str, float]]) -> str:
    """From where to where the metric goes along the ladder, and at which rungs it goes the wrong way."""
    (first, start), (last, end) = means[0], means[-1]
    sign = 1 if series.higher_is_better else -1
    wrong = [rung for (_, before), (rung, after) in zip(means, means[1:], strict=False) if sign * (after - before) <= 0]
    path = f"from {number(start)} at {first} to {number(end)} at {last}"
    what = f"{capital(quantity(series))} ({series.split})"
    if not wrong:
        return f"{what} improves with every larger rung, {path}."
    return f"{what} goes {path}; no better than the rung before: {listed(wrong)}."


def forecast_sentence(series: Series, forecast: Forecast, law: str, level: float, rungs_seen: int) -> str:
    """The prediction, the truth, and what the naive forecasters would have said."""
    low, high = forecast.interval
    measured = "measured" if forecast.runs == 1 else f"measured over {count(forecast.runs, 'seed')}"
    verdict = "inside" if forecast.inside else "outside"
    miss = "" if forecast.error_percent is None else f", {per_cent(forecast.error_percent)} from the prediction"
    return (
        f"With {forecast.rung} hidden, the {LAW_NAMES[law]} fitted to the other {count(rungs_seen, 'rung')} predicts its"
        f" {quantity(series)} as {number(forecast.predicted)} ({100 * level:g} % prediction interval {number(low)} to"
        f" {number(high)}); {measured}: {number(forecast.actual)}{miss} and {verdict} the interval."
        f" {_naive_sentence(forecast)}"
    ).rstrip()


def baseline_sentence(series: Series, above: Sequence[str], errors: float) -> str:
    """Which rungs beat every baseline, by which rule."""
    best = (max if series.higher_is_better else min)(series.baselines, key=lambda baseline: baseline.value)
    name = f"the {best.name} baseline ({number(best.value, 3)})"
    rule = f"by more than {errors:g} standard errors of the difference"
    what = capital(quantity(series))
    if not above:
        return f"{what}: no rung beats {name} {rule}."
    if len(above) == len(series.rungs):
        return f"{what}: every rung beats {name} {rule}."
    return f"{what}: {listed(above)} beat{'s' if len(above) == 1 else ''} {name} {rule}; the others do not."


def law_sentence(law: str, axis: str, exponent: float, error: float, floor: str | None) -> str:
    """The exponent with its error, and what is known of the floor."""
    sentence = (
        f"Against {AXIS_NAMES[axis]} the {LAW_NAMES[law]} has exponent {number(exponent, 2)}"
        f" (standard error {number(error, 2)})"
    )
    return f"{sentence}; {floor}." if floor else f"{sentence}."


def _naive_sentence(forecast: Forecast) -> str:
    guesses = (
        ("repeating the last value", forecast.last_value),
        ("a straight line in log-log", forecast.log_log_line),
    )
    told = [f"{name} misses by {per_cent(guess.error_percent)}" for name, guess in guesses if _known(guess)]
    return f"For comparison, {listed(told)}." if told else ""


def _known(guess: Guess) -> bool:
    return guess.error_percent is not None


def _p_text(p_value: float) -> str:
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.2g}" if p_value < ALPHA else f"p = {p_value:.2f}"
