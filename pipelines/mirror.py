"""A run's finished artefacts copied to an fsspec URL while it runs: whole, verified by hash, resumable."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import Queue
from typing import TYPE_CHECKING, Any

from eval.files import InputError, hash_whole_file, write_sealed
from pipelines.mirror_index import ASKED, INDEX, INDEX_BYTES, TOLD, own_pages, read_index
from pipelines.remote import Remote, RemoteError, is_safe_name
from pipelines.store import MANIFEST, RunFolder, now, read_manifest

if TYPE_CHECKING:
    from pipelines.executors.scheduling import Watcher
    from pipelines.plan import Plan
    from pipelines.stages import Outcome

# Stages side by side: small files cost a round trip each, not the line's speed.
THREADS = 4


@dataclass
class Mirrored:
    """What came of mirroring: files and bytes sent, files that were there, seconds waited, failures."""

    place: str
    files: int = 0
    bytes: int = 0
    skipped: int = 0
    seconds: float = 0.0
    failed: dict[str, str] = field(default_factory=dict)
    """By stage, or `the run's own files`: why, in a line."""

    def line(self) -> str:
        """One line for the reader."""
        sent = f"{_counted(self.files, 'file')} sent ({size_text(self.bytes)}), {self.skipped} were there"
        left = f"; {len(self.failed)} not mirrored" if self.failed else ""
        return f"mirror: {self.place}: {sent}, {self.seconds:.0f} s{left}"

    def complaint(self) -> str | None:
        """What was not mirrored, and what to do; None if all was."""
        if not self.failed:
            return None
        name, reason = next(iter(self.failed.items()))
        more = f" and {len(self.failed) - 1} more" if len(self.failed) > 1 else ""
        return (
            f"{self.place}: not mirrored: {name}{more} ({reason}); nothing of the run is lost, and the same "
            "command again sends what is missing"
        )


def size_text(size: int) -> str:
    """Bytes as people say them: `12.3 MB`."""
    for power, unit in ((3, "GB"), (2, "MB"), (1, "kB")):
        if size >= 1000**power:
            return f"{size / 1000**power:.3g} {unit}"
    return f"{size} bytes"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


class _Broken(RuntimeError):
    """A file of the run folder that must not be mirrored as it is; the reason in one line."""


class Mirror:
    """Copies a run's artefacts in the background, each once it is finished; then the run's own files.

    An artefact's manifest goes last: a folder of the mirror with one is whole. `mirror.json`, last of all,
    names the run's own files with their hashes.
    """

    def __init__(self, run: RunFolder, remote: Remote, *, verify: bool = False) -> None:
        self.run, self.remote, self.verify = run, remote, verify
        self.done = Mirrored(remote.shown)
        self._waiting: Queue[str] = Queue()
        self._aside: dict[str, str] = {}
        self._known: set[str] = set()
        self._own: dict[str, dict[str, Any]] = {}
        self._opened = self._finishing = False
        self._lock = threading.Lock()

    def begin(self) -> None:
        """Send recipe and plan, and start to wait for stages.

        Raises InputError where the address belongs to another recipe or lies in the run folder, and where the
        store says no for good: before anything is trained. A network that is down is no reason not to train.
        """
        began = time.monotonic()
        if self.remote.protocol in ("file", "local"):
            _check_apart(self.run.root, Path(self.remote.root))
        self.remote.down = True  # until it answers once: one try, so that no run waits for its mirror
        try:
            self._open()
            self._send_own(ASKED)
        except RemoteError as error:
            if error.for_good:
                raise InputError(str(error)) from error
        self.done.seconds += time.monotonic() - began
        for number in range(THREADS):
            # daemons: who stops a run is not held up, and the next one goes on
            threading.Thread(target=self._work, name=f"mirror-{number}", daemon=True).start()

    def follow(self, plan: Plan, watcher: Watcher) -> Watcher:
        """Mirror what of a plan is finished, and, by the watcher that is returned, the rest as it ends."""
        folders = {stage.id: stage.folder for stage in plan.stages}
        for stage in plan.stages:
            if self.run.manifest(stage) is not None:
                self.add(stage.folder)

        def ended(outcome: Outcome) -> None:
            watcher.ended(outcome)
            if outcome.status == "done":
                self.add(folders[outcome.stage])

        return replace(watcher, ended=ended)

    def add(self, folder: str) -> None:
        """Mirror a finished stage, by the name of its folder; once, however often it is named."""
        if folder not in self._known:
            self._known.add(folder)
            self._waiting.put(folder)

    def finish(self, tell: Callable[[str], None]) -> Mirrored:
        """Wait for what was added, try once more what failed, and send the run's own files."""
        began = time.monotonic()
        self._finishing = True
        if left := self._waiting.unfinished_tasks:
            tell(f"mirror: waiting for {_counted(left, 'artefact')} to be in {self.remote.shown}")
        self._waiting.join()
        self.remote.down = False  # all tries once more; what they come to holds for the rest
        for folder in sorted(self._aside):
            if self.remote.down:
                break
            del self._aside[folder]
            self._stage(folder)
        self.done.failed |= self._aside
        try:
            if not self._opened:
                self._open()
            self._own = {name: of for name, of in self._own.items() if name in ASKED}
            self._send_own((*ASKED, *TOLD, *own_pages(self.run.root, self._known)))
        except (RemoteError, _Broken, InputError, OSError) as error:
            self.done.failed["the run's own files"] = str(error)
        self.done.seconds += time.monotonic() - began
        return self.done

    def _open(self) -> None:
        """See whose the mirror is, and what it holds of the run's own files."""
        before = read_index(self.remote)
        _check_owner(self.remote, before, self.run.recipe_name())
        self._own = dict(before["files"]) if before else {}
        self._opened = True

    def _work(self) -> None:
        while True:
            folder = self._waiting.get()
            if self._finishing and self.remote.down:
                self._aside[folder] = f"{self.remote.shown}: does not answer"
            else:
                self._stage(folder)
            self._waiting.task_done()

    def _stage(self, folder: str) -> None:
        """Mirror an artefact, or put it aside with the reason."""
        try:
            self._send_stage(folder)
        except Exception as error:  # whatever it is, the run goes on, and `finish` waits for no dead thread
            self._aside[folder] = " ".join(str(error).split()) or type(error).__name__

    def _send_stage(self, folder: str) -> None:
        here, place = self.run.root / "stages" / folder, f"stages/{folder}"
        manifest = read_manifest(here)
        if manifest is None:
            raise _Broken(f"{here}: not finished, or not whole any more; run the recipe again")
        there = self.remote.sizes(place)
        last, wanted = f"{place}/{MANIFEST}", (here / MANIFEST).read_bytes()
        same = last in there and self.remote.read(last, INDEX_BYTES) == wanted
        if last in there and not same:  # what it names is about to be replaced, file by file
            self.remote.remove(last)
        for name, of in manifest["files"].items():
            key = f"{place}/{name}"
            self._send(here / name, key, of["bytes"], of["sha256"], there.get(key), trusted=same)
        if same:
            self._count(0)
        else:
            sha256 = hash_whole_file(here / MANIFEST)
            self._send(here / MANIFEST, last, len(wanted), sha256, None, trusted=False)

    def _send(
        self, path: Path, name: str, size: int, sha256: str, there: int | None, *, trusted: bool
    ) -> None:
        """Send a file unless it is there; `there`: how many bytes lie in its place. trusted: as `holds`."""
        if there == size and self.remote.holds(name, sha256, trusted=trusted, read=self.verify):
            self._count(0)
            return
        if hash_whole_file(path) != sha256:
            raise _Broken(f"{path}: does not have the hash it was written with; run the recipe again")
        self.remote.put(path, name, sha256, verify=self.verify)
        self._count(1, size)

    def _send_own(self, names: Iterable[str]) -> None:
        """Send those of the run's own files that changed, and then the index that names all of them."""
        plan = self.run.read_plan()
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "copy"  # somebody may be writing the file
            for name in names:
                if not (self.run.root / name).is_file():
                    continue
                shutil.copyfile(self.run.root / name, copy)
                size, sha256 = copy.stat().st_size, hash_whole_file(copy)
                of = {"bytes": size, "sha256": sha256}
                trusted = self._own.get(name) == of
                if trusted and name in ASKED and self._finishing:  # sent when it began
                    continue
                self._send(copy, name, size, sha256, self.remote.size(name), trusted=trusted)
                self._own[name] = of
            stages = [stage["folder"] for stage in plan["stages"]]
            write_sealed(
                copy,
                {"format": 1, "recipe": plan["recipe"], "stages": stages, "files": self._own, "made": now()},
            )
            self.remote.put(copy, INDEX, hash_whole_file(copy), verify=self.verify)

    def _count(self, files: int, size: int = 0) -> None:
        with self._lock:
            self.done.files += files
            self.done.bytes += size
            self.done.skipped += 1 - files


