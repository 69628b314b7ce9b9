"""Compare the memory that `stepladder plan` predicts with what real training steps hold on this processor.

    python benchmarks/training_memory.py

Each shape trains a few steps, with this package's own objective and optimiser, in a process of its own. Two
measures: the most bytes of tensors at once, from the profiler's record of every allocation; and by how much
the process's peak resident memory (VmHWM) rose above what it was before the model was built.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pipelines.ladder import Shape
from pipelines.memory import Work, count_memory

HYPER = {
    "learning_rate": 1e-3, "steps": 10, "warmup_steps": 1, "schedule": "wsd", "decay_fraction": 0.2,
    "weight_decay": 0.1, "beta1": 0.9, "beta2": 0.95, "clip": 1.0, "momentum": 0.9,
}  # fmt: skip
# family, shape, vocabulary, context, batch tokens, tokens at once, checkpointing, optimiser, dropout
CASES: list[tuple[str, Shape, int, int, int, int, bool, str, float]] = [
    ("gpt2", Shape(2, 64, 4), 2048, 256, 4096, 4096, False, "adamw", 0.0),
    ("gpt2", Shape(2, 64, 4), 2048, 256, 4096, 4096, True, "adamw", 0.0),
    ("gpt2", Shape(4, 256, 8), 2048, 256, 4096, 4096, False, "adamw", 0.0),
    ("gpt2", Shape(4, 256, 8), 2048, 256, 4096, 4096, True, "adamw", 0.0),
    ("gpt2", Shape(4, 256, 8), 2048, 256, 4096, 1024, False, "adamw", 0.0),
    ("gpt2", Shape(4, 256, 8), 2048, 256, 4096, 1024, False, "adamw", 0.1),
    ("gpt2", Shape(4, 256, 8), 8192, 256, 1024, 1024, False, "sgd", 0.0),
    ("gpt2", Shape(8, 512, 8), 2048, 128, 512, 256, False, "adamw", 0.0),
    ("bert", Shape(4, 256, 8), 2048, 128, 4096, 4096, False, "adamw", 0.0),
    ("bert", Shape(4, 256, 8), 2048, 128, 4096, 4096, True, "adamw", 0.0),
]


def main() -> None:
    """A row a case: predicted, held by tensors, resident."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", type=int, help="measure this one here and print JSON")
    asked = parser.parse_args()
    if asked.case is not None:
        print(json.dumps(measure(*CASES[asked.case])))
        return
    print("| shape | vocabulary | context | at once | | predicted | tensors | | resident | |")
    print("| --- | ---: | ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: |")
    for number, case in enumerate(CASES):
        command = [sys.executable, "-W", "ignore", __file__, "--case", str(number)]
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True
        )
        found = json.loads(done.stdout)
        family, shape, vocabulary, context, _, at_once, again, optimizer, dropout = case
        how = ", ".join(
            word
            for word in (
                family,
                "checkpointing" if again else "",
                optimizer,
                f"dropout {dropout}" * (dropout > 0),
            )
            if word
        )
        predicted = found["predicted"]
        cells = [f"{value / 2**20:.0f} MiB" for value in (predicted, found["tensors"], found["resident"])]
        print(
            f"| {shape} | {vocabulary:,} | {context} | {at_once:,} | {how} | {cells[0]} | {cells[1]} | "
            f"{predicted / found['tensors']:.2f}x | {cells[2]} | {predicted / found['resident']:.2f}x |",
            flush=True,
        )


def measure(
    family: str,
    shape: Shape,
    vocabulary: int,
    context: int,
    batch_tokens: int,
    at_once: int,
    again: bool,
    optimizer: str,
    dropout: float,
) -> dict[str, int]:
    """Bytes: `predicted`, held by `tensors`, `resident` above what the libraries hold."""
    from torch.profiler import ProfilerActivity, profile

    from pipelines import probe_worker

    work = Work(
        shape=shape,
        family=family,
        vocab_size=vocabulary,
        context=context,
        tokens_at_once=at_once,
        optimizer=optimizer,
        dropout=dropout,
        checkpointing=again,
        fused_attention=False,
        scored_share=1.0 if family == "gpt2" else 0.15,
    )
    settings: dict[str, Any] = {
        "family": family,
        "objective": "causal-lm" if family == "gpt2" else "masked-lm",
        "vocab_size": vocabulary,
        "context": context,
        "precision": "fp32",
        "threads": 1,
        "hyper": HYPER | {"batch_tokens": 256, "optimizer": optimizer, "dropout": dropout},
    }
    # the libraries' own memory, with what they load at the first step of a model of no size
    tiny = settings | {"shape": vars(Shape(1, 16, 1)), "vocab_size": 300, "context": 32}
    step, _, _ = probe_worker.make_steps(tiny)
    step(0)
    before = high_water()
    real = settings | {"shape": vars(shape), "micro_tokens": at_once, "checkpointing": again}
    real["hyper"] = real["hyper"] | {"batch_tokens": batch_tokens}
    step, _, _ = probe_worker.make_steps(real)
    for number in range(3):
        step(number)
    resident = high_water() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        step(3)
    memory = count_memory(work)
    return {
        "predicted": memory.peak,
        "tensors": memory.weights + memory.optimiser + most_at_once(seen),
        "resident": resident,
    }


def most_at_once(seen: Any) -> int:
    """The most bytes that a profiled step held of what it allocated itself."""
    events = [event for event in seen.profiler.kineto_results.events() if event.name() == "[memory]"]
    now = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        most = max(most, now)
    return most


def high_water() -> int:
    """This process's peak resident memory in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no VmHWM in /proc/self/status; this needs Linux")


if __name__ == "__main__":
    main()
