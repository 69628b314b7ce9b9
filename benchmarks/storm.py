"""Kill a pretrain and fine-tune run at random moments until it ends, and compare what it ends in to the bit.

    python benchmarks/storm.py [--kills 50] [--seed 0] [--executor local|ray]

One run is left alone. Then the same recipe is run, from the same prepared text, in a storm: SIGKILL hits the
command, a worker or, with `--executor ray`, a whole node of a two-node cluster on this machine; a command
that was hit is started again, until the run has ended. Storms follow each other until enough were killed.
The table has a line a kill: what was hit, what was at work, and from which steps it went on; below it stands
whether all models and results are those of the undisturbed run, and whether any step was done again that a
checkpoint held.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

RECIPE = """\
name: storm
corpus: {source: python-stdlib, max_bytes: 3e6}
tokenizer: {train: bpe, vocab_size: 512}
context: 64
ladder: {rungs: {shapes: [1x32, 2x48]}, head_size: 16}
budget: {tokens: [200000, 400000]}
training: {rule: small-ladder, batch_tokens: 1024, dropout: 0.1, checkpoint_every_s: 0.3, precision: fp32}
finetune:
  - {task: module-classification, epochs: 2, max_rows: 800}
  - {task: code-to-docstring, epochs: 1, max_rows: 400, dropout: 0.1, early_stopping: {every: 0.2}}