def mirror_run(
    folder: Path, remote: Remote, tell: Callable[[str], None], *, verify: bool = False
) -> Mirrored:
    """Mirror what of a run is finished: the artefacts of its plan and its own files.

    Raises InputError for a folder that is no run's, and as `Mirror.begin`.
    """
    run = RunFolder(folder)
    stages = [str(stage["folder"]) for stage in run.read_plan()["stages"]]
    if strange := [name for name in stages if not is_safe_name(name) or "/" in name]:
        raise InputError(
            f"{folder / 'plan.json'}: {strange[0]!r} is no name of a stage's folder; run the recipe again"
        )
    mirror = Mirror(run, remote, verify=verify)
    mirror.begin()
    finished = [name for name in stages if read_manifest(folder / "stages" / name) is not None]
    for name in finished:
        mirror.add(name)
    if len(finished) < len(stages):
        tell(f"mirror: {len(finished)} of {len(stages)} stages are finished; the others are left out")
    return mirror.finish(tell)


def _check_owner(remote: Remote, index: dict[str, Any] | None, recipe: str) -> None:
    if index is not None and index.get("recipe") != recipe:
        raise InputError(
            f"{remote.shown}: holds the mirror of the recipe {index.get('recipe')!r}, not of {recipe!r}; "
            "choose another prefix"
        )


def _check_apart(run: Path, mirror: Path) -> None:
    run, mirror = run.resolve(), mirror.resolve()
    if run == mirror or run in mirror.parents:
        raise InputError(f"{mirror}: a mirror cannot lie in the run folder {run}; choose another address")
