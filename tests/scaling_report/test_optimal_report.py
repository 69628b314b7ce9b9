"""Compute-optimal training in the report: what laws.json holds, the section says and its charts draw."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from eval.results import Result
from scaling_report.analysis import analyse
from scaling_report.optimal.figures import frontier_chart, isoflop_chart
from scaling_report.optimal.surface import Cost, Surface
from scaling_report.optimal.telling import tell_optimal
from scaling_report.palette import PALETTE
from scaling_report.settings import ReportSettings
from scaling_report.story import tell
from scaling_report.svg import draw
from tests.scaling_report.synthetic import ladder, result

LAW = {"E": 1.2, "A": 45.0, "B": 250.0, "alpha": 0.4, "beta": 0.4}
HEAD = 20_000  # parameters of the output head, which cost FLOPs and are in no non-embedding size
BUDGETS = (4e11, 1.6e12, 6.4e12)
SIZES = (13_000, 28_000, 60_000, 110_000, 240_000, 480_000)


def grid(*, noise: float = 0.001, sizes: tuple[int, ...] = SIZES) -> list[Result]:
    """Every size at every FLOPs budget; the law is of matmul parameters, which FLOPs follow."""
    rng = np.random.default_rng(0)
    results = []
    for size in sizes:
        for budget in BUDGETS:
            tokens = round(budget / (6 * (size + HEAD)))
            loss = Surface.of(LAW, Cost(6, 1, 0)).loss(np.array([size + HEAD]), np.array([tokens]))[0, 0]
            value = float(loss * np.exp(noise * rng.standard_normal()))
            one = result("bits_per_byte", value, size=size, rung=f"r-{size}", stderr=0.01)
            params = {"total": size + 2 * HEAD, "non_embedding": size, "matmul": size + HEAD}
            flops = 6.0 * (size + HEAD) * tokens
            results.append(replace(one, params=params, tokens=tokens, flops=flops, stage_flops=flops))
    return results


@cache
def _analysed() -> str:
    return json.dumps(analyse(grid(), ReportSettings(bootstrap=100)), allow_nan=False)


@pytest.fixture
def laws() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_analysed())
    return found


@pytest.fixture
def value(laws: dict[str, Any]) -> dict[str, Any]:
    (one,) = laws["compute_optimal"]
    return dict(one)


def test_lengths_go_together_and_size_is_counted_as_flops_are(value: dict[str, Any]) -> None:
    assert len(value["runs"]) == 18
    assert value["x"] == "matmul"
    assert value["cost"]["formula"] == "C = 6·N·D"
    low, high = value["approaches"][2]["interval_n"]
    assert low < 0.5 < high
    assert [group["rejected"] for group in value["groups"]] == [None] * 3


def test_the_section_says_what_a_budget_is_best_spent_on(value: dict[str, Any]) -> None:
    told = " ".join(tell_optimal(value).sentences)
    answer = value["budgets"][0]["answers"][-1]
    true = float(Surface.of(LAW, Cost(6, 1, 0)).best(value["budgets"][0]["flops"])[0][0, 0])
    assert answer["n"] == pytest.approx(true, rel=0.15)
    assert re.search(r"The best size grows as C\^0\.\d+ \(0\.\d+ to 0\.\d+\) by the fitted surface", told)
    assert "FLOPs are best spent on" in told
    assert re.search(r"Half that size costs .* more FLOPs\); twice that size costs", told)
    assert "Were the fitted surface true" in told


def test_tables_stand_side_by_side_and_are_whole(value: dict[str, Any]) -> None:
    section = tell_optimal(value)
    captions = [table.caption for table in section.tables]
    assert captions[0] == "The approaches side by side"
    assert captions[1] == "Budgets, and what they are best spent on"
    for table in section.tables:
        assert {len(row) for row in table.rows} == {len(table.columns)}
    assert [row[0][0] for row in section.tables[0].rows] == ["1", "2", "3"]
    assert any("far" in row[-1] for row in section.tables[1].rows)


def test_where_budgets_alone_show_no_trend_the_report_begins_with_it(laws: dict[str, Any]) -> None:
    story = tell(laws, None)
    assert story.hero is not None
    assert (story.hero.group, len(story.hero.figures)) == ("Compute-optimal training", 2)
    assert story.headline.startswith("The best size grows as C^")
    assert story.sections[0].group == "Size and data together"
    assert len({figure.id for figure in story.figures}) == len(story.figures)


@pytest.mark.parametrize("chart", [isoflop_chart, frontier_chart])
def test_charts_keep_to_the_palette_and_show_every_run(chart: Any, value: dict[str, Any]) -> None:
    spec = chart(value)
    svg = draw(spec)
    assert set(re.findall(r"#[0-9a-f]{6}\b", svg)) <= {on_light for on_light, _ in PALETTE.values()}
    assert '"#000"' not in svg  # would be black on dark paper
    assert not re.search(r"""\bid=|url\(|href=["']""", svg)
    assert "NaN" not in svg
    sets = [spec["datasets"][layer["data"]["name"]] for layer in spec["layer"]]
    assert max(len([row for row in rows if "loss" in row]) for rows in sets) == 18


def test_vertices_are_diamonds_where_the_value_has_them_and_rejected_runs_are_hollow(
    value: dict[str, Any],
) -> None:
    value["groups"][0] |= {"n": None, "d": None, "loss": None, "rejected": "the minimum lies outside"}
    layers = isoflop_chart(value)
    shapes = {
        (layer["mark"].get("shape"), layer["mark"].get("filled")): layers["datasets"][layer["data"]["name"]]
        for layer in layers["layer"]
    }
    diamonds = shapes["diamond", True]
    assert [(row["x"], row["y"]) for row in diamonds] == [(g["n"], g["loss"]) for g in value["groups"][1:]]
    assert len(shapes[None, False]) == 6
    assert "Without a vertex: one FLOPs budget of 3" in " ".join(tell_optimal(value).sentences)


def test_a_ladder_of_one_length_says_which_runs_it_takes() -> None:
    found = analyse([one for one in ladder() if one.metric == "bits_per_byte"], ReportSettings(bootstrap=100))
    assert found["compute_optimal"] == []
    reason = found["no_compute_optimal_reason"]
    assert "cannot be told" in reason
    assert re.search(
        r"about 5\.8 × 10¹¹ FLOPs with 12\.7k on [\d.]+M tokens, 26\.8k on 1\.05M tokens", reason
    )
    hero = tell(found, None).hero
    assert hero is not None
    assert reason in hero.sentences


def test_tasks_alone_say_nothing_of_budgets() -> None:
    tasks = [one for one in ladder() if one.stage == "finetune"]
    found = analyse(tasks, ReportSettings(bootstrap=100))
    assert (found["compute_optimal"], found["no_compute_optimal_reason"]) == ([], None)


def test_two_sizes_are_too_few_for_any_approach_and_that_is_said() -> None:
    found = analyse(grid(sizes=(13_000, 110_000)), ReportSettings(bootstrap=100))
    (one,) = found["compute_optimal"]
    assert [approach["name"] for approach in one["approaches"] if approach["exponent_n"] is not None] in (
        [],
        ["surface"],
    )
    section = tell_optimal(one)
    assert any(
        "Not told: no FLOPs budget holds three sizes or more" in row[-1] for row in section.tables[0].rows
    )