eval: {tasks: [perplexity, module-classification], max_items: 20, bootstrap: 100}
report: {holdout: 0, bootstrap: 100}
"""
GIVE_UP = 60  # starts of one run: something is wrong that no storm explains


@dataclass
class Storm:
    """One run under fire, and what was found in it."""

    out: Path
    kills: int = 0
    starts: int = 0
    had: list[tuple[int, dict[str, int]]] = field(default_factory=list)
    """At each kill, how many events there were, and the newest checkpoint's step of each stage at work."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--executor", choices=("local", "ray"), default="local")
    asked = parser.parse_args()
    chance = random.Random(asked.seed)
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as open_things:
        folder = Path(scratch)
        (folder / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
        whole = folder / "whole"
        began = time.monotonic()
        if finish(command(folder, whole)):
            sys.exit("the undisturbed run failed")
        print(
            f"undisturbed: {len(weights(whole))} models, {time.monotonic() - began:.0f} s; seed {asked.seed}"
        )
        cluster = open_things.enter_context(Nodes()) if asked.executor == "ray" else None
        print("\n| kill | storm | at | victim | stages at work | their checkpoints at steps |")
        print("| --- | --- | --- | --- | --- | --- |", flush=True)
        kills = storms = equal = 0
        again: list[str] = []
        while kills < asked.kills:
            storm = Storm(folder / f"storm-{storms}")
            prepared(whole, storm.out)
            rage(storm, folder, chance, cluster, kills, asked.kills)
            same = weights(storm.out) == weights(whole) and scores(storm.out) == scores(whole)
            kills, storms, equal, again = (
                kills + storm.kills,
                storms + 1,
                equal + same,
                again + done_again(storm),
            )
            shutil.rmtree(storm.out)
        print(f"\n{kills} kills in {storms} runs; {equal} of {storms} ended in the same models and results")
        print(f"went on from before a whole checkpoint: {', '.join(again) or 'none'}")
    sys.exit(0 if equal == storms and not again else 1)


class Nodes:
    """A Ray cluster of two nodes on this machine, one core each, of which one can be killed."""

    def __enter__(self) -> Nodes:
        from ray.cluster_utils import Cluster

        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        self._cluster: Any = Cluster(
            initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
        )
        self._second = self._cluster.add_node(num_cpus=1)
        return self

    @property
    def address(self) -> str:
        return str(self._cluster.address)

    def kill_one(self) -> None:
        """SIGKILL to all of the second node; another joins in its place."""
        self._cluster.remove_node(self._second, allow_graceful=False)
        self._second = self._cluster.add_node(num_cpus=1)

    def __exit__(self, *_: object) -> None:
        self._cluster.shutdown()


def command(folder: Path, out: Path, cluster: Nodes | None = None) -> list[str]:
    where = [] if cluster is None else ["--executor", "ray", "--address", cluster.address]
    recipe = str(folder / "recipe.yaml")
    start = [sys.executable, "-c", "from pipelines.cli import main; main()", "run", recipe]
    return [*start, "--out", str(out), *where]


def finish(asked: list[str]) -> int:
    """Run a command to its end; its exit code."""
    done = subprocess.run(asked, capture_output=True, text=True)
    if done.returncode:
        print(done.stdout[-2000:], done.stderr[-2000:], file=sys.stderr)
    return done.returncode


def prepared(whole: Path, out: Path) -> None:
    """A run folder that has the finished run's prepared text and nothing else, so that kills hit training."""
    (out / "stages").mkdir(parents=True)
    for stage in (whole / "stages").glob("prepare-*"):
        shutil.copytree(stage, out / "stages" / stage.name)
    for name in ("plan.json", "recipe.yaml"):
        shutil.copy(whole / name, out / name)


def rage(
    storm: Storm, folder: Path, chance: random.Random, cluster: Nodes | None, before: int, wanted: int
) -> None:
    """Start the run, kill, start again, until it has ended well."""
    victims = ("command", "worker") if cluster is None else ("command", "worker", "node")
    while storm.starts < GIVE_UP:
        storm.starts += 1
        process = subprocess.Popen(
            command(folder, storm.out, cluster),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        while process.poll() is None and before + storm.kills < wanted:
            wait_for_work(process, storm.out, chance.uniform(0.1, 8.0))
            victim = victims[(before + storm.kills) % len(victims)]
            had = (len(events(storm.out)), at_work(storm.out))
            struck = strike(process, victim, cluster)
            if not struck:
                continue
            storm.kills += 1
            storm.had.append(had)
            steps = ", ".join(f"{name} {step or '-'}" for name, step in had[1].items())
            print(
                f"| {before + storm.kills} | {storm.out.name} | {elapsed(storm.out)} | {struck} | "
                f"{len(had[1])} | {steps or 'none'} |",
                flush=True,
            )
            if struck == "command":
                process.wait()
        process.wait()
        if process.returncode == 0:
            return
    sys.exit(f"{storm.out}: did not end in {GIVE_UP} starts")


def wait_for_work(process: subprocess.Popen[bytes], out: Path, seconds: float) -> None:
    """Wait so long from when a stage is at work: the seconds in which Python loads torch are no target."""
    until = time.monotonic() + 120
    while process.poll() is None and not list(out.glob("stages/*/.live.json")) and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(seconds)


def strike(process: subprocess.Popen[bytes], victim: str, cluster: Nodes | None) -> str | None:
    """SIGKILL to the command, to a process that works on a stage, or to a node; who it was, if anybody."""
    if process.poll() is not None:
        return None
    if victim == "node" and cluster is not None:
        cluster.kill_one()
        return "node"
    if victim == "worker":
        workers = [one for one in psutil.process_iter(["cmdline"]) if is_worker(one, process.pid)]
        if not workers:
            return None
        os.kill(workers[0].pid, signal.SIGKILL)
        return "worker"
    os.kill(process.pid, signal.SIGKILL)
    return "command"


def is_worker(process: psutil.Process, command: int) -> bool:
    try:
        line = " ".join(process.cmdline())
        ours = process.ppid() == command and "spawn_main" in line
    except psutil.Error:
        return False
    return ours or line.startswith(("ray::pretrain", "ray::finetune", "ray::evaluate"))


def at_work(out: Path) -> dict[str, int]:
    """The stages that have begun and not ended, with the step of their newest checkpoint, 0 for none."""
    found = {}
    for stage in sorted((out / "stages").glob("*")):
        if (stage / ".live.json").is_file() and not (stage / "manifest.json").is_file():
            found[stage.name.rpartition("-")[0]] = newest(stage)
    return found


def newest(stage: Path) -> int:
    steps = [int(path.name.removeprefix("step-")) for path in stage.glob("checkpoints/step-*")]
    return max(steps, default=0)


def done_again(storm: Storm) -> list[str]:
    """Stages that were started again after a kill from before the newest checkpoint that they had then."""
    behind = []
    told = events(storm.out)
    for count, had in storm.had:
        for name, step in had.items():
            later = [event for event in told[count:] if event.get("stage") == name]
            started = [number for number, event in enumerate(later) if event["event"] == "stage-started"]
            if not started or not step:
                continue
            then = later[started[0] :]
            resumed = next((one["step"] for one in then if one["event"] == "stage-resumed"), 0)
            if resumed < step:
                behind.append(f"{name} at {resumed} of {step}")
    return behind


def elapsed(out: Path) -> str:
    """What the run's events say of how far it is."""
    told = events(out)
    return f"{sum(one['event'] == 'stage-done' for one in told)} stages done"


def events(out: Path) -> list[dict[str, Any]]:
    """The whole lines of events.jsonl; a kill may have cut one."""
    found = []
    path = out / "events.jsonl"
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def weights(out: Path) -> dict[str, str]:
    """By stage, the SHA-256 of its model's weights, as its manifest has it."""
    found = {}
    for path in sorted((out / "stages").glob("*/manifest.json")):
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if weights := manifest["files"].get("model/model.safetensors"):
            found[manifest["stage"]] = weights["sha256"]
    return found


def scores(out: Path) -> list[dict[str, Any]]:
    """Every field of every result but the seconds it took."""
    rows = [json.loads(line) for line in (out / "results.jsonl").read_text(encoding="utf-8").splitlines()]
    return [{name: value for name, value in row.items() if name not in ("seconds", "check")} for row in rows]


if __name__ == "__main__":
    main()
