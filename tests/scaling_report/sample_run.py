"""A run.json for the made-up ladder of `synthetic`, by its schema, for tests of what people see."""

from __future__ import annotations

from typing import Any

from tests.scaling_report.synthetic import NAMES, SIZES, TOKENS, TWO_SEEDS, WIDTHS


def sample_run() -> dict[str, Any]:
    """A finished run of seven rungs in ten trainings, and one more training that failed."""
    runs = [(rung, seed) for rung in range(len(SIZES)) for seed in range(2 if rung < TWO_SEEDS else 1)]
    failed = {"status": "failed", "reason": "the loss was NaN at step 211; lower training.learning_rate"}
    unmeasured = dict.fromkeys(("final_loss_nats", "tokens_per_second", "seconds"))
    return {
        "run": "synthetic",
        "made": "2026-01-31T12:04:11+00:00",
        "command": "stepladder run quickstart",
        "recipe_yaml": "name: quickstart\nfamily: gpt2\ncorpus: {source: python-stdlib}\n",
        "machine": {
            "cpu": "A processor with two cores",
            "cores": 2,
            "memory_gib": 7.8,
            "python": "3.12.3",
            "platform": "Linux",
        },
        "versions": {"stepladder": "0.1.0", "torch": "2.9.0", "transformers": "5.0.0"},
        "corpus": {
            "source": "python-stdlib",
            "fingerprint": "cpython-3.12.3-a41c",
            "documents": {"train": 7211, "validation": 391, "test": 402},
            "bytes": {"train": 9_871_200, "validation": 501_200, "test": 513_900},
            "removed": {"near duplicate": {"count": 96, "examples": ["os.py", "ntpath.py"]}, "too short": 14},
        },
        "tasks": {
            "mood": {"overlap": {"with train": {"count": 3, "of": 1821, "examples": ["r7: so it goes"]}}}
        },
        "tokenizer": {"train": "bpe", "vocab_size": 2048, "bytes_per_token": 3.52},
        "rungs": [_rung(rung, seed) for rung, seed in runs] + [{**_rung(4, 1), **failed, **unmeasured}],
        "stages": [
            {"stage": "prepare-corpus", "status": "done", "seconds": 6.1, "reason": None},
            {"stage": "pretrain-r5-241k-s1", "seconds": None, **failed},
        ],
        "curves": [{"rung": NAMES[rung], "seed": 0, "points": _curve(rung)} for rung in range(len(SIZES))],
        "samples": _samples(),
    }


def _rung(rung: int, seed: int) -> dict[str, Any]:
    size, width = SIZES[rung], WIDTHS[rung]
    flops_per_token = 6.0 * (size + 2048 * width)
    return {
        "rung": NAMES[rung],
        "seed": seed,
        "shape": {"n_layer": 1 + rung // 2, "n_embd": width, "n_head": width // 32},
        "params": {"total": size + 2304 * width, "non_embedding": size, "matmul": size + 2048 * width},
        "tokens": TOKENS,
        "unique_tokens": TOKENS,
        "flops": flops_per_token * TOKENS,
        "flops_per_token": flops_per_token,
        "hyper": {
            "learning_rate": 6e-3 / (1 + rung / 3),
            "batch_tokens": 4096,
            "warmup_tokens": 20_480,
            "schedule": "wsd",
            "decay_fraction": 0.2,
            "weight_decay": 0.1,
            "beta1": 0.9,
            "beta2": 0.99,
            "clip": 1.0,
            "steps": 256,
            "tokens": TOKENS,
        },
        "precision": "bf16",
        "threads": 1,
        "tokens_per_second": 52_000 / (1 + rung),
        "seconds": 20.0 * (1 + rung),
        "final_loss_nats": 4.9 - 0.18 * rung,
        "status": "done",
        "reason": None,
    }


def _curve(rung: int) -> list[list[float]]:
    steps = range(4096, TOKENS + 1, 4096)
    return [[tokens, 1.9 + 61 * tokens**-0.3 * SIZES[rung] ** -0.03 - 0.11 * rung] for tokens in steps]


def _samples() -> list[dict[str, Any]]:
    code = "def pop(self):\n    if not self._items:\n        raise IndexError\n    return self._items.pop()\n"
    texts = (
        "Return the the.",
        "Return the item.",
        "Return the last item of the list.",
        "Remove and return the last.",
    )
    return [
        {
            "task": "code-to-docstring",
            "id": "stack.py:Stack.pop",
            "prompt": code,
            "reference": "Remove and return the last item.",
            "outputs": [{"rung": name, "text": text} for name, text in zip(NAMES[::2], texts, strict=True)],
        },
        {
            "task": "module-classification",
            "id": "email/header.py",
            "prompt": "Parse a header value.",
            "reference": "email",
            "outputs": [{"rung": NAMES[0], "text": "asyncio"}, {"rung": NAMES[-1], "text": "email"}],
        },
    ]
