"""Sentences for findings: plain, exact, with the numbers and the rule they rest on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from scaling_report.forecast import Forecast
from scaling_report.frame import CORPUS_TASKS, METRIC_NAMES, Series
from scaling_report.notation import significant
from scaling_report.trend import ALPHA, FALLS, RISES, Trend

AXIS_NAMES = {
    "non_embedding": "non-embedding parameters",
    "total": "parameters",
    "matmul": "parameters in matrix products",
    "flops": "training FLOPs",
    "tokens": "training tokens",
}
LAW_NAMES = {"power": "power law", "power-floor": "power law with a floor"}
SPLIT_NAMES = {"test": "the test split", "validation": "the validation split", "train": "the training split"}
BASELINE_ERRORS = 2  # standard errors of the difference that a rung must be better by to beat its baseline
SMALL_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def count(many: int, thing: str) -> str:
    """ "one rung", "seven rungs", "12 rungs"."""
    return f"{SMALL_NUMBERS[many] if many < len(SMALL_NUMBERS) else many} {thing}{'' if many == 1 else 's'}"


def listed(words: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def quantity(series: Series) -> str:
    """What is measured, in running text: "bits per byte", "accuracy of module-classification (BERT)"."""
    name = METRIC_NAMES[series.metric]
    which = f" ({series.apart})" if series.apart else ""
    return (name if series.task in CORPUS_TASKS else f"{name} of {series.task}") + which


def capital(sentence: str) -> str:
    """The sentence with a capital letter in front, unless its first word is spelt as chrF is."""
    first = re.split("[ -]", sentence, maxsplit=1)[0]
    return sentence[:1].upper() + sentence[1:] if first.islower() else sentence


def per_cent(value: float) -> str:
    """A percentage without its sign and with two significant digits."""
    return f"{significant(abs(value), 2)} %"


def trend_sentence(series: Series, trend: Trend, visible: Trend, axis: str) -> str:
    """Whether the metric moves with size, by how much, and how sure that is."""
    what = capital(quantity(series))
    if trend.slope is None or trend.interval is None or trend.p_value is None:
        return f"{what}: {count(trend.sizes, 'size')} cannot show a trend; it takes three or more."
    if trend.slope == 0:
        value = significant(series.points[0].value)
        return f"{what} {_verb(series, 'is')} {value} at every one of {count(trend.sizes, 'size')}: no trend."
    low, high = trend.interval
    change = (
        f"{signed(trend.slope)} for every tenfold of {AXIS_NAMES[axis]}"
        f" (95 % interval {signed(low)} to {signed(high)}, {p_text(trend.p_value)})"
    )
    if trend.moves:
        return f"{what} {_verb(series, trend.verdict)} with size: on average {change}."
    sentence = f"{what} {_verb(series, 'shows')} no trend over {count(trend.sizes, 'size')}: {change}."
    if visible.moves:
        way = "fell" if visible.verdict == FALLS else "rose"
        sentence += f" Over the rungs that the fits could see it {way}; the hidden ones break that."
    return sentence


def steps_sentence(series: Series, means: Sequence[tuple[str, float]]) -> str:
    """From where to where the metric goes along the ladder, and at which rungs it does not get better."""
    (first, start), (last, end) = means[0], means[-1]
    what = f"{capital(quantity(series))} on {SPLIT_NAMES[series.split]}"
    if len(means) == 1:
        return f"{what}: {significant(start)} at {first}, the only rung."
    sign = 1 if series.higher_is_better else -1
    worse = [rung for (_, before), (rung, after) in pairwise(means) if sign * (after - before) <= 0]
    path = f"from {significant(start)} at {first} to {significant(end)} at {last}"
    if not worse:
        way = _verb(series, RISES if series.higher_is_better else FALLS)
        return f"{what} {way} with every larger rung, {path}."
    return f"{what} {_verb(series, 'goes')} {path}; not better than the rung before: {listed(worse)}."


def forecast_sentence(
    series: Series, forecast: Forecast, law: str, level: float, hidden: Sequence[str], seen: int
) -> str:
    """The prediction, the truth, and what the naive forecasters would have said."""
    low, high = forecast.interval
    place = "inside" if forecast.inside else "outside"
    measured = (
        "Measured" if forecast.runs == 1 else f"Measured, as the mean of {count(forecast.runs, 'seed')}"
    )
    miss = (
        "" if forecast.error_percent is None else f", {per_cent(forecast.error_percent)} from the prediction"
    )
    return (
        f"{capital(quantity(series))}: with {listed(hidden)} hidden, the {law} fitted to the other"
        f" {count(seen, 'rung')} predicts {significant(forecast.predicted)} for {forecast.rung}"
        f" ({100 * level:g} % prediction interval {significant(low)} to {significant(high)})."
        f" {measured}: {significant(forecast.actual)}{miss} and {place} the interval."
        f" {_naive_sentence(forecast)}"
    ).rstrip()


def baseline_sentence(series: Series, above: Sequence[str]) -> str:
    """Which rungs beat every baseline, by `BASELINE_ERRORS`."""
    best = (max if series.higher_is_better else min)(series.baselines, key=lambda baseline: baseline.value)
    name = f"the {best.name} baseline ({significant(best.value, 3)})"
    rule = f"by more than {SMALL_NUMBERS[BASELINE_ERRORS]} standard errors of the difference"
    what = capital(quantity(series))
    if not above:
        return f"{what}: no rung beats {name} {rule}."
    if len(above) == len(series.rungs):
        return f"{what}: every rung beats {name} {rule}."
    return (
        f"{what}: {listed(above)} beat{'s' if len(above) == 1 else ''} {name} {rule}; the other rungs do not."
    )


def law_sentence(law: str, axis: str, exponent: float, error: float, floor: str | None) -> str:
    """The exponent with its error, and what is known of the floor."""
    sentence = (
        f"Against {AXIS_NAMES[axis]} the {law} has exponent {significant(exponent, 2)}"
        f" (standard error {significant(error, 2)})"
    )
    return f"{sentence}; {floor}." if floor else f"{sentence}."


def signed(value: float) -> str:
    """Two significant digits with the sign there: +0.17, −0.25."""
    return f"{'+' if value > 0 else ''}{significant(value, 2)}"


def _verb(series: Series, verb: str | None) -> str:
    """The verb as the metric's name wants it: accuracy falls, bits per byte fall."""
    assert verb is not None
    if series.metric != "bits_per_byte" or series.stage != "pretrain":
        return verb
    return {"goes": "go", "is": "are"}.get(verb, verb.removesuffix("s"))


def _naive_sentence(forecast: Forecast) -> str:
    guesses = {
        "repeating the last value": forecast.last_value,
        "a straight line in log-log": forecast.log_log_line,
    }
    misses = {name: guess.error_percent for name, guess in guesses.items() if guess.error_percent is not None}
    if not misses or forecast.error_percent is None:
        return ""
    told = listed([f"{name} misses by {per_cent(error)}" for name, error in misses.items()])
    closer = [name for name, error in misses.items() if abs(error) < abs(forecast.error_percent)]
    end = f", so here {listed(closer)} would have come closer" if closer else ""
    return f"{capital(told)}{end}."


def p_text(p_value: float) -> str:
    """ "p = 0.03", with as many digits as matter."""
    return (
        "p < 0.001" if p_value < 0.001 else f"p = {p_value:.2g}" if p_value < ALPHA else f"p = {p_value:.2f}"
    )
