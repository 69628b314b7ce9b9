"""Put trained models on the Hugging Face hub, with the reader's own token and only when asked."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.files import InputError

if TYPE_CHECKING:
    from pipelines.plan import Plan
    from pipelines.store import RunFolder

# What makes up a model; anything else in its folder stays here, and so does what lies in folders of it, such
# as checkpoints (the hub's `*` takes a `/` for a letter like any other).
FILES = ("README.md", "*.json", "*.safetensors", "*.txt", "*.jinja")
NOT_FILES = ("*/*", ".*")
NAME = re.compile(r"[\w-][\w.-]{0,95}")


def publish(model: Path, repo: str, *, private: bool = True, api: Any = None) -> str:
    """Upload a model's folder to `repo`, an `owner/name`, made private unless it is there or `private` is
    False; its address.

    `api` is a `huggingface_hub.HfApi`, the hub's by default, with the token that `hf auth login` or HF_TOKEN
    gives. Raises InputError for a folder that is no model, without a token, and where the hub says no.
    """
    if not (model / "config.json").is_file() or not list(model.glob("*.safetensors")):
        raise InputError(f"{model}: no model (config.json and *.safetensors are wanted); name its folder")
    if not all(NAME.fullmatch(part) for part in repo.split("/")) or repo.count("/") != 1:
        raise InputError(f"{repo!r}: no name of a model on the hub; write owner/name")
    api = api or _api()
    try:
        api.create_repo(repo, private=private, exist_ok=True)
        api.upload_folder(
            repo_id=repo,
            folder_path=str(model),
            allow_patterns=list(FILES),
            ignore_patterns=list(NOT_FILES),
            commit_message="Upload a model trained with Stepladder",
        )
    except Exception as error:  # the client's own, and those of an HTTP library that it has changed before
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"{repo}: the hub did not take it ({reason}); check the name and your rights"
        ) from error
    return f"{api.endpoint}/{repo}"


def publish_run(
    run: RunFolder,
    plan: Plan,
    owner: str,
    tell: Callable[[str], None],
    *,
    private: bool = True,
    api: Any = None,
) -> list[str]:
    """Upload every finished model of a run as `owner/<recipe>-<name>`; their addresses."""
    api = api or _api()
    addresses = []
    for stage in plan.stages:
        if stage.kind in ("pretrain", "finetune") and run.manifest(stage) is not None:
            model = run.folder(stage) / "model"
            address = publish(model, f"{owner}/{plan.recipe}-{stage.name}", private=private, api=api)
            tell(f"published: {address}")
            addresses.append(address)
    return addresses


def check_token() -> None:
    """Raises InputError where no token is to be had: before hours of training, not after them."""
    from huggingface_hub import get_token

    if get_token() is None:
        raise InputError("the hub: you have no token for it; log in with `hf auth login`, or set HF_TOKEN")


def _api() -> Any:
    from huggingface_hub import HfApi

    check_token()
    return HfApi(library_name="stepladder")
