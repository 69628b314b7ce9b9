"""The run folder: whose it is, which artefacts are finished, what happened; readable without a model."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from eval.files import (
    InputError,
    hash_whole_file,
    read_sealed,
    read_text,
    write_atomic,
    write_json,
    write_sealed,
)
from eval.safety import is_inside, is_plain, links_out, redact
from eval.yaml_text import parse_yaml
from pipelines.events import parse_events

if TYPE_CHECKING:  # the plan's module takes half a second to load, which `status` has no need of
    from pipelines.plan import Plan, Stage

MANIFEST = "manifest.json"
FAILURE = "failure.json"
ERROR = "error.txt"
# What is read from manifests, beside their files.
_READ: dict[str, Any] = {"settings": dict, "facts": dict, "seconds": (int, float)}


class RunFolder:
    """`runs/<recipe>/`: the plan, the events, and `stages/<kind>-<name>-<key>/` below it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def check_owner(self, recipe: str) -> None:
        """Raise InputError for a file, a folder of another recipe, or one that holds something else."""
        if self.root.exists() and not self.root.is_dir():
            raise InputError(f"{self.root}: is a file; choose another folder with --out")
        if not self.root.is_dir():
            return
        there = [path.name for path in self.root.iterdir() if not path.name.startswith(".")]
        ours = "stages" in there or "recipe.yaml" in there  # with its plan lost, it is planned anew
        if "plan.json" in there or (there and not ours):
            owner = self._owner()
            if owner != recipe:
                raise InputError(
                    f"{self.root}: belongs to the recipe {owner!r}, not {recipe!r}; "
                    "choose another folder with --out"
                )

    def claim(self, plan: Plan, recipe_text: str) -> None:
        """Make the folder this recipe's and store what is asked and planned; InputError as `check_owner`."""
        self.check_owner(plan.recipe)
        self.root.mkdir(parents=True, exist_ok=True)
        write_sealed(self.root / "plan.json", _plan_json(plan))
        write_atomic(self.root / "recipe.yaml", recipe_text)

    def recipe_name(self) -> str:
        """The recipe that owns the folder. Raises InputError if it is no run folder."""
        return str(self.read_plan()["recipe"])

    def _owner(self) -> str:
        """`recipe_name`, from the recipe's own copy where the plan is broken: that one is written anew."""
        try:
            return self.recipe_name()
        except InputError:
            try:
                recipe = parse_yaml(read_text(self.root / "recipe.yaml"), lambda *_: "recipe.yaml").data
                return str(recipe["name"])
            except (InputError, TypeError, KeyError):
                pass
            raise

    def read_plan(self, *, checked: bool = True) -> dict[str, Any]:
        """The stored plan.json. Raises InputError if the folder has none, or a broken one.

        `checked`: its hash is, too, which takes a second for ten thousand stages.
        """
        path = self.root / "plan.json"
        if not path.is_file():
            raise InputError(
                f"{self.root}: not a run folder (no plan.json in it); name a folder that "
                f"`stepladder run` made"
            )
        try:
            plan = read_sealed(path, unsealed=True) if checked else json.loads(path.read_bytes())
        except InputError as error:
            raise InputError(f"{error}; remove the file and run the recipe again") from error
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}: broken ({error}); remove the file and run the recipe again") from error
        if not _is_plan(plan):
            raise InputError(f"{path}: not a plan of Stepladder; remove the file and run the recipe again")
        found: dict[str, Any] = plan
        return found

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for this process.

        Raises InputError when another process holds it, and where links in it lead out of it: what is written
        and removed would be somebody else's.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        refuse_links(self.root, depth=2)
        lock = FileLock(self.root / ".lock")
        try:
            lock.acquire(timeout=1)  # `status` holds it for an instant to see whether it is free
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
        except OSError:  # not ours to write in, so not ours to see
            return False
        lock.release()
        return False

    def folder(self, stage: Stage) -> Path:
        """Where the artefact of a stage lies, or will."""
        return self.root / "stages" / stage.folder

    def manifest(self, stage: Stage) -> dict[str, Any] | None:
        """The manifest of a finished stage; None while it is not finished or some file of it is gone."""
        return read_manifest(self.folder(stage))

    def failure(self, stage: Stage) -> str | None:
        """Why a stage failed for good, if it did: trying again would fail the same way."""
        return read_failure(self.folder(stage))

    def record(self, event: str, **facts: Any) -> None:
        """Append a line to events.jsonl."""
        line = redact(json.dumps({"time": now(), "event": event, **facts}, ensure_ascii=False)) + "\n"
        with (self.root / "events.jsonl").open("a+b") as file:
            if file.tell() > 0:
                file.seek(-1, os.SEEK_END)
                line = (
                    line if file.read(1) == b"\n" else "\n" + line
                )  # a kill or a full disk cut the last one
            file.write(line.encode())

    def events(self) -> list[dict[str, Any]]:
        """What events.jsonl holds, from the first on; a line that a kill cut short is passed over."""
        path = self.root / "events.jsonl"
        return parse_events(path.read_bytes()) if path.is_file() else []

    def _who(self) -> str:
        path = self.root / ".owner.json"
        try:
            owner = json.loads(path.read_text(encoding="utf-8"))
            return f" (process {owner['pid']}, since {owner['since']})"
        except (OSError, ValueError, KeyError, TypeError):
            return ""


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """An artefact's manifest; None if there is none, it was altered, or a file lacks its size.

    The bytes of its files are looked at by `verify_artefact`.
    """
    path = folder / MANIFEST
    if not path.is_file():
        return None
    try:
        manifest = read_sealed(path)
        files = manifest["files"].items()
        whole = all(is_inside(name) and (folder / name).stat().st_size == of["bytes"] for name, of in files)
        whole = whole and all(isinstance(manifest[name], kind) for name, kind in _READ.items())
    except (ValueError, KeyError, AttributeError, TypeError, OSError):
        return None
    return manifest if whole else None


