"""The hub is asked once and briefly; what was fetched before is found without it."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from eval import hub
from eval.files import InputError
from eval.hub import fetch_files, find_commit

COMMIT = "c0" * 20


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub's client."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def keep(cache: Path, name: str, **files: str) -> Path:
    """What the client leaves behind when it has fetched these files."""
    repo = cache / f"models--{name.replace('/', '--')}"
    folder = repo / "snapshots" / COMMIT
    folder.mkdir(parents=True)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(COMMIT)
    for file, text in files.items():
        (folder / f"{file}.json").write_text(text)
    return folder


def test_offline_a_model_is_read_from_what_was_fetched_before(cache: Path) -> None:
    folder = keep(cache, "some/model", config="{}")
    assert fetch_files("some/model", None, ("config.json", "tokenizer.json"), "here") == folder
    with pytest.raises(InputError, match=r"^here: no such folder, and not on the hub \(offline\); check"):
        fetch_files("other/model", None, ("config.json",), "here")


def test_a_commit_is_its_own_offline_and_a_branch_is_not_known() -> None:
    assert find_commit("some/set", COMMIT) == (COMMIT, None)
    assert find_commit("some/set", "main") == (None, "offline")


def test_files_that_the_hub_names_are_fetched_at_its_commit_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def download(name: str, file: str, **named: Any) -> str:
        asked.append((file, named["revision"], named["local_files_only"]))
        return str(tmp_path / file)

    siblings = [SimpleNamespace(rfilename=name) for name in ("config.json", "model.safetensors")]
    info = SimpleNamespace(sha=COMMIT, siblings=siblings)
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", lambda *_, **__: info)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    assert fetch_files("some/model", "main", ("config.json", "tokenizer.json"), "here") == tmp_path
    assert asked == [("config.json", COMMIT, False)]
    with pytest.raises(InputError, match=r"not on the hub \(it has no vocab\.txt\)"):
        fetch_files("some/model", None, ("vocab.txt",), "here")


def test_a_hub_that_is_not_there_costs_a_moment_and_one_line(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The client's own failure: an address at which nobody listens."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    folder = keep(cache, "some/model", config="{}")
    began = time.monotonic()
    assert fetch_files("some/model", None, ("config.json",), "here") == folder
    with pytest.raises(InputError, match=r"\(the hub cannot be reached\)"):
        fetch_files("other/model", None, ("config.json",), "here")
    assert time.monotonic() - began < 2 * hub.ASK_TIMEOUT_S
    assert capfd.readouterr() == ("", ""), "the client's own noise"


def test_a_name_that_no_hub_has_is_one_line(cache: Path) -> None:
    with pytest.raises(InputError, match="here: no such folder, and not on the hub") as refused:
        fetch_files("a/b/c", None, ("config.json",), "here")
    assert "\n" not in str(refused.value)
