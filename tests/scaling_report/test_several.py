"""Several runs in one report: kept apart, called by names of their own, their run.json side by side."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

import scaling_report.svg
from eval.files import InputError
from eval.results import Result, write_results
from scaling_report.report import make_report
from scaling_report.settings import ReportSettings
from scaling_report.several import Source, merge_results, merge_runs, name_sources
from tests.scaling_report.sample_run import sample_run
from tests.scaling_report.two_families import accuracies, shared_noise

SETTINGS = ReportSettings(x=("non_embedding",), bootstrap=100)


def _source(folder: str, results: list[Result], run: str | None = None) -> Source:
    return Source(Path(folder) / "results.jsonl", results, None if run is None else {"run": run})


def _runs(sources: list[Source]) -> list[set[str | None]]:
    return [{result.run for result in source.results} for source in sources]


def test_runs_of_one_name_are_called_after_their_folders():
    gpt2 = accuracies("gpt2", 0.14, run="ladder")
    bert = accuracies("bert", 0.17, run="ladder")
    named = name_sources([_source("/runs/a", gpt2, "ladder"), _source("/runs/b", bert, "ladder")])
    assert [source.name for source in named] == ["a", "b"]
    assert _runs(named) == [{"a"}, {"b"}]


def test_runs_with_names_of_their_own_keep_them():
    named = name_sources(
        [
            _source("/runs/a", accuracies("gpt2", 0.14), "gpt2-run"),
            _source("/runs/b", accuracies("bert", 0.17)),
        ]
    )
    assert _runs(named) == [{"gpt2-run"}, {"bert-run"}]


def test_later_evaluations_of_a_run_are_of_the_same_run():
    first = accuracies("gpt2", 0.14, run="ladder")
    named = name_sources(
        [_source("/runs/a", first), _source("/evals", accuracies("gpt2", 0.2, run="ladder", task="x"))]
    )
    assert _runs(named) == [{"ladder"}, {"ladder"}]


def test_folders_of_one_name_are_told_apart_by_more_of_their_paths():
    sources = [
        _source(f"/{place}/run", accuracies(family, 0.1, run="ladder"))
        for place, family in (("old", "gpt2"), ("new", "bert"))
    ]
    assert _runs(name_sources(sources)) == [{"old/run"}, {"new/run"}]


def test_results_of_no_run_are_called_after_their_table():
    nobody = accuracies("gpt2", 0.1, run=None)
    (first, *_) = merge_results(name_sources([Source(Path("/x/mine.jsonl"), nobody, None)]))
    assert first.run == "mine"
    assert "run" not in first.missing


def test_rungs_stages_and_facts_stand_under_their_runs_and_no_learning_curves():
    run = sample_run()
    merged = merge_runs([Source(Path("/a"), [], run, "one"), Source(Path("/b"), [], run, "two")])
    assert merged["run"] == "one and two"
    assert {rung["rung"].split(": ")[0] for rung in merged["rungs"]} == {"one", "two"}
    assert {stage["stage"].split(": ")[0] for stage in merged["stages"]} == {"one", "two"}
    assert merged["machine"] == run["machine"]  # said once where it is the same
    assert merged["curves"] == []
    (sample, *_) = merged["samples"]
    assert len(merged["samples"]) == len(run["samples"])  # one item, what both wrote side by side
    assert len(sample["outputs"]) == 2 * len(run["samples"][0]["outputs"])


def _write(folder: Path, exponent: float, noise: np.ndarray | None = None) -> Path:
    folder.mkdir()
    results = [
        dataclasses.replace(one, model_fingerprint=f"{folder.name}-{one.rung}")
        for one in accuracies("gpt2", exponent, noise=noise, run="ladder")
    ]
    write_results(folder / "results.jsonl", results)
    return folder


def test_one_report_of_two_runs_of_one_name(tmp_path, monkeypatch):
    monkeypatch.setattr(scaling_report.svg, "draw", lambda spec: "<svg/>")  # what takes long
    monkeypatch.setattr(scaling_report.svg, "rasterise", lambda svgs: dict.fromkeys(svgs, b"PNG"))
    monkeypatch.setattr(scaling_report.svg, "vega_script", lambda: "window.vegaEmbed = null;")
    one, other = shared_noise(3)
    folders = [_write(tmp_path / "a", 0.14, one), _write(tmp_path / "b", 0.17, other)]
    page = make_report(folders, SETTINGS, out=tmp_path / "report")
    laws = json.loads((page.parent / "laws.json").read_text())
    assert [one["run"] for one in laws["series"]] == ["a", "b"]
    assert [one["title"] for one in laws["series"]] == [
        "sst2: accuracy, test (a)",
        "sst2: accuracy, test (b)",
    ]
    assert laws["comparisons"][0]["differs_in"] == "run"
    assert "Families compared" in page.read_text()
    assert any(name.name.startswith("compared-") for name in (page.parent / "figures").iterdir())


def test_several_need_a_place_and_each_but_once(tmp_path):
    folders = [_write(tmp_path / "a", 0.14), _write(tmp_path / "b", 0.17)]
    with pytest.raises(InputError, match="add --out FOLDER"):
        make_report(folders, SETTINGS)
    with pytest.raises(InputError, match="named twice"):
        make_report([folders[0], folders[0]], SETTINGS, out=tmp_path / "report")
