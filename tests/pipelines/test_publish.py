"""Publishing uploads a model and nothing else, to the repository that was named, and never shows a token."""

from __future__ import annotations

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from huggingface_hub import HfApi
from huggingface_hub.utils import filter_repo_objects

from eval.files import InputError
from pipelines import publish as publishing
from pipelines.plan import Plan, Stage
from pipelines.publish import check_names, publish


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

    def upload_folder(
        self,
        *,
        repo_id: str,
        folder_path: str,
        allow_patterns: list[str],
        ignore_patterns: list[str],
        **_: Any,
    ) -> None:
        whole = Path(folder_path)
        names = [path.relative_to(whole).as_posix() for path in whole.rglob("*") if path.is_file()]
        self.files[repo_id] = set(
            filter_repo_objects(names, allow_patterns=allow_patterns, ignore_patterns=ignore_patterns)
        )


@pytest.fixture
def model(tmp_path: Path) -> Path:
    for name in ("config.json", "model.safetensors", "README.md", "tokenizer.json", "secret.pem", ".env"):
        (tmp_path / name).write_text(name, encoding="utf-8")
    for name in ("checkpoints/step-8/state.json", "checkpoint-500/model.safetensors"):
        (tmp_path / name).parent.mkdir(parents=True)
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


@pytest.mark.parametrize(
    ("owner", "recipe", "said"),
    [
        ("me/too", "tiny", "'me/too' is no name of a user"),
        ("", "tiny", "'' is no name of a user"),
        ("me", "tiny-", r"tiny--13k-s0': no name of a model on the hub \(Cannot have --"),
        ("me", "t" * 64, "no name of a model on the hub.*maximum length is 96"),
    ],
)
def test_names_that_the_hub_would_refuse_are_seen_before_training(owner: str, recipe: str, said: str) -> None:
    settings: dict[str, Any] = {}
    stages = tuple(
        Stage(kind=kind, name=name, settings=settings, inputs=(), version=1, key="k")
        for kind, name in (("prepare", "-"), ("pretrain", "13k-s0"), ("finetune", f"13k-s0-{'long' * 8}"))
    )
    check_names(Plan(recipe="tiny", base=Path(), stages=stages), "me")
    with pytest.raises(InputError, match=said) as refused:
        check_names(Plan(recipe=recipe, base=Path(), stages=stages), owner)
    assert "\n" not in str(refused.value)


class FakeHub(BaseHTTPRequestHandler):
    """As much of the hub's interface as an upload of small files asks for."""

    asked: ClassVar[list[tuple[str, str | None, bytes]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.asked.append((self.path, self.headers.get("Authorization"), body))
        answers: dict[str, Any] = {
            "/api/repos/create": {"url": "https://huggingface.co/me/tiny"},
            "/api/validate-yaml": {"errors": [], "warnings": []},
            "/api/models/me/tiny/preupload/main": {
                "files": [
                    {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                    for file in json.loads(body).get("files", [])
                ]
                if self.path.endswith("preupload/main")
                else []
            },
            "/api/models/me/tiny/commit/main": {
                "commitUrl": "https://huggingface.co/me/tiny/commit/1",
                "commitOid": "1",
            },
        }
        answer = json.dumps(answers[self.path]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def test_the_hubs_own_client_sends_them(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through huggingface_hub's HfApi to a server here: the token goes into a header and nowhere else."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    FakeHub.asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), FakeHub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        api = HfApi(endpoint=f"http://127.0.0.1:{server.server_port}", token="hf_secret")
        address = publish(model, "me/tiny", api=api)
        server.shutdown()
    assert address == f"http://127.0.0.1:{server.server_port}/me/tiny"
    paths = [path for path, _, _ in FakeHub.asked]
    assert paths[0] == "/api/repos/create"
    created = json.loads(FakeHub.asked[0][2])
    assert created.get("visibility") == "private" or created.get("private") is True
    (commit,) = (body for path, _, body in FakeHub.asked if path.endswith("/commit/main"))
    sent = [line["value"] for line in map(json.loads, commit.splitlines()) if line["key"] == "file"]
    files = {one["path"]: base64.b64decode(one["content"]).decode() for one in sent}
    assert files == {
        name: name for name in ("config.json", "model.safetensors", "README.md", "tokenizer.json")
    }
    assert {token for _, token, _ in FakeHub.asked} == {"Bearer hf_secret"}
    assert not any(b"hf_secret" in body for _, _, body in FakeHub.asked)
