"""Stream a corpus from a data set of the Hugging Face hub, or a folder that `datasets` can load."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from eval.files import InputError, hash_json
from eval.hub import find_commit
from pipelines.corpus_document import Document
from pipelines.corpus_tables import row_text, text_columns

FEATURES = ("config", "revision", "split", "splits")


def hub_fingerprint(settings: Mapping[str, Any]) -> str:
    """`hub-<name>-<16 hex digits>` of name, configuration, revision and splits; nothing is downloaded for it.

    Without a revision the hub may change the text under the same fingerprint: a recipe to keep should name
    one.
    """
    parts = [settings.get(name) for name in ("hub", *FEATURES)]
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


@dataclass(frozen=True)
class Share:
    """What one process reads: of the hub's split `source` the `rank`-th of `world` parts, a document a row.

    `split` is what the documents are for, where the recipe says so.
    """

    source: str
    split: str | None
    rank: int
    world: int


def find_shares(settings: Mapping[str, Any], revision: str | None) -> list[Share]:
    """All that is to be read, in order: of a streamed split a share for each of its files; train comes last.

    `revision` is the commit from `resolve_revision`; without it only a folder or what was downloaded before
    can be read. Raises `InputError` when it cannot be loaded or lacks the column.
    """
    found = []
    with _reading(settings, revision):
        for split, source in _splits(settings).items():
            rows = _load(settings["hub"], settings["config"], revision, settings["revision"], source)
            _require(text_columns(settings), rows, settings["hub"])
            world = getattr(rows, "num_shards", 1)
            found += [Share(source, split, rank, world) for rank in range(world)]
    return found


def read_share(settings: Mapping[str, Any], revision: str | None, share: Share) -> Iterator[Document]:
    """The documents of a share, as they arrive."""
    from datasets.distributed import split_dataset_by_node

    name, columns = settings["hub"], text_columns(settings)
    prefix = share.source + (f"-{share.rank}-of-{share.world}" if share.world > 1 else "")
    with _reading(settings, revision):
        rows = _load(name, settings["config"], revision, settings["revision"], share.source)
        if share.world > 1:
            rows = split_dataset_by_node(rows, rank=share.rank, world_size=share.world)
        for number, row in enumerate(rows, start=1):
            place = f"{prefix}#{number}"
            text = row_text(row, columns, f"{name}: {place}")
            yield Document(id=place, text=text, group=place, split=share.split)


def _splits(settings: Mapping[str, Any]) -> dict[str | None, str]:
    """What documents are for (None: to be decided) -> the hub's split; train is last, as of files."""
    named = settings.get("splits")
    if not named:
        return {None: settings["split"]}
    return {split: named[split] for split in ("validation", "test", "train") if named.get(split)}


@lru_cache(maxsize=3)  # a set of many files takes seconds to find out about, and is read share by share
def _load(name: str, config: str | None, revision: str | None, asked: str | None, split: str) -> Any:
    """The split, streamed where that is possible: not for a part (`train[:1%]`) and not from the cache."""
    import datasets

    streaming = not re.search(r"[\[+]", split) and (revision is not None or Path(name).is_dir())
    return datasets.load_dataset(name, config, revision=revision or asked, split=split, streaming=streaming)


@contextlib.contextmanager
def _reading(settings: Mapping[str, Any], revision: str | None) -> Iterator[None]:
    """Quietly; what the library says of a set that cannot be had becomes `InputError`."""
    name = settings["hub"]
    reachable = revision is not None or Path(name).is_dir()
    try:
        with _quiet(offline=not reachable):
            yield
    except InputError:
        raise
    except (OSError, ValueError) as error:  # no network, no such data set, no such configuration or split
        raise _cannot_load(name, error, reachable) from error


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
