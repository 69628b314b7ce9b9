"""run.json and a report's folder from strangers: checked before use, and nothing outside is touched."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eval.files import InputError, write_json
from scaling_report.report import VERSION, _write
from scaling_report.run_file import read_run
from tests.scaling_report.sample_run import sample_run


def test_a_whole_one_is_read_as_it_is(tmp_path: Path) -> None:
    write_json(tmp_path / "run.json", sample_run())
    assert read_run(tmp_path / "run.json") == sample_run()
    write_json(tmp_path / "run.json", {"run": "x", "anything": [1]})  # what is not read may be anything
    assert read_run(tmp_path / "run.json") == {"run": "x", "anything": [1]}


def change(*path: Any) -> Callable[[dict[str, Any]], None]:
    *way, last, value = path

    def changed(run: dict[str, Any]) -> None:
        holder: Any = run
        for part in way:
            holder = holder[part]
        holder[last] = value

    return changed


@pytest.mark.parametrize(
    ("changed", "place"),
    [
        (change("rungs", 0, "hyper", "clip", "high"), "rungs.0.hyper.clip"),
        (change("rungs", 0, "shape", {}), "rungs.0.shape.n_layer"),
        (change("rungs", 2, "tokens", -1), "rungs.2.tokens"),
        (change("curves", 0, "points", [[1, 2, 3]]), "curves.0.points.0"),
        (change("curves", 0, "points", [[0, 2]]), "curves.0.points.0.0"),
        (change("samples", 0, "outputs", [{"rung": "r"}]), "samples.0.outputs.0.text"),
        (change("stages", 0, "seconds", "long"), "stages.0.seconds"),
        (change("rungs", 0, "energy_joules", "x"), "rungs.0.energy_joules"),
        (change("rungs", 0, "energy_source", 1), "rungs.0.energy_source"),
        (change("corpus", [1]), "corpus"),
        (change("passage", {"id": "x", "rungs": []}), "passage.rungs"),
        (change("machine", "cores", 10**400), "too large"),
        (change("run", "\ud800"), "surrogates"),
        (change("corpus", "a", [[[[[[[[[[[[[[1]]]]]]]]]]]]]]), "nested too deeply"),
        (change("rungs", 0, "seconds", float("nan")), "rungs.0.seconds|not JSON compliant"),
    ],
)
def test_what_a_report_could_not_be_made_of_is_named(
    changed: Callable[[dict[str, Any]], None], place: str, tmp_path: Path
) -> None:
    run = sample_run()
    changed(run)
    (tmp_path / "run.json").write_text(json.dumps(run))
    with pytest.raises(InputError, match=rf"run\.json: .*({place})") as error:
        read_run(tmp_path / "run.json")
    assert "\n" not in str(error.value)
    assert str(error.value).endswith("run `stepladder run` again to write it")


@pytest.mark.parametrize("name", ["../precious", "figures/../../precious", "/{root}/precious"])
def test_a_strangers_report_removes_nothing_outside_its_folder(name: str, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("as it was")
    name = name.format(root=str(tmp_path).strip("/"))
    write_json(tmp_path / "report" / "manifest.json", {"version": VERSION, "key": "x", "files": {name: ""}})
    _write(tmp_path / "report", {"index.html": "<p>"}, "key")
    assert precious.read_text() == "as it was"
    assert (tmp_path / "report" / "index.html").read_text() == "<p>"


def test_a_report_drops_what_only_the_one_before_had(tmp_path: Path) -> None:
    _write(tmp_path, {"index.html": "<p>", "figures/old.svg": "<svg>"}, "one")
    _write(tmp_path, {"index.html": "<p>"}, "two")
    assert not (tmp_path / "figures" / "old.svg").exists()


def test_a_report_is_not_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "figures").symlink_to(tmp_path / "mine")
    with pytest.raises(InputError, match="figures: is a link that leads out of"):
        _write(tmp_path / "report", {"figures/x.svg": "<svg>"}, "key")
    assert not list((tmp_path / "mine").iterdir())
