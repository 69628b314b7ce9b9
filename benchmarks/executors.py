"""What an executor costs and saves on a ladder of six tiny rungs, whole commands in turn.

    python benchmarks/executors.py [--rounds 3] [--ray]

`bare` runs the stages one after another in one process with all threads, without an executor; `one at a
time` is the command with `--jobs 1`, also all threads; `side by side` is the command as it is, which runs a
stage a core with its share of the threads; `ray` the same with `--executor ray`. All start from the same
prepared text and make the same report. Each round goes through them in turn, because a shared machine's speed
drifts; the table has each one's median and range, and what it is in relation to the bare stages.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RECIPE = """\
name: six
corpus: {source: python-stdlib, max_bytes: 3e6}
tokenizer: {train: bpe, vocab_size: 512}
context: 128
ladder: {rungs: {shapes: [1x16, 1x32, 2x32, 2x48, 2x64, 3x64]}, head_size: 16}
budget: {tokens: 200000}
training: {rule: small-ladder, batch_tokens: 4096, precision: fp32}
eval: {tasks: [perplexity], max_items: 20, bootstrap: 100}
report: {holdout: 1, bootstrap: 100}
"""
COMMAND = "from pipelines.cli import main; main()"
BARE = """
import sys
from pathlib import Path
from pipelines.estimate import usable_cores
from pipelines.executors.scheduling import make_job
from pipelines.plan import make_plan
from pipelines.recipe_file import load_recipe
from pipelines.stages import LoopSettings, run_stage
from pipelines.store import RunFolder
from pipelines.summary import write_summary
from scaling_report.report import make_report

loaded = load_recipe(sys.argv[1], ())
plan, loop, run = make_plan(loaded), LoopSettings.of(loaded), RunFolder(Path(sys.argv[2]))
run.claim(plan, loaded.text)
ends = {}
for stage in plan.stages:
    ends[stage.id] = run_stage(make_job(plan, run, stage, loop, usable_cores()), lambda message: None)
write_summary(run, plan, loaded, ends)
make_report(run.root, loaded.recipe.report)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ray", action="store_true")
    asked = parser.parse_args()
    ways = {
        "bare": [BARE, "{recipe}", "{out}"],
        "one at a time": [COMMAND, "run", "{recipe}", "--out", "{out}", "--jobs", "1"],
        "side by side": [COMMAND, "run", "{recipe}", "--out", "{out}"],
    }
    if asked.ray:
        ways["ray"] = [COMMAND, "run", "{recipe}", "--out", "{out}", "--executor", "ray"]
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        recipe = folder / "six.yaml"
        recipe.write_text(RECIPE, encoding="utf-8")
        whole = folder / "whole"
        timed(ways["side by side"], recipe, whole)  # prepares the text, and warms what is kept between runs
        for _ in range(asked.rounds):
            for name, way in ways.items():
                out = folder / "run"
                prepared(whole, out)
                seconds[name].append(timed(way, recipe, out))
                shutil.rmtree(out)
    show(seconds)


def timed(way: list[str], recipe: Path, out: Path) -> float:
    """Seconds of a whole process."""
    arguments = [one.format(recipe=recipe, out=out) if "{" in one[:1] else one for one in way]
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", *arguments], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"failed:\n{done.stdout}\n{done.stderr}")
    return time.monotonic() - began


def prepared(whole: Path, out: Path) -> None:
    """A run folder with the prepared text alone: what is timed is training, measuring and the report."""
    (out / "stages").mkdir(parents=True)
    for stage in (whole / "stages").glob("prepare-*"):
        shutil.copytree(stage, out / "stages" / stage.name)
    for name in ("plan.json", "recipe.yaml"):
        shutil.copy(whole / name, out / name)


def show(seconds: dict[str, list[float]]) -> None:
    bare = statistics.median(seconds["bare"])
    turn = statistics.median(seconds["one at a time"])
    print("| way | median s | range s | over the bare stages | of one at a time |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, found in seconds.items():
        middle = statistics.median(found)
        span = f"{min(found):.1f} to {max(found):.1f}"
        print(f"| {name} | {middle:.1f} | {span} | {middle - bare:+.1f} s | {middle / turn:.2f} |")


if __name__ == "__main__":
    main()
