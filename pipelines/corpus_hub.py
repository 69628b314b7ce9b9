"""Stream a corpus from a data set of the Hugging Face hub, or a folder that `datasets` can load."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from eval.files import InputError, hash_json
from eval.hub import find_commit
from pipelines.corpus_document import Document
from pipelines.corpus_tables import row_text, text_columns

FEATURES = ("config", "revision", "split")


def hub_fingerprint(settings: Mapping[str, Any]) -> str:
    """`hub-<name>-<16 hex digits>` of name, configuration, revision and split; nothing is downloaded for it.

    Without a revision the hub may change the text under the same fingerprint: a recipe to keep should name
    one.
    """
    parts = [settings[name] for name in ("hub", *FEATURES)]
    return f"hub-{settings['hub']}-{hash_json(parts)}"


def resolve_revision(settings: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """(the commit that the hub has for name and revision, None), or (None, why it is not known).

    Raises `InputError` when the hub answers that there is no such data set or revision, or no right to it.
    """
    from huggingface_hub.errors import HfHubHTTPError

    if Path(settings["hub"]).is_dir():
        return None, "a folder"
    try:
        return find_commit(settings["hub"], settings["revision"])
    except HfHubHTTPError as error:
        raise _cannot_load(settings["hub"], error) from error


def read_hub(
    settings: Mapping[str, Any], revision: str | None = None, rank: int = 0, world: int = 1
) -> Iterator[Document]:
    """The rows of one split of a data set, a document each, as they arrive: of `world` shares the `rank`-th.

    `revision` is the commit from `resolve_revision`; without it only a folder or what was downloaded before
    can be read. Raises `InputError` when it cannot be loaded or lacks the column.
    """
    name, split, columns = settings["hub"], settings["split"], text_columns(settings)
    try:
        with _quiet(offline=revision is None and not Path(name).is_dir()):
            rows = shard(_load(settings, revision), rank, world)
            _require(columns, rows, name)
            prefix = split if world == 1 else f"{split}-{rank}-of-{world}"
            for number, row in enumerate(rows, start=1):
                place = f"{prefix}#{number}"
                yield Document(id=place, text=row_text(row, columns, f"{name}: {place}"), group=place)
    except InputError:
        raise
    except (OSError, ValueError) as error:  # no network, no such data set, no such configuration or split
        raise _cannot_load(name, error, reachable=revision is not None or Path(name).is_dir()) from error


def shard(rows: Any, rank: int, world: int) -> Any:
    """The `rank`-th of `world` shares of a data set or stream: together they are all rows, each once."""
    if world == 1:
        return rows
    from datasets.distributed import split_dataset_by_node

    return split_dataset_by_node(rows, rank=rank, world_size=world)


def _load(settings: Mapping[str, Any], revision: str | None) -> Any:
    """The split, streamed where that is possible: not for a part (`train[:1%]`) and not from the cache."""
    import datasets

    name, split = settings["hub"], settings["split"]
    streaming = not re.search(r"[\[+]", split) and (revision is not None or Path(name).is_dir())
    return datasets.load_dataset(
        name,
        settings["config"],
        revision=revision or settings["revision"],
        split=split,
        streaming=streaming,
    )


def _require(columns: Sequence[str], rows: Any, name: str) -> None:
    there = rows.column_names
    if there is None:  # a stream that does not say: its first row does
        there = list(next(iter(rows), dict.fromkeys(columns, "")))
    for column in columns:
        if column in there:
            continue
        raise InputError(
            f"corpus.hub: {name!r} has no column {column!r}; "
            f"set corpus.text_column to one of {', '.join(there)}"
        )


def _cannot_load(name: str, error: Exception, reachable: bool = True) -> InputError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    if not reachable and isinstance(error, ConnectionError):
        reason = "the hub cannot be reached, and nothing of it was downloaded before"
    return InputError(
        f"corpus.hub: {name!r} cannot be loaded ({reason}); check the name and the network, "
        "or use corpus.files or corpus: {source: python-stdlib}"
    )


@contextlib.contextmanager
def _quiet(offline: bool) -> Iterator[None]:
    """Without the libraries' own messages; `offline`, without half a minute of attempts to reach the hub."""
    import datasets
    from huggingface_hub import constants
    from huggingface_hub.utils import logging

    verbosity = logging.get_verbosity(), datasets.logging.get_verbosity()
    were = constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE
    logging.set_verbosity_error()
    datasets.logging.set_verbosity_error()
    datasets.disable_progress_bars()
    if offline:
        constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE = were
        logging.set_verbosity(verbosity[0])
        datasets.logging.set_verbosity(verbosity[1])
