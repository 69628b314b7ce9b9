"""What a mirror holds beside artefacts: the run's own files, and `mirror.json`, which names them."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from eval.files import InputError, read_sealed
from pipelines.remote import Remote, is_safe_name

INDEX = "mirror.json"
INDEX_BYTES = 64 * 2**20
# The run's own files beside its artefacts; recipe and plan go first, for a run that dies to be gone on with.
ASKED = ("recipe.yaml", "plan.json")
CARD = "model/README.md"
TOLD = ("results.jsonl", "run.json", "events.jsonl")
_OWN = re.compile(rf"({'|'.join(map(re.escape, (*ASKED, *TOLD)))}|report/.+|stages/[^/]+/{re.escape(CARD)})")


def read_index(remote: Remote) -> dict[str, Any] | None:
    """The mirror's `mirror.json`; None where there is none, or one that was altered. Raises RemoteError."""
    data = remote.read(INDEX, INDEX_BYTES)
    if data is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / INDEX
        path.write_bytes(data)
        try:
            index = read_sealed(path)
        except InputError:
            return None
    kinds = {"recipe": str, "files": dict, "stages": list}
    return index if all(isinstance(index.get(key), kind) for key, kind in kinds.items()) else None


def own_pages(run: Path, stages: Iterable[str]) -> Iterable[str]:
    """The report's files, and the models' cards, which are no part of their artefacts."""
    for path in sorted((run / "report").rglob("*")):
        name = path.relative_to(run).as_posix()
        if path.is_file() and is_safe_name(name):
            yield name
    for stage in sorted(stages):
        if (run / "stages" / stage / CARD).is_file():
            yield f"stages/{stage}/{CARD}"


def is_own(name: object) -> bool:
    """Whether a name from elsewhere is that of a file of the run's own, or a model's card."""
    return is_safe_name(name) and bool(_OWN.fullmatch(str(name)))
