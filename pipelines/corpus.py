"""Make a corpus: read its source, clean, drop repetitions, split, write one file a split.

Texts pass through in batches, over all cores, and wait on disk in between: memory holds some fifty bytes a
document (and a hundred more to find near repeats), whatever the corpus's size.
"""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.files import hash_file
from pipelines.corpus_document import Document
from pipelines.corpus_files import files_fingerprint, read_files
from pipelines.corpus_hub import find_shares, hub_fingerprint, read_share, resolve_revision
from pipelines.corpus_stdlib import read_stdlib, stdlib_fingerprint
from pipelines.removed import Removed, summarise

if TYPE_CHECKING:
    from pipelines.corpus_build import Build


def source_fingerprint(settings: Mapping[str, Any], base: Path) -> str:
    """What tells one corpus source from another: its kind with a hash of its content (hub: of its name).

    `settings` is a recipe's `corpus`; relative files are looked up from `base`. Light: of tables one row is
    read. Raises `InputError` for files that are missing or empty, and tables without the text's column.
    """
    if settings.get("source"):
        return stdlib_fingerprint()
    if settings.get("files"):
        return files_fingerprint(settings, base)
    return hub_fingerprint(settings)


def prepare_corpus(
    settings: Mapping[str, Any],
    base: Path,
    out: Path,
    *,
    against: Mapping[str, Path] | None = None,
    processes: int | None = None,
) -> dict[str, Any]:
    """Write `out/{train,validation,test}.jsonl.gz`, rows `{"id", "text", "bytes"}`, and return the facts.

    Of a hub set whose splits are named, those that are named are written.
    With `decontaminate`, training documents lose what they share with the rows of the files `against` (by
    name) and with splits that the source names (from a split made here, near repeats are gone already).
    `processes` (None: one a core) changes nothing in the files.

    Facts (JSON): source, fingerprint, revision of a hub set, python, documents / bytes / words per split,
    removed per reason with a few examples, overlap (rows of each of `against` that shared n-grams with
    training documents before these were taken out), notes (sentences), hashes of the written files, speed by
    step. The same source and settings give the same bytes. Raises `InputError` for a source that cannot be
    read, a setting that cannot be met, and a split that would be empty.
    """
    from pipelines.corpus_build import Build
    from pipelines.parallel import cores

    fingerprint = source_fingerprint(settings, base)
    removed: Removed = {}
    notes: list[str] = []
    with _folder(out):
        build = Build(settings, out, removed, notes, processes or cores())
        with build.spool():
            revision = _clean(settings, base, build)
            build.choose()
            build.decontaminate(against or {})
            counts = build.write()
    return {
        "source": _name(settings),
        "fingerprint": fingerprint,
        **revision,
        "python": platform.python_version(),
        **counts,
        "removed": summarise(removed),
        **({"overlap": build.overlap} if build.overlap else {}),
        **({"notes": notes} if notes else {}),
        "hashes": {split: hash_file(out / f"{split}.jsonl.gz") for split in counts["documents"]},
        "speed": build.speed,
    }


def _clean(settings: Mapping[str, Any], base: Path, build: Build) -> dict[str, Any]:
    """Clean the source's documents into the spool; what is known of its revision when it has one."""
    if settings.get("source"):
        build.clean(read_stdlib(build.removed))
        return {}
    if settings.get("files"):
        build.clean(read_files(settings, base))
        return {}
    revision, reason = resolve_revision(settings)
    shares, limit = find_shares(settings, revision), settings.get("max_bytes")
    read = partial(read_share, settings, revision)
    if limit is None and len(shares) > 1:
        build.clean_shares(read, shares)
    else:
        build.clean(_first(chain.from_iterable(map(read, shares)), limit))
    return {"revision": revision, "missing": {"revision": reason}} if reason else {"revision": revision}


def _first(documents: Iterator[Document], max_bytes: int | None) -> Iterator[Document]:
    """The documents of a stream until those for training have `max_bytes`: a hub set may be endless."""
    size = 0
    for document in documents:
        yield document
        if document.split in (None, "train"):
            size += len(document.text.encode(errors="surrogatepass"))
        if max_bytes is not None and size >= max_bytes:
            return


@contextlib.contextmanager
def _folder(out: Path) -> Iterator[None]:
    """`out`, made; gone again if it was not there before and the work fails."""
    made = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        if made:
            with contextlib.suppress(OSError):
                out.rmdir()
        raise


def _name(settings: Mapping[str, Any]) -> str:
    """The source as a recipe would name it, on one line."""
    files = settings.get("files")
    if isinstance(files, Mapping):
        each = {split: [names] if isinstance(names, str) else names for split, names in files.items()}
        return "; ".join(f"{split}: {', '.join(names)}" for split, names in each.items())
    return str(settings.get("source") or settings.get("hub") or ", ".join(files or ()))
