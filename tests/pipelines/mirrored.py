"""A finished run folder of a few small artefacts, made without training; shared by the tests of mirrors."""

from __future__ import annotations

from pathlib import Path

from eval.files import write_atomic
from pipelines.plan import Plan
from pipelines.planned import make_stage
from pipelines.store import RunFolder, write_manifest

# Bytes that no text tool would leave as they are.
WEIGHTS = bytes(range(256)) * 300


def make_run(root: Path, names: tuple[str, ...] = ("a", "b", "c"), recipe: str = "tiny") -> RunFolder:
    """Three stages, each with a model of two files, a card and a log."""
    stages = tuple(make_stage("fetch", name, {"model": name}) for name in names)
    run = RunFolder(root)
    run.claim(Plan(recipe=recipe, base=root, stages=stages), f"name: {recipe}\n")
    for stage in stages:
        folder = run.folder(stage)
        write_atomic(folder / "model" / "model.safetensors", stage.name.encode() + WEIGHTS)
        write_atomic(folder / "model" / "config.json", f'{{"name": "{stage.name}"}}\n')
        write_atomic(folder / "log.jsonl", "")
        write_manifest(stage, folder, {}, 1.0)
        write_atomic(
            folder / "model" / "README.md", f"# {stage.name}\n"
        )  # a card comes later, and is in no manifest
        write_atomic(folder / ".lock", "")
    run.record("run-started", stages=len(stages))
    write_atomic(root / "results.jsonl", "{}\n")
    write_atomic(root / "run.json", "{}\n")
    write_atomic(root / "report" / "index.html", "<p>ä</p>\n")
    write_atomic(root / "report" / "figures" / "loss.svg", "<svg/>\n")
    return run


def contents(root: Path) -> dict[str, bytes]:
    """Every file below a folder but hidden ones, by name."""
    files = [path for path in root.rglob("*") if path.is_file()]
    named = {path.relative_to(root).as_posix(): path.read_bytes() for path in files}
    return {name: data for name, data in named.items() if "/." not in f"/{name}"}
