"""`stepladder next`, as a shell calls it: runs within a budget, the band after each, mistakes in one line."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from eval.results import write_results
from pipelines.cli import main
from scaling_report.laws import chinchilla
from tests.scaling_report.synthetic import ladder, result

LAW = {"E": 1.2, "A": 30.0, "B": 250.0, "alpha": 0.4, "beta": 0.4}
TABLE = ("runs.csv", "--x", "n=params", "--x", "d=tokens", "--y", "loss")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run folder of four sizes at three lengths, the same as a table, and a ladder of one length."""
    monkeypatch.chdir(tmp_path)
    rng, lines, results = np.random.default_rng(0), ["params,tokens,loss"], []
    for n in (13_000, 40_000, 120_000, 360_000):
        for d in (1_000_000, 3_000_000, 9_000_000):
            loss = float(
                chinchilla(np.float64(n), np.float64(d), **LAW) * np.exp(0.003 * rng.standard_normal())
            )
            lines.append(f"{n},{d},{loss}")
            one = result("bits_per_byte", loss, size=n, rung=f"r-{n}")
            results.append(replace(one, tokens=d, flops=8.0 * n * d, stage_flops=8.0 * n * d))
    (tmp_path / "runs.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    write_results(tmp_path / "grid" / "results.jsonl", results)
    write_results(tmp_path / "line" / "results.jsonl", ladder())
    return tmp_path


def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["stepladder", "next", *arguments])
    code = 0
    try:
        main()
    except SystemExit as stop:
        code = int(stop.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


def test_runs_of_a_folder_keep_the_budget_and_narrow_the_band_in_turn(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(monkeypatch, capsys, "grid", "--budget", "2e13", "--runs", "3", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["law"] == "chinchilla"
    assert found["cost"] == "C = 8·N·D"
    assert 1 <= len(found["runs"]) <= 3
    assert sum(one["flops"] for one in found["runs"]) == pytest.approx(found["spent"])
    assert found["spent"] <= 2e13
    for one in found["runs"]:
        assert one["flops"] == pytest.approx(8 * one["n"] * one["d"])
        assert one["n"] >= 13_000
        assert one["d"] >= 1_000_000
    bands = [found["band"], *(one["band"] for one in found["runs"])]
    assert bands == sorted(bands, reverse=True)
    assert found["target"]["flops"] == pytest.approx(10 * 8 * 360_000 * 9_000_000)
    trained = {
        (size, recipe["budget"]["tokens"])
        for recipe in map(yaml.safe_load, found["recipes"])
        for size in recipe["ladder"]["rungs"]["non_embedding"]
    }
    assert trained == {(one["n"], one["d"]) for one in found["runs"]}


def test_the_printed_table_is_the_plan(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(monkeypatch, capsys, *TABLE, "--budget", "1e13", "--reach", "n=2e6,d=4e7")
    assert code == 0
    assert "Target: 2M on 40M tokens (4.80e+14 FLOPs)" in out
    widths = [float(one) for one in re.findall(r"±([\d.]+) %", out)]
    assert len(widths) >= 2
    assert widths == sorted(widths, reverse=True)
    assert "C = 6·N·D" in out
    assert "The target is 5.6 times beyond what was measured: the band holds only if the law does." in out
    named = Path("named.csv")
    named.write_text(Path("runs.csv").read_text().replace("params,tokens", "n,d"))
    asked = ("--y", "loss", "--budget", "1e13", "--reach", "n=2e6,d=4e7")
    assert run(monkeypatch, capsys, "named.csv", *asked)[1] == out


def test_one_length_narrows_a_curve_over_size_and_says_what_it_takes(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(monkeypatch, capsys, "line", "--budget", "2e13", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["law"] in ("power", "power-floor")
    assert "Size and data do not vary apart" in found["notes"][0]
    assert {round(one["d"]) for one in found["runs"]} == {1_048_576}
    assert found["runs"][-1]["band"] < found["band"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("grid", "--budget", "0"), "--budget: 0 FLOPs pay for nothing"),
        (("grid", "--budget", "1e5"), "--budget: 1e+05 FLOPs pay for none of the runs"),
        (("grid", "--budget", "1e13", "--reach", "n=1e6"), "--reach: 'n=1e6'; FLOPs, or n=…,d=…, are wanted"),
        (("grid", "--budget", "1e13", "--reach", "far"), "--reach: 'far' is no number"),
        (("grid", "--budget", "1e13", "--y", "loss"), "grid: a run folder knows its columns"),
        ((".", "--budget", "1e13"), "no results.jsonl in it; name a finished run's folder"),
        (("runs.csv", "--budget", "1e13"), "runs.csv: no run folder; for a table name its columns"),
        (("grid", "--budget", "inf"), "--budget: inf FLOPs; give a finite number"),
        (("grid", "--budget", "1e13", "--reach", "1"), "--reach: a run of 1 FLOPs lies below the cheapest"),
        (("grid", "--budget", "1e13", "--reach", "n=1e80,d=1e9"), "times beyond what was measured"),
        (("runs.csv", "--budget", "1e13", "--y", "loss"), "chinchilla: needs n"),
        (("runs.csv", "--budget", "1e13", "--x", "n=params", "--y", "loss"), "chinchilla: needs d"),
    ],
)
def test_each_mistake_is_one_line(
    arguments: tuple[str, ...],
    said: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, out, err = run(monkeypatch, capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert said in err
