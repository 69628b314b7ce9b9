"""A made-up ladder of results like a real quickstart's: known laws, known noise, no model behind it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from eval.results import METRICS, Result, write_results

SIZES = (12_704, 26_816, 55_680, 114_944, 240_640, 499_968, 1_016_064)
NAMES = ("r1-13k", "r2-27k", "r3-56k", "r4-115k", "r5-241k", "r6-500k", "r7-1m")
TWO_SEEDS = 3  # of the smallest rungs
TOKENS = 1_048_576
FLOOR, SCALE, EXPONENT = 1.60, 16.5, 0.35  # bits per byte = FLOOR + SCALE * non_embedding ** -EXPONENT
MAJORITY, BEST_CONSTANT = 0.31, 1.9
WIDTHS = (32, 32, 64, 96, 128, 192, 256)


def ladder(*, seed: int = 0, noise: float = 0.003, missing_rung: bool = True) -> list[Result]:
    """Seven rungs in ten runs: perplexity of every run, two fine-tuned tasks of every rung's first seed.

    Bits per byte follow a power law with a floor, `noise` being the standard deviation of their logarithm;
    accuracy rises above its majority baseline; BLEU stays at its baseline. With `missing_rung`, r4 has no
    BLEU.
    """
    rng = np.random.default_rng(seed)
    runs = [(rung, s) for rung in range(len(SIZES)) for s in range(2 if rung < TWO_SEEDS else 1)]
    results = [one for rung, s in runs for one in _perplexity(rung, s, rng, noise)]
    for rung in range(len(SIZES)):
        results += _classification(rung, rng)
        results += _generation(rung, rng, missing=missing_rung and NAMES[rung] == "r4-115k")
    return results + _baselines()


def write_ladder(path: Path, *, seed: int = 0) -> Path:
    """Write the ladder as a results file; `path` comes back."""
    write_results(path, ladder(seed=seed))
    return path


def result(metric: str, value: float | None, *, size: float = 1000, **changes: object) -> Result:
    """One result with everything filled in; `changes` replace fields, None gets its reason."""
    meaning = METRICS[metric]
    fields: dict[str, object] = {
        "run": "synthetic",
        "stage": "pretrain",
        "family": "gpt2",
        "objective": "causal-lm",
        "rung": f"r-{size:.0f}",
        "params": {"total": int(size) + 65_536, "non_embedding": int(size), "matmul": int(size) + 65_536},
        "tokens": TOKENS,
        "unique_tokens": TOKENS,
        "flops": 6.0 * (size + 65_536) * TOKENS,
        "stage_flops": 6.0 * (size + 65_536) * TOKENS,
        "step": 256,
        "annealed": True,
        "seed": 0,
        "task": "perplexity",
        "split": "test",
        "metric": metric,
        "value": value,
        "stderr": None,
        "n": 180,
        "higher_is_better": meaning.higher_is_better,
        "floor": meaning.floor,
        "ceiling": meaning.ceiling,
        "signature": "context:256|stride:128",
        "model_fingerprint": "0" * 16,
        "data_fingerprint": "d" * 16,
        "versions": {"torch": "2.9.0"},
        "seconds": 0.5,
        **changes,
    }
    missing = dict.fromkeys(
        (name for name, held in fields.items() if held is None), "not measured in this example"
    )
    missing |= {name: "unbounded" for name in ("floor", "ceiling") if fields[name] is None}
    return Result(**fields, missing=missing)  # type: ignore[arg-type]


def _of_rung(rung: int, seed: int) -> dict[str, object]:
    size, head = SIZES[rung], 2048 * WIDTHS[rung]
    flops = 6.0 * (size + head) * TOKENS
    return {
        "size": size,
        "rung": NAMES[rung],
        "params": {"total": size + head + 256 * WIDTHS[rung], "non_embedding": size, "matmul": size + head},
        "flops": flops,
        "stage_flops": flops,
        "seed": seed,
    }


def _perplexity(rung: int, seed: int, rng: np.random.Generator, noise: float) -> list[Result]:
    bits = (FLOOR + SCALE * SIZES[rung] ** -EXPONENT) * float(np.exp(noise * rng.standard_normal()))
    bytes_per_token = 2.9
    values: Sequence[tuple[str, float, float]] = (
        ("bits_per_byte", bits, 0.02),
        ("token_perplexity", 2 ** (bits * bytes_per_token), 2.0),
        ("byte_perplexity", 2**bits, 0.06),
    )
    where = _of_rung(rung, seed)
    return [result(metric, value, stderr=stderr, **where) for metric, value, stderr in values]  # type: ignore[arg-type]


def _classification(rung: int, rng: np.random.Generator) -> list[Result]:
    share = 1 - (1 - MAJORITY) * (SIZES[rung] / SIZES[0]) ** -0.14 + 0.02
    accuracy = share + 0.008 * float(rng.standard_normal())
    task: dict[str, object] = {
        **_of_rung(rung, 0),
        "stage": "finetune",
        "objective": "classification",
        "task": "module-classification",
        "signature": "labels:8",
        "n": 400,
    }
    return [
        result("accuracy", accuracy, stderr=float(np.sqrt(accuracy * (1 - accuracy) / 400)), **task),  # type: ignore[arg-type]
        result("f1_macro", 0.8 * accuracy, stderr=0.022, **task),  # type: ignore[arg-type]
    ]


def _generation(rung: int, rng: np.random.Generator, *, missing: bool) -> list[Result]:
    task: dict[str, object] = {
        **_of_rung(rung, 0),
        "stage": "finetune",
        "objective": "conditional-generation",
        "task": "code-to-docstring",
        "signature": "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.5.1|greedy|max_new_tokens:32",
        "n": 400,
    }
    bleu = None if missing else BEST_CONSTANT + 0.25 * float(rng.standard_normal())
    rouge = None if missing else 0.12 + 0.006 * rung + 0.003 * float(rng.standard_normal())
    return [
        result("bleu", bleu, stderr=None if missing else 0.35, **task),  # type: ignore[arg-type]
        result("rougeL", rouge, stderr=None if missing else 0.008, **task),  # type: ignore[arg-type]
    ]


def _baselines() -> list[Result]:
    nobody = dict.fromkeys(
        (
            "params",
            "tokens",
            "unique_tokens",
            "flops",
            "stage_flops",
            "step",
            "annealed",
            "seed",
            "model_fingerprint",
        )
    )
    common: dict[str, object] = {
        **nobody,
        "stage": "evaluate",
        "family": "baseline",
        "objective": None,
        "n": 400,
    }
    found = (
        ("module-classification", "majority-class", "accuracy", MAJORITY, 0.023),
        ("module-classification", "majority-class", "f1_macro", 0.06, 0.003),
        ("code-to-docstring", "best-constant", "bleu", BEST_CONSTANT, 0.3),
        ("code-to-docstring", "best-constant", "rougeL", 0.11, 0.006),
    )
    return [
        result(metric, value, stderr=stderr, task=task, rung=name, signature="constant", **common)  # type: ignore[arg-type]
        for task, name, metric, value, stderr in found
    ]
