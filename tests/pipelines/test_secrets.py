"""A token planted wherever a user could leave one is in no file of the run folder and in no error."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

from eval.files import InputError
from eval.safety import redact
from pipelines.plan import make_plan
from pipelines.planned import make_stage
from pipelines.recipe_file import load_recipe, packaged_recipes
from pipelines.stages import Job, Outcome, StageFailed, run_stage
from pipelines.store import RunFolder
from pipelines.summary import write_summary
from scaling_report.report import make_report
from scaling_report.settings import ReportSettings
from tests.faults.here import RECIPE, run_here

TOKEN = "hf_AbCdEfGhIjKlMnOpQrStUvWxYz012345"
ADDRESS = f"https://me:{TOKEN}@host/set"


def holding(folder: Path) -> list[str]:
    """The files below a folder that hold the token, packed ones too."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [str(path) for path in files if TOKEN.encode() in _bytes(path)]


def _bytes(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def test_a_token_in_a_comment_of_the_recipe_is_not_stored(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    text = (Path(__file__).parents[2] / "recipes" / "smoke.yaml").read_text()
    recipe.write_text(f"# my token is {TOKEN}\n{text}")
    loaded = load_recipe(str(recipe))
    run, plan = RunFolder(tmp_path / "run"), make_plan(loaded)
    run.claim(plan, loaded.text)
    failed = {plan.stages[0].id: Outcome(plan.stages[0].id, "failed", 1.0, "no such thing")}
    write_summary(run, plan, loaded, failed)
    run.record("stage-failed", stage=plan.stages[0].id, reason=f"cannot read {ADDRESS}")
    assert (run.root / "run.json").is_file()
    assert "# my token is ***" in (run.root / "recipe.yaml").read_text()
    assert "cannot read https://***@host/set" in (run.root / "events.jsonl").read_text()
    assert json.loads((run.root / "events.jsonl").read_text())["event"] == "stage-failed"
    assert holding(run.root) == []


@pytest.mark.slow
def test_a_token_in_a_comment_of_the_recipe_is_in_no_file_of_a_whole_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, failed = run_here(tmp_path, monkeypatch, f"# {TOKEN}\n{RECIPE}# {ADDRESS}\n")
    run = tmp_path / "runs" / "tiny"
    assert failed == []
    assert len(list(run.glob("stages/*/manifest.json"))) > 4
    assert "# ***\n" in (run / "recipe.yaml").read_text()
    make_report(run, ReportSettings(bootstrap=100, holdout=0))
    assert holding(tmp_path) == [str(tmp_path / "tiny.yaml")]


@pytest.mark.parametrize("error", [StageFailed(f"no {ADDRESS}"), RuntimeError(f"odd {TOKEN}\nand more")])
def test_a_token_in_what_a_stage_fails_with_is_not_stored(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(job: Job, tell: object) -> None:
        raise error

    monkeypatch.setattr("pipelines.stages._function", lambda stage: fail)
    stage = make_stage("prepare-corpus", "corpus", {})
    job = Job(stage=stage, run="r", base=tmp_path, folder=tmp_path / "stage", inputs={}, threads=1)
    outcome = run_stage(job, lambda message: None)
    assert outcome.status == "failed"
    assert outcome.reason is not None
    assert TOKEN not in outcome.reason
    assert {"failure.json", "error.txt"} & {path.name for path in job.folder.iterdir()}
    assert holding(tmp_path) == []


@pytest.mark.parametrize("given", [f"corpus.hub={TOKEN}", f"data={ADDRESS}", f"{TOKEN}=1", f"name={ADDRESS}"])
def test_a_token_on_the_command_line_is_refused_without_repeating_it(given: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        load_recipe("smoke", [given])
    assert TOKEN not in str(error.value)
    code = "from pipelines.cli import main; main()"
    ended = subprocess.run(
        [sys.executable, "-c", code, "run", "smoke", given, "--out", "run"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: command line: ")
    assert ended.stderr.count("\n") == 1
    assert TOKEN not in ended.stderr + ended.stdout
    assert not list(tmp_path.iterdir())


def test_no_packaged_recipe_is_taken_for_one_with_a_secret() -> None:
    for name in packaged_recipes():
        text = (Path(__file__).parents[2] / "recipes" / f"{name}.yaml").read_text()
        assert redact(text) == text, name
