"""The run folder: whole artefacts only, one owner, one writer."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from eval.files import InputError
from pipelines.plan import Plan, Stage
from pipelines.store import RunFolder, read_manifest, verify_artefact, write_manifest


def _stage(name: str = "corpus", key: str = "abc", **changes) -> Stage:
    return Stage(kind="prepare", name=name, settings={}, inputs=(), version=1, key=key, **changes)


def _plan(recipe: str = "mine") -> Plan:
    return Plan(recipe=recipe, base=Path(), stages=(_stage(),))


def test_an_artefact_is_finished_when_its_manifest_and_files_are_whole(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_bytes(b"12345")
    assert read_manifest(tmp_path) is None
    write_manifest(_stage(), tmp_path, {"tokens": 5}, seconds=1.0)
    manifest = read_manifest(tmp_path)
    assert manifest is not None
    assert manifest["facts"] == {"tokens": 5}
    # `printf 12345 | sha256sum`
    of_12345 = "5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5"
    assert manifest["files"] == {"model/weights": {"bytes": 5, "sha256": of_12345}}
    assert verify_artefact(tmp_path) is None
    (tmp_path / "model" / "weights").write_bytes(b"12344")  # one bit
    assert (
        verify_artefact(tmp_path)
        == f"{tmp_path / 'model/weights'}: does not have the hash it was written with"
    )
    (tmp_path / "model" / "weights").write_bytes(b"123")  # cut short
    assert read_manifest(tmp_path) is None


def test_a_half_written_manifest_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"format": 1, "fil')
    assert read_manifest(tmp_path) is None


def test_a_folder_of_another_recipe_is_refused_and_left_alone(tmp_path: Path) -> None:
    RunFolder(tmp_path).claim(_plan("theirs"), "name: theirs\n")
    with pytest.raises(
        InputError, match="belongs to the recipe 'theirs', not 'mine'; choose another folder with --out"
    ):
        RunFolder(tmp_path).claim(_plan("mine"), "name: mine\n")
    assert (tmp_path / "recipe.yaml").read_text() == "name: theirs\n"


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(InputError, match="not a run folder"):
        RunFolder(tmp_path).claim(_plan(), "")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_in_the_folders_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("x")
    with pytest.raises(InputError, match="is a file"):
        RunFolder(tmp_path / "runs").claim(_plan(), "")


def test_claiming_again_is_fine_and_a_broken_plan_says_so(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.claim(_plan(), "name: mine\n")
    run.claim(_plan(), "name: mine\n")
    assert json.loads((tmp_path / "plan.json").read_text())["stages"][0]["folder"] == "prepare-corpus-abc"
    (tmp_path / "plan.json").write_text("{")
    with pytest.raises(InputError, match="not JSON"):
        run.read_plan()
    with pytest.raises(InputError, match="belongs to the recipe 'mine', not 'theirs'"):
        run.claim(_plan("theirs"), "name: theirs\n")
    run.claim(_plan(), "name: mine\n")  # the recipe's copy says whose the folder is
    assert run.read_plan()["recipe"] == "mine"
    (tmp_path / "plan.json").write_text("{")
    (tmp_path / "recipe.yaml").write_text("?: {")
    with pytest.raises(InputError, match="not JSON"):
        run.claim(_plan(), "name: mine\n")


def test_a_bit_that_flips_in_a_manifest_or_plan_is_seen(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.claim(_plan(), "name: mine\n")
    folder = run.folder(_stage())
    write_manifest(_stage(), folder, {"tokens": 5}, seconds=1.0)
    manifest, plan = folder / "manifest.json", tmp_path / "plan.json"
    manifest.write_text(manifest.read_text().replace('"tokens": 5', '"tokens": 7'))
    assert read_manifest(folder) is None
    plan.write_text(plan.read_text().replace("prepare", "qrepare"))
    with pytest.raises(InputError, match="does not have the hash it was written with"):
        run.read_plan()


_HOLDER = """
import sys, time
from pathlib import Path
from pipelines.store import RunFolder
with RunFolder(Path(sys.argv[1])).locked():
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_process_is_told_who_works_here_and_a_dead_one_holds_nothing(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert run.is_running()
        with (
            pytest.raises(
                InputError, match=rf"another stepladder is working here \(process {holder.pid}, since"
            ),
            run.locked(),
        ):
            pass
    finally:
        holder.kill()
        holder.wait()
    assert not run.is_running()
    with run.locked():
        assert run.is_running()
