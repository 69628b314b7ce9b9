"""The rows of a hub data set, at the commit that its name and revision stand for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from eval.files import InputError
from eval.hub import find_commit
from eval.tasks.settings import TaskHub

TABLES = "refs/convert/parquet"  # the branch of the hub's own tables, also of data sets made by scripts

Rows = Iterator[tuple[str, Mapping[str, Any]]]


def read_hub(hub: TaskHub) -> tuple[dict[str, Rows], str | None, str | None]:
    """(split -> its rows, each with its place; the commit, or None; why the commit is not known, or None).

    Raises `InputError` for a data set, configuration or split that cannot be had; foreign code is never run
    (`datasets` since 4 runs none).
    """
    revision, reason = resolve_commit(hub)
    sources = {}
    for split in ("train", "validation", "test"):
        wanted = getattr(hub.splits, split)
        if wanted is not None:
            sources[split] = _rows(hub, wanted, _load(hub, wanted, revision or hub.revision))
    return sources, revision, reason


def resolve_commit(hub: TaskHub) -> tuple[str | None, str | None]:
    """(the commit that the hub has for name and revision, None), or (None, why it is not known).

    Raises `InputError` when the hub answers that there is no such data set or revision, or no right to it.
    """
    from huggingface_hub.errors import HfHubHTTPError

    if Path(hub.name).is_dir():
        return None, "a folder"
    try:
        return find_commit(hub.name, hub.revision)
    except HfHubHTTPError as error:
        raise _cannot_load(hub, error) from error


def _load(hub: TaskHub, split: str, revision: str | None) -> Any:
    import datasets
    from huggingface_hub.errors import HfHubHTTPError

    # In the hub's own tables a configuration is a folder.
    part = {"data_dir": hub.config} if hub.revision == TABLES else {"name": hub.config}
    where = {} if Path(hub.name).is_dir() else {"revision": revision}
    try:
        return datasets.load_dataset(hub.name, split=split, **part, **where)
    except (HfHubHTTPError, OSError, ValueError, RuntimeError) as error:
        raise _cannot_load(hub, error) from error


def _rows(hub: TaskHub, split: str, rows: Any) -> Rows:
    for number, row in enumerate(rows, start=1):
        yield f"{hub.name} ({split}): row {number}", row


def _cannot_load(hub: TaskHub, error: Exception) -> InputError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    advice = "check name, config, revision and splits, or fetch it where there is a network"
    if "scripts are no longer supported" in reason:
        advice = f"set revision: {TABLES} for the hub's own tables of it"
    return InputError(f"hub data set {hub.name!r}: cannot be loaded ({reason}); {advice}")
