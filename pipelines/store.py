"""The run folder: whose it is, which artefacts are finished, what happened; readable without a model."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from eval.files import InputError, read_text, write_atomic, write_json
from pipelines.plan import Plan, Stage

MANIFEST = "manifest.json"
FAILURE = "failure.json"
ERROR = "error.txt"


class RunFolder:
    """`runs/<recipe>/`: the plan, the events, and `stages/<kind>-<name>-<key>/` below it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def claim(self, plan: Plan, recipe_text: str) -> None:
        """Make the folder this recipe's, or check that it is; then store what is asked and planned.

        Raises InputError for a folder of another recipe, or one that holds something else.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            there = [path.name for path in self.root.iterdir() if not path.name.startswith(".")]
        except (FileExistsError, NotADirectoryError) as error:
            raise InputError(f"{self.root}: is a file; choose another folder with --out") from error
        if there:
            owner = self.recipe_name()
            if owner != plan.recipe:
                raise InputError(
                    f"{self.root}: belongs to the recipe {owner!r}, not {plan.recipe!r}; "
                    f"choose another folder with --out"
                )
        write_json(self.root / "plan.json", _plan_json(plan))
        write_atomic(self.root / "recipe.yaml", recipe_text)

    def recipe_name(self) -> str:
        """The recipe that owns the folder. Raises InputError if it is no run folder."""
        return str(self.read_plan()["recipe"])

    def read_plan(self) -> dict[str, Any]:
        """The stored plan.json. Raises InputError if the folder has none, or a broken one."""
        path = self.root / "plan.json"
        if not path.is_file():
            raise InputError(
                f"{self.root}: not a run folder (no plan.json in it); name a folder that "
                f"`stepladder run` made"
            )
        try:
            plan = json.loads(read_text(path))
            assert isinstance(plan, dict)
            return plan
        except (ValueError, AssertionError) as error:
            raise InputError(f"{path}: broken ({error}); run the recipe again with another --out") from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for this process. Raises InputError when another process holds it."""
        self.root.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.root / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise InputError(
                f"{self.root}: another stepladder is working here{self._who()}; wait for it, "
                f"or choose another --out"
            ) from error
        try:
            write_json(self.root / ".owner.json", {"pid": os.getpid(), "since": now()})
            yield
        finally:
            (self.root / ".owner.json").unlink(missing_ok=True)
            lock.release()

    def is_running(self) -> bool:
        """Whether a process holds the folder right now."""
        if not (self.root / ".lock").exists():
            return False
        lock = FileLock(self.root / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return True
        lock.release()
        return False

    def folder(self, stage: Stage) -> Path:
        """Where the artefact of a stage lies, or will."""
        return self.root / "stages" / stage.folder

    def manifest(self, stage: Stage) -> dict[str, Any] | None:
        """The manifest of a finished stage; None while it is not finished or some file of it is gone."""
        return read_manifest(self.folder(stage))

    def failure(self, stage: Stage) -> dict[str, Any] | None:
        """Why a stage failed for good, if it did: trying again would fail the same way."""
        path = self.folder(stage) / FAILURE
        return json.loads(read_text(path)) if path.is_file() else None

    def record(self, event: str, **facts: Any) -> None:
        """Append a line to events.jsonl."""
        line = json.dumps({"time": now(), "event": event, **facts}, ensure_ascii=False) + "\n"
        with (self.root / "events.jsonl").open("a", encoding="utf-8") as file:
            file.write(line)

    def _who(self) -> str:
        path = self.root / ".owner.json"
        try:
            owner = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return ""
        return f" (process {owner['pid']}, since {owner['since']})"


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """An artefact's manifest; None if there is none, it is broken, or a file lacks its size."""
    path = folder / MANIFEST
    if not path.is_file():
        return None
    try:
        manifest: dict[str, Any] = json.loads(read_text(path))
        whole = all((folder / name).stat().st_size == size for name, size in manifest["files"].items())
    except (ValueError, KeyError, OSError):
        return None
    return manifest if whole else None


def write_manifest(stage: Stage, folder: Path, facts: Mapping[str, Any], seconds: float) -> None:
    """Finish an artefact: its manifest is written last, so that a folder with one is whole."""
    files = {
        str(path.relative_to(folder)): path.stat().st_size
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not _passing(path.relative_to(folder))
    }
    manifest = {
        "format": 1,
        "stage": stage.id,
        "key": stage.key,
        "version": stage.version,
        "settings": stage.settings,
        "inputs": list(stage.inputs),
        "facts": dict(facts),
        "files": files,
        "seconds": round(seconds, 3),
        "made": now(),
    }
    write_json(folder / MANIFEST, manifest)


def _passing(path: Path) -> bool:
    """Whether a file is no part of the artefact: locks, checkpoints and failures go once it is finished."""
    return path.name.startswith(".") or path.parts[0] in ("checkpoints", MANIFEST, FAILURE, ERROR)


def now() -> str:
    """The time in UTC, to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _plan_json(plan: Plan) -> dict[str, Any]:
    stages = [{"id": stage.id, "folder": stage.folder, **asdict(stage)} for stage in plan.stages]
    return {"format": 1, "recipe": plan.recipe, "stages": stages}
