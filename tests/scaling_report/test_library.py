"""The package as a library: one call from a table to a judged law, which shows itself in a notebook."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import scaling_report
from eval.files import InputError
from scaling_report.laws import chinchilla, power_floor
from tests.scaling_report.test_saved import TRUTH, rows

SIZES = np.geomspace(1e4, 1e6, 10)
CURVE = {"size": SIZES, "loss": power_floor(SIZES, 1.6, 16.5, 0.35)}


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = (
        "import sys, scaling_report\n"
        "assert not {'numpy', 'scipy', 'altair', 'pyarrow'} & set(sys.modules)\n"
        "import scaling_report.judge\n"  # which has a module `fit` of its own in reach
        "from scaling_report import Law, fit\n"
        "assert callable(fit) and Law.load\n"
        "assert not {'altair', 'torch', 'vl_convert'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_law_recovers_its_own_parameters_from_a_table_in_memory() -> None:
    found = scaling_report.fit("chinchilla", rows(noise=0), y="loss", bootstrap=0)
    assert found.fit.parameters == pytest.approx(TRUTH, rel=1e-5)
    assert found.predict(n=2e9, d=2e11).value == pytest.approx(chinchilla(2e9, 2e11, **TRUTH), rel=1e-6)


def test_columns_are_the_inputs_by_name_or_are_named() -> None:
    told = [{"N": row["n"], "F": row["c"], "loss": row["loss"]} for row in rows(0)]
    by_name = scaling_report.fit("chinchilla", told, x={"n": "N", "c": "F"}, y="loss", bootstrap=0)
    without_d = [{name: row[name] for name in ("n", "c", "loss")} for row in rows(0)]
    without = scaling_report.fit("chinchilla", without_d, y="loss", bootstrap=0)
    assert by_name.fit.parameters == without.fit.parameters == pytest.approx(TRUTH, rel=1e-5)
    one = scaling_report.fit("power-floor", CURVE, x="size", y="loss", where=["size>2e4"], bootstrap=0)
    assert one.fit.n == 8
    assert one.to_dict()["left_out"] == ["2 rows by --where"]


def test_the_largest_places_are_hidden_and_predicted() -> None:
    found = scaling_report.fit("chinchilla", rows(), y="loss", bootstrap=0)
    hidden = found.backtest(holdout=2)
    assert hidden["places"] == len(hidden["measured"]) == 2
    assert hidden["mean_absolute_error_percent"] < 1 < hidden["last_value_error_percent"]
    assert hidden == scaling_report.fit("chinchilla", rows(), y="loss", bootstrap=0, holdout=2).holdout
    with pytest.raises(InputError, match="holdout: 0; hide one place or more"):
        found.backtest(0)


def test_a_budget_is_spent_as_the_closed_form_has_it() -> None:
    found = scaling_report.fit("chinchilla", rows(0), y="loss", bootstrap=0)
    (budget,) = found.frontier([1e20], bootstrap=0)
    a, b = TRUTH["alpha"], TRUTH["beta"]
    best = (a * TRUTH["A"] / (b * TRUTH["B"])) ** (1 / (a + b)) * (1e20 / 6) ** (b / (a + b))
    surface = next(one for one in budget["answers"] if one["name"] == "surface")
    assert surface["n"] == pytest.approx(best, rel=1e-2)
    with pytest.raises(InputError, match="budgets: -1; give finite FLOPs above zero"):
        found.frontier([-1])
    curve = scaling_report.fit("power-floor", CURVE, x="size", y="loss", bootstrap=0)
    with pytest.raises(InputError, match="frontier: power-floor is not of size and data; fit chinchilla"):
        curve.frontier([1e20])


@pytest.mark.parametrize(
    ("law", "how", "said"),
    [
        ("chinchila", {"y": "loss"}, "law: 'chinchila' is not known; did you mean 'chinchilla'?"),
        ("chinchilla", {"y": "loss", "loss": "l2"}, "loss: 'l2' is not known"),
        ("chinchilla", {"y": "loss", "x": "n"}, "x: chinchilla is of n, d; give a column for each"),
        ("power", {"y": "loss"}, "x: power is of one input, whichever it is; name its column"),
        ("power", {"y": "los", "x": "n"}, "table: has no column 'los'; did you mean 'loss'?"),
        ("repeated", {"y": "loss"}, "repeated: needs u"),
        ("chinchilla", {"y": "loss", "predict": {"n": 1e9, "d": 1e9}}, "predict: is no list of places"),
        ("chinchilla", {"y": "loss", "predict": [{"n": -1, "d": 1e9}]}, "predict: n: -1; laws need"),
        ("chinchilla", {"y": None}, "table: None is no column's name; there are n, d, c, loss"),
        (None, {"y": "loss"}, "law: None is no name; there are "),
        ("chinchilla", {"y": "n"}, "y: 'n' is the column of n too"),
        ("chinchilla", {"y": "loss", "level": 90}, "level: 90; give a share between 0 and 1"),
        ("chinchilla", {"y": "loss", "bootstrap": 2.5}, "bootstrap: 2.5; give a whole number from 0 on"),
        ("chinchilla", {"y": "loss", "holdout": -1}, "holdout: -1; give a whole number"),
        ("chinchilla", {"y": "loss", "seed": None}, "seed: None; give a whole number"),
        ("power", {"y": "loss", "x": "n", "where": "n>1e12"}, "table: no rows to fit"),
    ],
)
def test_a_mistake_is_one_line(law: str, how: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as caught:
        scaling_report.fit(law, rows(), **how)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_result_shows_itself_as_chart_and_table(tmp_path: Path) -> None:
    curve = scaling_report.fit("power-floor", CURVE, x="size", y="loss", bootstrap=40)
    surface = scaling_report.fit("chinchilla", rows(), y="loss", bootstrap=0)
    for found, axis in ((curve, "size"), (surface, "fitted loss, nats per token")):
        shown = found._repr_mimebundle_()
        assert shown.keys() == {"text/html", "text/markdown", "text/plain"}
        html = shown["text/html"]
        assert "<svg" in html
        assert "<script" not in html
        assert axis in html
        assert html.count("<tr>") == 1 + len(found.fit.parameters)
        assert f"| {next(iter(found.fit.parameters))} |" in shown["text/markdown"]
        assert found.verdict[0] in shown["text/plain"]
    assert "90 % interval" in curve._repr_mimebundle_()["text/plain"]


def test_names_from_the_data_are_escaped() -> None:
    name = "<script>alert(1)</script>"
    table = {name: SIZES, "<b>loss": CURVE["loss"]}
    shown = scaling_report.fit("power-floor", table, x={name: name}, y="<b>loss", bootstrap=0)
    html = shown._repr_mimebundle_()["text/html"]
    assert "<script" not in html
    assert "<b>" not in html
    assert "&lt;script&gt;" in html
