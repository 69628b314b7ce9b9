"""Read a corpus from a data set of the Hugging Face hub, or a folder that `datasets` can load."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from eval.files import InputError, hash_json
from pipelines.corpus_document import Document
from pipelines.corpus_files import as_text


def hub_fingerprint(settings: Mapping[str, Any]) -> str:
    """`hub-<name>-<16 hex digits>` of name, configuration, revision and split; nothing is downloaded for it.

    Without a revision the hub may change the text under the same fingerprint: a recipe to keep should name
    one.
    """
    parts = [settings[name] for name in ("hub", "config", "revision", "split")]
    return f"hub-{settings['hub']}-{hash_json(parts)}"


def read_hub(settings: Mapping[str, Any]) -> Iterator[Document]:
    """The rows of one split of a data set, a document each; `InputError` when it cannot be loaded."""
    import datasets

    name, split, column = settings["hub"], settings["split"], settings["text_column"]
    try:
        rows = datasets.load_dataset(name, settings["config"], revision=settings["revision"], split=split)
    except (OSError, ValueError) as error:  # no network, no such data set, no such configuration or split
        reason = str(error).splitlines()[0]
        raise InputError(
            f"corpus.hub: {name!r} cannot be loaded ({reason}); check the name and the network, "
            "or use corpus.files or corpus: {source: python-stdlib}"
        ) from error
    if column not in rows.column_names:
        there = ", ".join(rows.column_names)
        raise InputError(
            f"corpus.hub: {name!r} has no column {column!r}; set corpus.text_column to one of {there}"
        )
    for number, value in enumerate(rows[column], start=1):
        place = f"{split}#{number}"
        yield Document(id=place, text=as_text(value, f"{name}: {place}"), group=place)
