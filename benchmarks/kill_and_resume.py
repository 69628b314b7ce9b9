"""Kill a pretrain and fine-tune run at random moments, resume it, and compare its weights to the bit.

    python benchmarks/kill_and_resume.py [--kills 20] [--seed 0]

One run is left alone. Then, as many times as asked, the same recipe is started on the same prepared text,
killed with SIGKILL at a random moment of its training, and started again with the same command. Kills hit the
command itself and one of its workers in turn. The table says when each struck, what was lost, and whether all
models ended in the bits of the undisturbed run.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

RECIPE = """\
name: kills
corpus: {source: python-stdlib, max_bytes: 3e6}
tokenizer: {train: bpe, vocab_size: 512}
context: 64
ladder: {rungs: {shapes: [1x32, 2x48]}, head_size: 16}
budget: {tokens: [100000, 200000]}
training: {rule: small-ladder, batch_tokens: 1024, dropout: 0.1, checkpoint_every_s: 0.3}
finetune:
  - {task: module-classification, epochs: 2, max_rows: 800}
  - {task: code-to-docstring, epochs: 1, max_rows: 400, dropout: 0.1, early_stopping: {every: 0.2}}
eval: {tasks: [perplexity], max_items: 4, bootstrap: 100}
report: {holdout: 0, bootstrap: 100}
"""


@dataclass(frozen=True)
class Kill:
    """One kill: when, of whom, which stages were at work, and what the resumed run ended in."""

    seconds: float
    victim: str
    at_work: str
    checkpoints: int
    resumed_seconds: float
    equal: bool
    exit_code: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
        whole = folder / "whole"
        finish(folder, whole)
        began = time.monotonic()
        prepared(whole, folder / "again")
        finish(folder, folder / "again")
        seconds = time.monotonic() - began
        expected = weights(whole)
        assert expected == weights(folder / "again"), "two undisturbed runs differ"
        print(f"undisturbed: {len(expected)} models, {seconds:.0f} s from prepared text; seed {asked.seed}\n")
        print("| kill | at | victim | stages at work | checkpoints | resumed in | weights |")
        print("| --- | --- | --- | --- | --- | --- | --- |", flush=True)
        chance = random.Random(asked.seed)
        equal = 0
        number = 0
        while number < asked.kills:
            victim = "worker" if number % 2 else "command"
            kill = kill_one(folder, whole, chance.uniform(1.0, seconds), victim, expected)
            if kill.victim == "nobody":
                continue  # the run was quicker than the first: no kill
            number += 1
            equal += kill.equal
            said = "identical" if kill.equal else "DIFFERENT"
            print(
                f"| {number} | {kill.seconds:.1f} s | {kill.victim} | {kill.at_work} | {kill.checkpoints} | "
                f"{kill.resumed_seconds:.1f} s | {said} |",
                flush=True,
            )
        print(f"\n{equal} of {asked.kills} ended in identical weights")
    sys.exit(0 if equal == asked.kills else 1)


def command(folder: Path, out: Path) -> list[str]:
    return [
        sys.executable,
        "-c",
        "from pipelines.cli import main; main()",
        "run",
        str(folder / "recipe.yaml"),
        "--out",
        str(out),
    ]


def finish(folder: Path, out: Path) -> int:
    """Run the recipe to its end; the exit code, which must be 0."""
    done = subprocess.run(command(folder, out), capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"the run failed:\n{done.stdout}\n{done.stderr}")
    return done.returncode


def prepared(whole: Path, out: Path) -> None:
    """A run folder that has the finished run's prepared text and nothing else, so that kills hit training."""
    (out / "stages").mkdir(parents=True)
    for stage in (whole / "stages").glob("prepare-*"):
        shutil.copytree(stage, out / "stages" / stage.name)
    for name in ("plan.json", "recipe.yaml"):
        shutil.copy(whole / name, out / name)


def kill_one(folder: Path, whole: Path, moment: float, victim: str, expected: dict[str, str]) -> Kill:
    out = folder / "killed"
    prepared(whole, out)
    process = subprocess.Popen(
        command(folder, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    time.sleep(moment)
    at_work, checkpoints = working(out)
    struck = strike(process, victim)
    process.wait()
    began = time.monotonic()
    code = finish(folder, out)
    seconds = time.monotonic() - began
    kill = Kill(moment, struck, at_work, checkpoints, seconds, weights(out) == expected, code)
    shutil.rmtree(out)
    return kill


def strike(process: subprocess.Popen[bytes], victim: str) -> str:
    """Send SIGKILL to the command or to one of its workers; who it was."""
    if process.poll() is not None:
        return "nobody"
    children = psutil.Process(process.pid).children()
    workers = [child for child in children if "spawn_main" in " ".join(child.cmdline())]
    if victim == "worker" and workers:
        os.kill(workers[0].pid, signal.SIGKILL)
        return "worker"
    os.kill(process.pid, signal.SIGKILL)
    return "command"


def working(out: Path) -> tuple[str, int]:
    """The stages that had begun and not ended, and how many checkpoints they had."""
    begun = [
        stage
        for stage in sorted((out / "stages").glob("*"))
        if not (stage / "manifest.json").is_file() and not stage.name.startswith("prepare-")
    ]
    names = [stage.name.rpartition("-")[0] for stage in begun]
    return ", ".join(names) or "none", sum(len(list(stage.glob("checkpoints/step-*"))) for stage in begun)


def weights(out: Path) -> dict[str, str]:
    """By stage, the hash of its model's weights."""
    found = {}
    for manifest in sorted((out / "stages").glob("*/manifest.json")):
        model = manifest.parent / "model" / "model.safetensors"
        if model.is_file():
            stage = json.loads(manifest.read_text(encoding="utf-8"))["stage"]
            found[stage] = hashlib.sha256(model.read_bytes()).hexdigest()
    return found


if __name__ == "__main__":
    main()