def verify_artefact(
    folder: Path, names: tuple[str, ...] | None = None, stop: Event | None = None
) -> str | None:
    """What is wrong with a finished artefact, in a line; None where every byte is as it was written.

    names: look at these files alone. stop: once it is set, InterruptedError is raised.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        return f"{folder / MANIFEST}: altered, or a file of it is gone or cut short"
    for name, of in manifest["files"].items():
        if names is not None and name not in names:
            continue
        try:
            if hash_whole_file(folder / name, stop) != of["sha256"]:
                return f"{folder / name}: does not have the hash it was written with"
        except InterruptedError:
            raise
        except OSError as error:
            return f"{folder / name}: cannot be read ({error.strerror})"
    return None


def discard_artefact(folder: Path) -> None:
    """Empty the folder of a broken artefact, so that nothing of it is taken for work already done."""
    for path in folder.iterdir():
        if path.name == ".lock":
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def read_failure(folder: Path) -> str | None:
    """The reason why a stage failed for good; None if it did not, or nobody can read why."""
    try:
        return str(read_sealed(folder / FAILURE)["reason"])
    except (ValueError, KeyError, TypeError):
        return None


def write_manifest(stage: Stage, folder: Path, facts: Mapping[str, Any], seconds: float) -> None:
    """Finish an artefact: its manifest is written last, so that a folder with one is whole.

    It holds the size and the SHA-256 of each file, and the hash of itself.
    """
    files = {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": hash_whole_file(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not _passing(path.relative_to(folder))
    }
    manifest = {
        "format": 2,
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
    write_sealed(folder / MANIFEST, manifest)


def _passing(path: Path) -> bool:
    """Whether a file is no part of the artefact: locks, checkpoints and failures go once it is finished."""
    return path.name.startswith(".") or path.parts[0] in ("checkpoints", MANIFEST, FAILURE, ERROR)


def now() -> str:
    """The time in UTC, to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _is_plan(plan: Any) -> bool:
    """Whether a JSON value has what is read from a stored plan."""
    return (
        isinstance(plan, dict)
        and isinstance(plan.get("recipe"), str)
        and isinstance(plan.get("stages"), list)
        and all(isinstance(stage, dict) and _is_stage(stage) for stage in plan["stages"])
    )


def _is_stage(stage: Mapping[str, Any]) -> bool:
    """Whether a stage of a stored plan has an id, and a folder that is one below `stages/`."""
    names = (stage.get("id"), stage.get("folder"))
    return all(
        isinstance(name, str) and (is_plain(name) or (is_inside(name) and Path(name).name == name))
        for name in names
    )


def refuse_links(folder: Path, depth: int = 1) -> None:
    """Raise InputError for a link, in the folder or `depth` - 1 below, that leads out of it."""
    if link := next(links_out(folder, depth), None):
        raise InputError(
            f"{link}: is a link that leads out of {folder}; put what it leads to in its place, or make the "
            "run's folder itself a link (or choose it with --out)"
        )


def _plan_json(plan: Plan) -> dict[str, Any]:
    stages = [{"id": stage.id, "folder": stage.folder, **asdict(stage)} for stage in plan.stages]
    return {"format": 1, "recipe": plan.recipe, "stages": stages}
