"""Many examples of one kind, by hypothesis, each in a new folder beside one that must stay as it is."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS
from tests.fuzz.watch import Seen, observe

KEPT = "precious"  # a file beside each example's folder, which nothing may touch


def run_target(name: str, examples: int, told: Callable[[random.Random, Seen], None], seed: int = 0) -> None:
    """Make and read `examples` damaged inputs, the same for a seed; `told` hears how each ended."""
    target = TARGETS[name]
    root = Path(tempfile.mkdtemp(prefix="stepladder-fuzz-"))
    (root / "kept").mkdir()
    (root / "kept" / KEPT).write_text("as it was")
    before = os.getcwd()  # noqa: PTH109
    was_temporary = tempfile.tempdir

    @seeded(seed)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.randoms(use_true_random=False))
    def one(rng: random.Random) -> None:
        folder = root / "work"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        target.write(rng, folder)
        os.chdir(folder)
        tempfile.tempdir = str(folder)
        seen = observe(target.call, folder, target.seconds)
        tempfile.tempdir = was_temporary
        if _beside(root) != {"kept", "work"} or (root / "kept" / KEPT).read_text() != "as it was":
            seen.outside.append("the folder beside was written to")
        told(rng, seen)

    try:
        one()
    finally:
        os.chdir(before)
        shutil.rmtree(root, ignore_errors=True)


def _beside(root: Path) -> set[str]:
    return {path.name for path in root.iterdir()}
