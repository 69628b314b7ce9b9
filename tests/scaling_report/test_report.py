"""The report's folder: complete or not there, free the second time, the same bytes from the same results."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import scaling_report.analysis
import scaling_report.report
import scaling_report.series_figures
import scaling_report.svg
from eval.files import InputError, hash_file, write_atomic
from eval.results import read_results, write_results
from scaling_report.report import make_report
from scaling_report.settings import ReportSettings
from tests.scaling_report import synthetic
from tests.scaling_report.sample_run import sample_run

SETTINGS = ReportSettings(x=("non_embedding",), bootstrap=100)
_analyse = scaling_report.analysis.analyse


@cache
def _laws(settings: ReportSettings) -> str:
    return json.dumps(_analyse(synthetic.ladder(), settings))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "runs" / "synthetic"
    folder.mkdir(parents=True)
    synthetic.write_ladder(folder / "results.jsonl")
    (folder / "run.json").write_text(json.dumps(sample_run()), encoding="utf-8")
    return folder


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[ReportSettings]:
    """Stand-ins for what takes long (fits, charts, script); the list says how often a report was made."""
    calls: list[ReportSettings] = []

    def analyse(results: object, settings: ReportSettings, run: object, *, by_run: bool) -> Any:
        calls.append(settings)
        return json.loads(_laws(settings))

    monkeypatch.setattr(scaling_report.analysis, "analyse", analyse)

    def chart(series: dict[str, Any], axis: str) -> dict[str, Any]:
        scale = {"y": {"scale": {"domain": [0, 1]}}}
        return {"description": f"{series['id']} against {axis}", "encoding": scale}

    monkeypatch.setattr(scaling_report.series_figures, "metric_chart", chart)
    monkeypatch.setattr(scaling_report.svg, "draw", lambda spec: f"<svg>{len(json.dumps(spec))}</svg>\n")
    monkeypatch.setattr(scaling_report.svg, "rasterise", lambda svgs: dict.fromkeys(svgs, b"PNG"))
    monkeypatch.setattr(scaling_report.svg, "vega_script", lambda: "window.vegaEmbed = null;")
    return calls


def _bytes(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_whole_report_from_a_run_folder(run):
    page = make_report(run, SETTINGS)
    folder = run / "report"
    assert page == folder / "index.html"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert set(manifest["files"]) == set(_bytes(folder)) - {"manifest.json"}
    drawn = {"figures/learning-curves.svg", "figures/learning-curves.png"}
    assert {"index.html", "report.md", "laws.json"} | drawn <= set(manifest["files"])
    laws = json.loads((folder / "laws.json").read_text())
    assert laws.pop("provenance")["tables"][0]["sha256"] == hash_file(run / "results.jsonl")
    assert laws == json.loads(_laws(SETTINGS))
    assert page.stat().st_size <= 2_000_000
    assert laws["verdict"][0] in (folder / "report.md").read_text()


def test_the_same_results_give_the_same_bytes(run, tmp_path, made):
    make_report(run, SETTINGS)
    make_report(run, SETTINGS, out=tmp_path / "again")
    assert _bytes(run / "report") == _bytes(tmp_path / "again")
    assert len(made) == 2


def test_again_is_free_even_when_the_run_was_looked_at_later(run, made):
    make_report(run, SETTINGS)
    later = {**sample_run(), "made": "2027-01-01T00:00:00+00:00"}
    (run / "run.json").write_text(json.dumps(later), encoding="utf-8")
    make_report(run, SETTINGS)
    assert len(made) == 1


def test_a_change_or_a_lost_file_or_force_makes_it_again(run, made):
    make_report(run, SETTINGS)
    make_report(run, SETTINGS.model_copy(update={"level": 0.8}))
    assert len(made) == 2
    make_report(run, SETTINGS)
    (run / "report" / "report.md").unlink()
    make_report(run, SETTINGS)
    (run / "report" / "index.html").write_text("cut off")
    make_report(run, SETTINGS)
    assert len(made) == 5
    write_results(run / "results.jsonl", read_results(run / "results.jsonl")[:-1])
    make_report(run, SETTINGS)
    make_report(run, SETTINGS, force=True)
    assert len(made) == 7


def test_a_report_killed_at_any_file_ends_the_same_when_made_again(run, tmp_path, made, monkeypatch):
    make_report(run, SETTINGS, out=tmp_path / "undisturbed")
    files = len(_bytes(tmp_path / "undisturbed")) - 1
    for survived in {0, 1, files // 2, files - 1}:  # the page, its text, a chart, the last file
        out = tmp_path / f"killed-{survived}"
        written: list[Path] = []

        def write(path: Path, data: str, written: list[Path] = written, survived: int = survived) -> None:
            if len(written) == survived:
                raise KeyboardInterrupt
            written.append(path)
            write_atomic(path, data)

        with monkeypatch.context() as patch:
            patch.setattr(scaling_report.report, "write_atomic", write)
            with pytest.raises(KeyboardInterrupt):
                make_report(run, SETTINGS, out=out)
        assert not (out / "manifest.json").exists()
        make_report(run, SETTINGS, out=out)
        assert _bytes(out) == _bytes(tmp_path / "undisturbed")


def test_figures_that_only_the_report_before_had_are_dropped_and_other_files_kept(run, made):
    make_report(run, SETTINGS.model_copy(update={"x": ("non_embedding", "flops")}))
    figures = run / "report" / "figures"
    (figures / "mine.png").write_bytes(b"kept")
    before = {path.name for path in figures.iterdir()}
    make_report(run, SETTINGS)
    gone = before - {path.name for path in figures.iterdir()}
    assert gone == {name for name in before if name.endswith(("-flops.svg", "-flops.png"))}
    assert gone
    assert (figures / "mine.png").exists()


def test_a_table_of_any_origin_gets_its_report_beside_it(tmp_path, made):
    table = synthetic.write_ladder(tmp_path / "measured-elsewhere.jsonl.gz")
    page = make_report(table, SETTINGS)
    assert page == tmp_path / "measured-elsewhere-report" / "index.html"
    assert "Every metric at a glance" in page.read_text(encoding="utf-8")


def test_what_is_missing_or_broken_is_said_with_place_and_remedy(run, tmp_path, made):
    with pytest.raises(InputError, match="no such file"):
        make_report(tmp_path / "nowhere.jsonl", SETTINGS)
    with pytest.raises(InputError, match=r"no results\.jsonl in this folder; name"):
        make_report(tmp_path, SETTINGS)
    (run / "run.json").write_text('{"run": "x",\n oops}')
    with pytest.raises(InputError, match=r"run\.json: not JSON \(.* at line 2"):
        make_report(run, SETTINGS)
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(InputError, match="no results in it"):
        make_report(tmp_path / "empty.jsonl", SETTINGS)
    assert not list(tmp_path.rglob("index.html"))
