"""Put trained models on the Hugging Face hub, with the reader's own token and only when asked."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.files import InputError

if TYPE_CHECKING:
    from pipelines.plan import Plan, Stage
    from pipelines.store import RunFolder

# What makes up a model; anything else in its folder stays here, and so does what lies in folders of it, such
# as checkpoints (the hub's `*` takes a `/` for a letter like any other).
FILES = ("README.md", "*.json", "*.safetensors", "*.txt", "*.jinja")
NOT_FILES = ("*/*", ".*")
OWNER = re.compile(r"[a-zA-Z0-9][\w.-]{0,95}", re.ASCII)


def publish(model: Path, repo: str, *, private: bool = True, api: Any = None) -> str:
    """Upload a model's folder to `repo`, an `owner/name`, made private unless it is there or `private` is
    False; its address.

    `api` is a `huggingface_hub.HfApi`, the hub's by default, with the token that `hf auth login` or HF_TOKEN
    gives. Raises InputError for a folder that is no model, without a token, and where the hub says no.
    """
    if not (model / "config.json").is_file() or not list(model.glob("*.safetensors")):
        raise InputError(f"{model}: no model (config.json and *.safetensors are wanted); name its folder")
    check_name(repo)
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
        raise InputError(
            f"{repo}: the hub did not take it ({_first_line(error)}); check the name and your rights"
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
    for stage, repo in _named(plan, owner):
        if run.manifest(stage) is not None:
            address = publish(run.folder(stage) / "model", repo, private=private, api=api)
            tell(f"published: {address}")
            addresses.append(address)
    return addresses


def check_names(plan: Plan, owner: str) -> None:
    """Raises InputError for an owner, or a model that a run would leave, with a name that the hub refuses."""
    if not OWNER.fullmatch(owner):
        raise InputError(f"--push-to-hub: {owner!r} is no name of a user or an organisation; write yours")
    for _, repo in _named(plan, owner):
        check_name(repo)


def check_name(repo: str) -> None:
    """Raises InputError for what the hub takes for no name of a model."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils._validators import validate_repo_id

    reason = "" if repo.count("/") == 1 else " (one / is wanted)"
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        reason = f" ({_first_line(error)})"
    if reason:
        raise InputError(f"{repo!r}: no name of a model on the hub{reason}; write owner/name")


def _named(plan: Plan, owner: str) -> list[tuple[Stage, str]]:
    """The stages whose models are published, each with the name it has on the hub."""
    stages = [stage for stage in plan.stages if stage.kind in ("pretrain", "finetune")]
    return [(stage, f"{owner}/{plan.recipe}-{stage.name}") for stage in stages]


def check_token() -> None:
    """Raises InputError where no token is to be had: before hours of training, not after them."""
    from huggingface_hub import get_token

    if get_token() is None:
        raise InputError("the hub: you have no token for it; log in with `hf auth login`, or set HF_TOKEN")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _api() -> Any:
    from huggingface_hub import HfApi

    check_token()
    return HfApi(library_name="stepladder")
