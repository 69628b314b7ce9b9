"""A mirrored run brought back into a folder: each artefact verified by hash before it is put in its place."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eval.files import InputError, hash_whole_file, read_sealed
from pipelines.mirror import size_text
from pipelines.mirror_index import INDEX_BYTES, is_own, read_index
from pipelines.remote import Remote, is_safe_name
from pipelines.store import MANIFEST, RunFolder, read_manifest

PART = ".restore.part"


@dataclass
class Restored:
    """What came back, what was here (`skipped`, stages), and what did not come, with why."""

    stages: int = 0
    files: int = 0
    bytes: int = 0
    skipped: int = 0
    expected: int | None = None
    """Stages of the mirrored plan; None where the mirror names none."""
    seconds: float = 0.0
    damaged: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def line(self) -> str:
        """One line for the reader."""
        of = "" if self.expected is None else f" of {self.expected}"
        return (
            f"restored: {self.stages + self.skipped}{of} finished stages; {self.files} files fetched "
            f"({size_text(self.bytes)}), {self.skipped} stages were here, {self.seconds:.0f} s"
        )


class _Damaged(RuntimeError):
    """An artefact of the mirror that is not put in place; the reason in one line."""


def restore_run(remote: Remote, folder: Path, tell: Callable[[str], None]) -> Restored:
    """Bring a mirrored run to `folder`, a new one or one of the same recipe; what is here whole stays.

    Files are fetched into a hidden folder beside, where a next try finds them, and moved once an artefact's
    are all there with size and hash as its manifest names them. Raises InputError for a mirror that is
    none, a name in it that would leave the folder, a folder of another recipe, a full disk; RemoteError when
    the store does not answer.
    """
    began = time.monotonic()
    there, index = remote.sizes(), read_index(remote)
    manifests = sorted(name for name in there if re.fullmatch(rf"stages/[^/]+/{MANIFEST}", name))
    if not manifests and index is None:
        raise InputError(f"{remote.shown}: no mirror of a run (no stage's manifest and no mirror.json in it)")
    run, found = RunFolder(folder), Restored()
    if index is not None:
        found.expected = len(index["stages"])
        run.check_owner(str(index["recipe"]))
    elif folder.is_dir() and not (folder / "stages").is_dir() and any(folder.glob("[!.]*")):
        run.recipe_name()  # raises for what is no run folder
    with run.locked():
        part = folder / PART
        for name in manifests:
            stage = name.split("/")[1]
            if not is_safe_name(stage):
                raise InputError(
                    f"{remote.shown}: {stage!r} is no name of a stage; this is no mirror of ours"
                )
            try:
                _fetch_stage(remote, stage, there, folder, part, found)
            except _Damaged as damage:
                found.damaged[stage] = str(damage)
                tell(f"damaged, left out: {damage}")
        if index is None:
            found.notes.append("no mirror.json that can be read: the run's own files are left out")
        else:
            _fetch_own(remote, index["files"], folder, part, found)
        if not found.damaged:
            shutil.rmtree(part, ignore_errors=True)
    found.seconds = time.monotonic() - began
    return found


def _fetch_stage(
    remote: Remote, stage: str, there: Mapping[str, int], folder: Path, part: Path, found: Restored
) -> None:
    place, into, home = f"stages/{stage}", part / stage, folder / "stages" / stage
    if read_manifest(home) is not None:
        found.skipped += 1
        return
    into.mkdir(parents=True, exist_ok=True)
    (into / MANIFEST).unlink(missing_ok=True)
    if there[f"{place}/{MANIFEST}"] > INDEX_BYTES:
        raise _Damaged(f"{place}/{MANIFEST}: {there[f'{place}/{MANIFEST}']} bytes, so none of ours")
    remote.get(f"{place}/{MANIFEST}", into / MANIFEST)
    files = _files(into / MANIFEST, stage, f"{remote.shown}/{place}/{MANIFEST}")
    for name, (size, _) in files.items():
        if there.get(f"{place}/{name}") != size:
            held = there.get(f"{place}/{name}")
            what = "is not there" if held is None else f"has {held} bytes, not {size}"
            raise _Damaged(f"{place}/{name}: {what}")
    _check_space(folder, sum(size for size, _ in files.values()))
    for name, (size, sha256) in files.items():
        _fetch(remote, f"{place}/{name}", into / name, size, sha256, found)
    _replace(into, home, keep=set(files) | {MANIFEST})
    found.stages += 1
    found.files += 1
    found.bytes += there[f"{place}/{MANIFEST}"]


def _files(path: Path, stage: str, shown: str) -> dict[str, tuple[int, str]]:
    """Size and hash of each file that a fetched manifest names.

    Raises InputError for a name that would leave the folder, _Damaged for a manifest that is not this stage's
    or was altered.
    """
    try:
        manifest = read_sealed(path)
        named = {name: (of["bytes"], of["sha256"]) for name, of in manifest["files"].items()}
        whole = stage == f"{manifest['stage']}-{manifest['key']}"
        whole = whole and all(_is_fact(*fact) for fact in named.values())
    except (InputError, KeyError, AttributeError, TypeError):
        whole, named = False, {}
    if not whole:
        raise _Damaged(
            f"{shown.partition('stages/')[1]}{shown.partition('stages/')[2]}: altered, or not this stage's"
        )
    for name in named:
        if not is_safe_name(name) or name == MANIFEST:
            raise InputError(
                f"{shown}: names the file {name!r}, which would leave its folder; this is no mirror of ours"
            )
    return named


def _is_fact(size: object, sha256: object) -> bool:
    return (
        type(size) is int
        and size >= 0
        and isinstance(sha256, str)
        and bool(re.fullmatch("[0-9a-f]{64}", sha256))
    )


def _fetch(remote: Remote, name: str, path: Path, size: int, sha256: str, found: Restored) -> None:
    """Fetch a file unless an earlier try left it whole. Raises _Damaged if its bytes are not those named."""
    if path.is_file() and path.stat().st_size == size and hash_whole_file(path) == sha256:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    remote.get(name, path)
    if path.stat().st_size != size or hash_whole_file(path) != sha256:
        path.unlink()
        raise _Damaged(f"{name}: its bytes do not have the hash they were stored with")
    found.files += 1
    found.bytes += size


def _replace(new: Path, home: Path, keep: set[str]) -> None:
    """Put a fetched artefact in its place, of one that was not finished, too."""
    for path in sorted(new.rglob("*"), reverse=True):
        if path.is_file() and path.relative_to(new).as_posix() not in keep:
            path.unlink()
    home.parent.mkdir(parents=True, exist_ok=True)
    if home.exists():
        old = new.with_name(f"{new.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        home.rename(old)
        new.rename(home)
        shutil.rmtree(old)
    else:
        new.rename(home)


def _fetch_own(remote: Remote, files: Mapping[str, Any], folder: Path, part: Path, found: Restored) -> None:
    """Fetch the run's own files that are not here, but for those of another moment than the index."""
    for name, of in files.items():
        if not is_own(name):
            raise InputError(
                f"{remote.shown}/mirror.json: names the file {name!r}, which is none of a run's own"
            )
        home = folder / name
        if home.exists() or (name.startswith("stages/") and not home.parent.is_dir()):
            continue
        try:
            size, sha256 = of["bytes"], of["sha256"]
        except (TypeError, KeyError):
            size, sha256 = None, None
        try:
            if not _is_fact(size, sha256) or remote.size(name) != size:
                raise _Damaged(f"{name}: not the one that mirror.json names")
            _check_space(folder, size)
            _fetch(remote, name, part / "own", size, sha256, found)
        except _Damaged as damage:
            found.notes.append(f"{damage}; left out, `stepladder run` makes it again")
            continue
        home.parent.mkdir(parents=True, exist_ok=True)
        (part / "own").replace(home)


def _check_space(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if size > free:
        raise InputError(
            f"{folder}: {size_text(size)} are to be fetched and {size_text(free)} are free; free some, and "
            "the same command goes on"
        )
