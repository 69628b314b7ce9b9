"""Publishing uploads a model and nothing else, to the repository that was named, and never shows a token."""

from __future__ import annotations

import fnmatch
from pathlib import Path
from typing import Any

import pytest

from eval.files import InputError
from pipelines import publish as publishing
from pipelines.publish import publish


class Hub:
    """Stands for the hub: keeps what it was sent."""

    endpoint = "https://hub.test"

    def __init__(self, says_no: bool = False) -> None:
        self.repos: dict[str, bool] = {}
        self.files: dict[str, set[str]] = {}
        self.says_no = says_no

    def create_repo(self, repo: str, *, private: bool, exist_ok: bool) -> None:
        if self.says_no:
            raise OSError("401 Unauthorized\nand more")
        assert exist_ok
        self.repos[repo] = private

    def upload_folder(self, *, repo_id: str, folder_path: str, allow_patterns: list[str], **_: Any) -> None:
        names = [path.name for path in Path(folder_path).iterdir()]
        self.files[repo_id] = {n for n in names if any(fnmatch.fnmatch(n, p) for p in allow_patterns)}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    for name in ("config.json", "model.safetensors", "README.md", "tokenizer.json", "secret.pem", ".env"):
        (tmp_path / name).write_text(name, encoding="utf-8")
    return tmp_path


def test_a_models_files_are_uploaded_and_no_others(model: Path) -> None:
    hub = Hub()
    assert publish(model, "me/tiny", api=hub) == "https://hub.test/me/tiny"
    assert hub.repos == {"me/tiny": True}, "private unless asked otherwise"
    assert hub.files["me/tiny"] == {"config.json", "model.safetensors", "README.md", "tokenizer.json"}
    publish(model, "me/open", private=False, api=hub)
    assert hub.repos["me/open"] is False


@pytest.mark.parametrize("name", ["tiny", "a/b/c", "me/../you", "me/ti ny", "/x", "me/"])
def test_a_name_that_is_none_is_one_line(model: Path, name: str) -> None:
    with pytest.raises(InputError, match="write owner/name"):
        publish(model, name, api=Hub())


def test_what_the_hub_says_is_one_line(model: Path) -> None:
    with pytest.raises(InputError, match=r"me/tiny: the hub did not take it \(401 Unauthorized\)"):
        publish(model, "me/tiny", api=Hub(says_no=True))


def test_a_folder_that_is_no_model_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    hub = Hub()
    with pytest.raises(InputError, match="no model"):
        publish(tmp_path, "me/tiny", api=hub)
    assert hub.repos == {}


def test_without_a_token_nothing_begins(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    with pytest.raises(InputError, match="hf auth login"):
        publish(model, "me/tiny")
    with pytest.raises(InputError, match="hf auth login"):
        publishing.check_token()
