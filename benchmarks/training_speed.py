"""Measure training speed side by side, in one run, and print the tables of docs/performance.md.

    python benchmarks/training_speed.py            # about ten minutes on two cores; nothing else should run
    python benchmarks/training_speed.py --quick    # three minutes: one round, no whole rung
    python benchmarks/training_speed.py --shapes 4x128 --rounds 5

The same shapes, data order and batch (context 256, batch 16, vocabulary 2,048, no dropout) go through: this
package's loop (`pipelines.train.train` on the real objective), transformers' `Trainer` with its defaults, and
a bare loop around a GPT-2 written for the benchmark (bare_gpt.py: scaled-dot-product attention, fused AdamW,
clipping), eager and compiled. This loop and the bare one compute in what the machine does natively (bf16,
else fp32); this loop is compiled where it decides so itself for a rung of 2M tokens. Each has a process of
its own and they take turns, so that what else the machine does falls on all alike; figures are medians of the
rounds, ± half their range. Where there is a GPU, the shapes are GPT-2 124M and 1.5B at context 1,024 and
BERT-base at 512, and the rung is of 2B tokens. How fast a machine is, is not a test: the exit code is 0.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

import torch
import transformers
from speed_contenders import CONTENDERS, DEVICE, DTYPE, PRECISION, RUNG_TOKENS, Contender, Setting

from pipelines.compiling import processor
from pipelines.flops import training_flops_per_token
from pipelines.ladder import Shape
from pipelines.utilisation import peak_flops

SHAPES = {
    "2x64": Setting(Shape(2, 64, 2), vocabulary=2048, context=256, rows=16),
    "4x128": Setting(Shape(4, 128, 4), vocabulary=2048, context=256, rows=16),
    "6x256": Setting(Shape(6, 256, 8), vocabulary=2048, context=256, rows=16),
}
GPU_SHAPES = {
    "gpt2-124m": Setting(Shape(12, 768, 12), vocabulary=50257, context=1024, rows=32),
    "gpt2-1.5b": Setting(Shape(48, 1600, 25), vocabulary=50257, context=1024, rows=8),
    "bert-base": Setting(Shape(12, 768, 12), vocabulary=30522, context=512, rows=64, family="bert"),
}
NAMES = {
    "ours": "this loop",
    "trainer": "transformers Trainer",
    "bare": "bare loop, eager",
    "bare-compiled": "bare loop, compiled",
}
WHOLE_RUNG = "2x64"  # run from beginning to end; of larger ones the start-up, and the rest from their rate
WARM_STEPS, ROUND_S = 2, 3.0

Rates = dict[str, list[float]]  # tokens/s in each round, by contender


class Measured(NamedTuple):
    """A shape's rates, and what a step of this loop takes beyond its forward and backward passes, as a share
    of those."""

    rates: Rates
    overhead: float | None


class Rung(NamedTuple):
    """Seconds of a 2M-token rung from the start of its process, and whether all of it was run."""

    seconds: float
    whole: bool


def main() -> None:
    shapes = GPU_SHAPES if DEVICE == "cuda" else SHAPES
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one round, and no whole rung")
    parser.add_argument("--shapes", nargs="+", choices=shapes, default=list(shapes))
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--worker", nargs=2, metavar=("CONTENDER", "SHAPE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.worker:
        work(*options.worker)
        return
    print(machine(options.threads), flush=True)
    rounds = 1 if options.quick else options.rounds
    measured = {name: measure_shape(name, rounds, options.threads) for name in options.shapes}
    rates = {name: found.rates for name, found in measured.items()}
    print(steady_table(rates), flush=True)
    if DEVICE == "cuda":
        return
    rungs = {name: measure_rungs(name, rates[name], options) for name in options.shapes}
    overhead = max(found.overhead or 0.0 for found in measured.values())
    print(rung_table(rungs), verdicts(rates, rungs, overhead), sep="\n")
    print("\nNo GPU here: GPT-2 124M, GPT-2 1.5B and BERT-base were not run.")


class Worker:
    """A contender in its own process, so that what one does to its process helps no other."""

    def __init__(self, contender: str, shape: str, threads: int, cache: str | None = None) -> None:
        """`cache`: a folder to keep this process's measurements of the machine in, instead of the user's."""
        command = [sys.executable, __file__, "--threads", str(threads), "--worker", contender, shape]
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - it lives as long as the process
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env=os.environ | ({} if cache is None else {"XDG_CACHE_HOME": cache}),
        )

    def __call__(self, warm: int, timed: int) -> tuple[float, float | None]:
        """Tokens/s over `timed` steps after `warm` ones, and the loop's overhead where it is looked at."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{warm} {timed}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            self.errors.seek(0)
            raise RuntimeError(self.errors.read())
        rate, overhead = json.loads(answer)
        return rate, overhead

    def end(self) -> None:
        self.process.communicate()
        self.errors.close()


def work(contender: str, shape: str) -> None:
    """Answer each line `warm timed` with a line, on the standard output that nothing else may use."""
    answers, sys.stdout = sys.stdout, sys.stderr
    run: Contender = CONTENDERS[contender]((SHAPES | GPU_SHAPES)[shape])
    for line in sys.stdin:
        warm, timed = line.split()
        print(json.dumps(run(int(warm), int(timed))), file=answers, flush=True)


