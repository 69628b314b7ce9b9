"""One call from anybody's table to a judged law: what the package offers and the command calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from eval.files import InputError
from scaling_report import two_step
from scaling_report.fits import STARTS
from scaling_report.inputs import TRIAD, find_name, is_count
from scaling_report.judge import judge
from scaling_report.judgement import Judgement
from scaling_report.laws import LAWS
from scaling_report.losses import LOSSES
from scaling_report.sources import Table, open_table, select_runs
from scaling_report.sources.conditions import positive, read_number

INPUTS_OF: Mapping[str, tuple[str, ...]] = {
    **{name: law.inputs for name, law in LAWS.items()},
    two_step.NAME: two_step.INPUTS,
}


def fit(
    law: str,
    table: Any,
    *,
    x: Mapping[str, str] | str | None = None,
    y: str,
    via: str | None = None,
    error: str | None = None,
    where: str | Sequence[str] = (),
    loss: str = "huber",
    starts: int = STARTS,
    bootstrap: int = 400,
    holdout: int = 0,
    predict: Sequence[Mapping[str, float]] = (),
    level: float = 0.9,
    seed: int = 0,
) -> Judgement | two_step.TwoStep:
    """Fit `law` to the runs of `table`: parameters with errors, what is identified, what the law predicts.

    `table` is a path (a table, a run folder, lm-evaluation-harness or Trainer files) or a table in memory
    (columns by name, rows, a data frame). `x` names a column for each input (n parameters, d tokens, c
    FLOPs, …), or the column of a law of one input; without it the columns are called as the inputs are.
    `where` (such as "split=test") says which rows. `via` is the column of the task's loss, which the law
    two-step goes through, `error` that of y's standard errors, by which runs weigh. The rest is as in
    `scaling_report.judge.judge`. Raises `InputError` for whatever of this is not there or cannot be.
    """
    find_name(law, INPUTS_OF, "law")
    find_name(loss, LOSSES, "loss")
    check_counts(bootstrap=bootstrap, holdout=holdout, seed=seed, starts=starts)
    check_level(level)
    check_places(predict)
    opened = open_table(table)
    columns = find_columns(law, opened, x) | _through(law, via)
    runs = select_runs(
        opened, columns, y, [where] if isinstance(where, str) else where, [error] if error else ()
    )
    how: dict[str, Any] = {
        "loss": loss,
        "starts": starts,
        "bootstrap": bootstrap,
        "holdout": holdout,
        "predict": predict,
        "level": level,
        "seed": seed,
    }
    if law == two_step.NAME:
        if error is not None:
            raise InputError(f"--error: {law} does not weigh runs; leave it out")
        return replace(two_step.judge_two_step(runs.inputs, runs.y, **how), runs=runs)
    errors = runs.others[error] if error else None
    return judge(law, runs.inputs, runs.y, error=errors, runs=runs, **how)


def check_counts(**counts: Any) -> None:
    """Raise `InputError` for the first that is no whole number from 0 on."""
    for name, value in counts.items():
        if not is_count(value):
            raise InputError(f"{name}: {value!r}; give a whole number from 0 on")


def check_level(level: Any) -> None:
    """Raise `InputError` for what is no level of an interval."""
    if not (isinstance(level, int | float) and 0 < level < 1):
        raise InputError(f"level: {level!r}; give a share between 0 and 1, such as 0.9")


def check_places(places: Any) -> None:
    """Raise `InputError` for what is no list of places, numbers above zero by input."""
    if not isinstance(places, Sequence) or not all(isinstance(at, Mapping) for at in places):
        raise InputError("predict: is no list of places; give one, such as [{'n': 1e9, 'd': 2e10}]")
    for at in places:
        for name, value in at.items():
            positive(read_number(value, f"predict: {name}"), f"predict: {name}")


def _through(law: str, via: str | None) -> dict[str, str]:
    if law == two_step.NAME and via is None:
        raise InputError(
            f"{law}: needs the task's loss, which the accuracy is a function of; name it with --via COLUMN"
        )
    if law != two_step.NAME and via is not None:
        raise InputError(f"--via: {law} goes through no loss; leave it out, or fit two-step")
    return {} if via is None else {"l": via}


def find_columns(law: str, table: Table, x: Mapping[str, str] | str | None) -> dict[str, str]:
    """The column of each input, called as it is where `x` does not say otherwise."""
    inputs = TRIAD[:2] if law == two_step.NAME else LAWS[law].inputs
    if isinstance(x, str):
        if len(inputs) != 1:
            raise InputError(
                f"x: {law} is of {', '.join(inputs)}; give a column for each, such as {{'n': 'N'}}"
            )
        return {x if inputs == ("x",) else inputs[0]: x}
    if x is not None:
        if not isinstance(x, Mapping):
            raise InputError(f"x: {x!r}; give a column for each input, such as {{'n': 'N'}}")
        return dict(x)
    if inputs == ("x",):
        choices = ", ".join(table.columns) or "none"
        raise InputError(
            f"x: {law} is of one input, whichever it is; name its column (--x COLUMN); there are {choices}"
        )
    there = table.columns
    found = [name for name in inputs if name in there]
    if any(name in TRIAD and name not in there for name in inputs):
        found += [name for name in TRIAD if name in there and name not in found]
    return {name: name for name in found}
