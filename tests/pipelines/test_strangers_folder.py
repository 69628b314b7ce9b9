"""A run folder that somebody else made: nothing outside it is read as an artefact, written or removed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from eval.files import InputError, write_sealed
from pipelines.planned import make_stage
from pipelines.stages import Job, run_stage
from pipelines.store import RunFolder, read_manifest


@pytest.mark.parametrize("place", ["report", "stages", "events.jsonl", "stages/pretrain-13k-0123"])
def test_links_that_lead_out_are_refused_before_anything_is_written(place: str, tmp_path: Path) -> None:
    run, mine = tmp_path / "run", tmp_path / "mine"
    mine.mkdir()
    (run / place).parent.mkdir(parents=True)
    (run / place).symlink_to(mine)
    with pytest.raises(InputError, match=f"{place}: is a link that leads out of"), RunFolder(run).locked():
        pass
    assert not list(mine.iterdir())
    assert not (run / ".owner.json").exists()


def test_a_run_folder_may_be_a_link_itself(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "disk")
    with RunFolder(tmp_path / "run").locked():
        assert (tmp_path / "disk" / ".owner.json").is_file()


def test_a_stage_does_not_write_through_a_link(tmp_path: Path) -> None:
    stage = make_stage("prepare-corpus", "corpus", {})
    job = Job(stage=stage, run="r", base=tmp_path, folder=tmp_path / "stage", inputs={}, threads=1)
    (tmp_path / "mine").mkdir()
    job.folder.mkdir()
    (job.folder / "checkpoints").symlink_to(tmp_path / "mine")
    with pytest.raises(InputError, match="checkpoints: is a link that leads out of"):
        run_stage(job, lambda message: None)
    assert not list((tmp_path / "mine").iterdir())


@pytest.mark.parametrize("folder", ["../../mine", "/etc", "a/b", "..", "", 3])
def test_a_plan_whose_folders_lead_elsewhere_is_no_plan(folder: object, tmp_path: Path) -> None:
    plan = {"format": 1, "recipe": "quickstart", "stages": [{"id": "x", "folder": folder}]}
    write_sealed(tmp_path / "plan.json", plan)
    with pytest.raises(InputError, match="not a plan of Stepladder"):
        RunFolder(tmp_path).read_plan()


def test_an_artefact_has_its_files_in_its_folder(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("")
    folder = tmp_path / "stage"
    told = {"settings": {}, "facts": {}, "seconds": 1.0, "files": {"../mine.txt": {"bytes": 0, "sha256": ""}}}
    write_sealed(folder / "manifest.json", told)
    assert read_manifest(folder) is None
    (folder / "mine.txt").write_text("")
    write_sealed(folder / "manifest.json", told | {"files": {"mine.txt": {"bytes": 0, "sha256": ""}}})
    assert read_manifest(folder) is not None


def test_a_recipe_of_a_bomb_in_a_run_folder_ends_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text(json.dumps({"broken": True}))
    (tmp_path / "recipe.yaml").write_text("a: " + "[" * 5000)
    with pytest.raises(InputError, match=r"plan\.json"):
        RunFolder(tmp_path).check_owner("quickstart")