def measure_shape(shape: str, rounds: int, threads: int) -> Measured:
    """Each contender's tokens/s in rounds of about `ROUND_S`, in which they take turns."""
    setting = (SHAPES | GPU_SHAPES)[shape]
    names = ["ours"] if setting.family == "bert" else list(CONTENDERS)
    workers = {name: Worker(name, shape, threads) for name in names}
    first = {name: worker(WARM_STEPS, 2)[0] for name, worker in workers.items()}  # compiles, allocates
    steps = {name: max(3, round(ROUND_S * rate / setting.tokens_a_step)) for name, rate in first.items()}
    rates: Rates = {name: [] for name in names}
    overheads = []
    for _ in range(rounds):
        for name, worker in workers.items():
            rate, overhead = worker(WARM_STEPS, steps[name])
            rates[name].append(rate)
            overheads += [] if overhead is None else [overhead]
    for worker in workers.values():
        worker.end()
    measured = ", ".join(f"{name} {statistics.median(values):,.0f}" for name, values in rates.items())
    print(f"measured {shape}: {measured}", file=sys.stderr, flush=True)
    return Measured(rates, statistics.median(overheads) if overheads else None)


def measure_rungs(shape: str, rates: Rates, options: argparse.Namespace) -> dict[str, Rung]:
    """A 2M-token rung from the start of a process: one in whole, others from their start and their rate."""
    a_step = SHAPES[shape].tokens_a_step
    whole = shape == WHOLE_RUNG and not options.quick
    steps = round(RUNG_TOKENS / a_step) if whole else 4
    found = {}
    for name in ("ours", "trainer"):
        with tempfile.TemporaryDirectory() as empty:  # so that deciding whether to compile counts, too
            began = time.perf_counter()
            worker = Worker(name, shape, options.threads, empty)
            worker(1, steps - 1)
            worker.end()
            seconds = time.perf_counter() - began
        left = RUNG_TOKENS - steps * a_step
        found[name] = Rung(seconds + max(0, left) / statistics.median(rates[name]), whole)
    return found


def ratio(rates: Rates, name: str) -> float:
    """How many times `name`'s speed ours is: the median of the rounds' own ratios."""
    return statistics.median(our / other for our, other in zip(rates["ours"], rates[name], strict=True))


def machine(threads: int) -> str:
    device = torch.device(DEVICE)
    peak = peak_flops(device, DTYPE)
    shown = "unknown" if peak is None else f"{peak / 1e12:.2f} TFLOP/s"
    return (
        f"{processor(device)}, {threads} threads; Python {platform.python_version()}, torch "
        f"{torch.__version__}, transformers {transformers.__version__}; {PRECISION} matrix products peak at "
        f"{shown}"
    )


def steady_table(rates: dict[str, Rates]) -> str:
    lines = [
        "\n### Steady state\n",
        "| shape | | tokens/s | ± | utilisation | this loop is |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    peak = peak_flops(torch.device(DEVICE), DTYPE)
    for shape, by_name in rates.items():
        for name, values in by_name.items():
            rate, spread = statistics.median(values), (max(values) - min(values)) / 2
            used = "" if peak is None else f"{rate * flops_per_token(shape) / peak:.0%}"
            times = "" if name == "ours" else f"{ratio(by_name, name):.2f}x"
            lines.append(f"| {shape} | {NAMES[name]} | {rate:,.0f} | {spread:,.0f} | {used} | {times} |")
    lines.append(f"\nUtilisation: model FLOPs over the {PRECISION} peak above, for the fp32 Trainer too.")
    return "\n".join(lines)


def flops_per_token(shape: str) -> int:
    setting = (SHAPES | GPU_SHAPES)[shape]
    family = () if setting.family == "gpt2" else (setting.family,)
    return training_flops_per_token(setting.shape, setting.vocabulary, setting.context, *family)


def rung_table(rungs: dict[str, dict[str, Rung]]) -> str:
    lines = [
        "\n### A rung of 2M tokens, start-up and compiling counted\n",
        "| shape | this loop | Trainer | this loop is | |",
        "| --- | ---: | ---: | ---: | --- |",
    ]
    for shape, found in rungs.items():
        ours, trainer = found["ours"], found["trainer"]
        how = "run in whole" if ours.whole else "start-up run, the rest at the steady rate"
        times = trainer.seconds / ours.seconds
        lines.append(f"| {shape} | {ours.seconds:.0f} s | {trainer.seconds:.0f} s | {times:.2f}x | {how} |")
    return "\n".join(lines)


def verdicts(rates: dict[str, Rates], rungs: dict[str, dict[str, Rung]], overhead: float) -> str:
    """Each figure beside its target."""
    mean = statistics.geometric_mean
    steady = mean(ratio(by_name, "trainer") for by_name in rates.values())
    bare = mean(ratio(by_name, "bare-compiled") for by_name in rates.values())
    rung = mean(found["trainer"].seconds / found["ours"].seconds for found in rungs.values())
    rows = [
        ("steady state over Trainer, geometric mean", f"{steady:.2f}x", "at least 2.0x"),
        ("2M-token rung over Trainer, geometric mean", f"{rung:.2f}x", "at least 1.5x"),
        ("steady state over the bare loop compiled, geometric mean", f"{bare:.2f}x", "at least 1.0x"),
        ("largest overhead over forward and backward, optimiser and all", f"{overhead:.1%}", "under 5 %"),
    ]
    lines = ["\n### Against the targets\n", "| what | measured | target |", "| --- | ---: | ---: |"]
    return "\n".join(lines + [f"| {what} | {measured} | {target} |" for what, measured, target in rows])


if __name__ == "__main__":
    main()
