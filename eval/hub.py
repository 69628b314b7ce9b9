"""The Hugging Face hub, asked once and in seconds: what a name stands for, and small files of a model."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from eval.files import InputError

ASK_TIMEOUT_S = 5.0  # for the hub to answer at all; its client would try for half a minute
_COMMIT = re.compile(r"[0-9a-f]{40}")


def ask_hub(kind: Literal["dataset", "model"], name: str, revision: str | None) -> tuple[Any, str | None]:
    """(what the hub says of a data set or model, None), or (None, why it says nothing).

    Raises the client's HfHubHTTPError where the hub answers that there is no such thing, or no right to it.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    # No network: an error of the client that the hub's library uses, httpx or its successor.
    unreachable: tuple[Any, ...] = (*HfHubHTTPError.__bases__, ValueError)
    try:
        return getattr(HfApi(), f"{kind}_info")(name, revision=revision, timeout=ASK_TIMEOUT_S), None
    except OfflineModeIsEnabled:
        return None, "offline"
    except HfHubHTTPError:
        raise
    except unreachable:
        return None, "the hub cannot be reached"


def find_commit(name: str, revision: str | None) -> tuple[str | None, str | None]:
    """(the commit that a data set's name and revision stand for, None), or (None, why it is not known).

    Raises as `ask_hub` does.
    """
    info, reason = ask_hub("dataset", name, revision)
    if info is not None:
        return info.sha, None
    if reason == "offline" and revision is not None and _COMMIT.fullmatch(revision):
        return revision, None
    return None, reason


def fetch_files(name: str, revision: str | None, files: Sequence[str], where: str) -> Path:
    """The folder of the hub's cache with those of `files` that the model has; they are fetched.

    Where the hub cannot be reached, those that were fetched before. Raises InputError, which begins with
    `where`, where none is to be had.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

    found: list[str] = []
    try:
        info, reason = ask_hub("model", name, revision)
        there = files if info is None else {file.rfilename for file in info.siblings or ()}
        commit = revision if info is None else info.sha
        with _quiet():
            for file in (file for file in files if file in there):
                with contextlib.suppress(EntryNotFoundError):
                    path = hf_hub_download(
                        name,
                        file,
                        revision=commit,
                        local_files_only=info is None,
                        etag_timeout=ASK_TIMEOUT_S,
                    )
                    found.append(path)
    except (HfHubHTTPError, OSError, ValueError) as error:
        reason = (str(error).strip().splitlines() or ["no answer"])[0]
        found = []
    if not found:
        raise InputError(
            f"{where}: no such folder, and not on the hub ({reason or f'it has no {files[0]}'}); "
            "check the name and the network"
        )
    return Path(found[0]).parent


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the client's own messages and bars."""
    from huggingface_hub.utils import logging
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    verbosity, bars = logging.get_verbosity(), not are_progress_bars_disabled()
    logging.set_verbosity_error()
    if bars:
        disable_progress_bars()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            enable_progress_bars()
