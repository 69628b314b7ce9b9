"""Measure training speed side by side, in one run, and print the table of docs/performance.md.

    python benchmarks/training_speed.py            # about ten minutes on two cores; nothing else should run
    python benchmarks/training_speed.py --quick    # two minutes: one round, no whole rung
    python benchmarks/training_speed.py --shapes 4x128 --rounds 5

The same shapes, data order and batch (context 256, batch 16, vocabulary 2,048, no dropout) go through: this
package's loop (`pipelines.train.train` on the real objective), transformers' `Trainer` with its defaults, and a
bare loop around a GPT-2 written for the benchmark (bare_gpt.py: bf16 autocast, scaled-dot-product attention,
fused AdamW, clipping), eager and compiled. Rounds are interleaved, so that what else the machine does falls on
all alike; figures are medians, ± half the range. On a GPU, GPT-2 124M and 1.5B and BERT-base follow, at
context 1,024 (BERT 512), compiled. How fast a machine is, is not a test: the exit code is 0.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import time
from typing import NamedTuple

import torch
import transformers
from speed_contenders import CONTENDERS, Setting, make_contender

from pipelines.compiling import processor
from pipelines.flops import training_flops_per_token
from pipelines.ladder import Shape
from pipelines.utilisation import peak_flops

SHAPES = {"2x64": Shape(2, 64, 2), "4x128": Shape(4, 128, 4), "6x256": Shape(6, 256, 8)}
NAMES = {
    "ours": "this loop",
    "trainer": "transformers Trainer",
    "bare": "bare loop, eager",
    "bare-compiled": "bare loop, compiled",
    "passes": "this loop's forward and backward alone",
}
RUNG_TOKENS = 2_000_000
STEPS = {"2x64": 24, "4x128": 12, "6x256": 5}  # timed a round: about two seconds each
WARM_STEPS = 2
TARGETS = {"steady": 2.0, "rung": 1.5, "bare": 1.0, "overhead": 0.05}


class Rung(NamedTuple):
    """Seconds of a 2M-token rung from the start of its process, and whether all of it was run."""

    seconds: float
    whole: bool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round, and no whole rung")
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rung", nargs=3, metavar=("CONTENDER", "SHAPE", "STEPS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.rung:
        name, shape, steps = options.rung
        run_steps(name, shape, int(steps))
        return
    print(machine(options.threads), flush=True)
    rates = {shape: measure_shape(shape, 1 if options.quick else options.rounds) for shape in options.shapes}
    print(steady_table(rates), flush=True)
    rungs = {shape: measure_rungs(shape, rates[shape], options) for shape in options.shapes}
    print(rung_table(rungs), flush=True)
    print(verdicts(rates, rungs), flush=True)
    if torch.cuda.is_available():
        import speed_gpu

        print(speed_gpu.table(options.quick), flush=True)
    else:
        print("\nNo GPU here: GPT-2 124M, GPT-2 1.5B and BERT-base were not run.")


def machine(threads: int) -> str:
    peak = peak_flops(torch.device("cpu"), torch.bfloat16) or 0.0
    full = peak_flops(torch.device("cpu"), torch.float32) or 0.0
    return (
        f"{processor(torch.device('cpu'))}, {threads} threads; Python {platform.python_version()}, "
        f"torch {torch.__version__}, transformers {transformers.__version__}; matrix products peak at "
        f"{peak / 1e12:.2f} TFLOP/s in bf16 and {full / 1e12:.2f} in fp32"
    )


def setting(shape: str) -> Setting:
    return Setting(SHAPES[shape], vocabulary=2048, context=256, rows=16)


def measure_shape(shape: str, rounds: int) -> dict[str, list[float]]:
    """Tokens a second of each contender in each interleaved round; the first steps of a round are left out."""
    contenders = {name: make_contender(name, setting(shape)) for name in CONTENDERS}
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for contender in contenders.values():
        contender(1, WARM_STEPS)  # compiles, allocates
    for _ in range(rounds):
        for name, contender in contenders.items():
            rates[name].append(contender(WARM_STEPS, STEPS[shape]))
    print(f"measured {shape}: " + ", ".join(f"{n} {median(r):,.0f}" for n, r in rates.items()), flush=True)
    return rates


def measure_rungs(shape: str, rates: dict[str, list[float]], options: argparse.Namespace) -> dict[str, Rung]:
    """A 2M-token rung from the start of a process: the smallest shape in whole, others from start and rate."""
    tokens_a_step = setting(shape).rows * setting(shape).context
    found = {}
    for name in ("ours", "trainer"):
        whole = shape == "2x64" and not options.quick
        steps = round(RUNG_TOKENS / tokens_a_step) if whole else 4
        began = time.perf_counter()
        command = [sys.executable, __file__, "--threads", str(options.threads), "--rung", name, shape, str(steps)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        seconds = time.perf_counter() - began
        left = 0 if whole else RUNG_TOKENS - steps * tokens_a_step
        found[name] = Rung(seconds + left / median(rates[name]), whole)
    return found


def run_steps(name: str, shape: str, steps: int) -> None:
    make_contender(name, setting(shape))(1, steps - 1)


def median(values: list[float]) -> float:
    return statistics.median(values)


def ratio(rates: dict[str, list[float]], name: str) -> float:
    """How many times `name`'s speed ours is: the median of the rounds' own ratios."""
    return median([ours / other for ours, other in zip(rates["ours"], rates[name], strict=True)])


def overhead(rates: dict[str, list[float]]) -> float:
    """What a step takes beyond its forward and backward passes, as a share of those."""
    return median([passes / ours - 1 for ours, passes in zip(rates["ours"], rates["passes"], strict=True)])


def steady_table(rates: dict[str, dict[str, list[float]]]) -> str:
    lines = [
        "\n### Steady state\n",
        "| shape | | tokens/s | ± | utilisation | this loop is |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    peak = peak_flops(torch.device("cpu"), torch.bfloat16)
    for shape, by_name in rates.items():
        flops = training_flops_per_token(SHAPES[shape], 2048, 256)
        for name, values in by_name.items():
            used = f"{100 * flops * median(values) / peak:.0f} %" if peak else ""
            spread = (max(values) - min(values)) / 2
            times = "" if name == "ours" else f"{ratio(by_name, name):.2f}x"
            lines.append(
                f"| {shape} | {NAMES[name]} | {median(values):,.0f} | {spread:,.0f} | {used} | {times} |"
            )
    lines.append("\nUtilisation is of the bf16 peak measured above, for the fp32 Trainer too.")
    return "\n".join(lines)


def rung_table(rungs: dict[str, dict[str, Rung]]) -> str:
    lines = [
        "\n### A rung of 2M tokens, start-up and compiling counted\n",
        "| shape | this loop | Trainer | this loop is | |",
        "| --- | ---: | ---: | ---: | --- |",
    ]
    for shape, found in rungs.items():
        ours, trainer = found["ours"], found["trainer"]
        how = "run in whole" if ours.whole else "start-up run, the rest at the steady rate"
        lines.append(
            f"| {shape} | {ours.seconds:.0f} s | {trainer.seconds:.0f} s | "
            f"{trainer.seconds / ours.seconds:.2f}x | {how} |"
        )
    return "\n".join(lines)


def verdicts(rates: dict[str, dict[str, list[float]]], rungs: dict[str, dict[str, Rung]]) -> str:
    """Each figure beside its target."""
    steady = statistics.geometric_mean(ratio(by_name, "trainer") for by_name in rates.values())
    bare = statistics.geometric_mean(ratio(by_name, "bare-compiled") for by_name in rates.values())
    rung = statistics.geometric_mean(f["trainer"].seconds / f["ours"].seconds for f in rungs.values())
    most = max(overhead(by_name) for by_name in rates.values())
    rows = [
        ("steady state over Trainer, geometric mean", f"{steady:.2f}x", f"{TARGETS['steady']}x"),
        ("2M-token rung over Trainer, geometric mean", f"{rung:.2f}x", f"{TARGETS['rung']}x"),
        ("steady state over the bare loop compiled, geometric mean", f"{bare:.2f}x", f"{TARGETS['bare']}x"),
        ("largest overhead over forward and backward, optimiser and all", f"{most:.1%}", "5 %"),
    ]
    lines = ["\n### Against the targets\n", "| what | measured | target |", "| --- | ---: | ---: |"]
    return "\n".join(lines + [f"| {what} | {measured} | {target} |" for what, measured, target in rows])


if __name__ == "__main__":
    main()
