"""The stage that measures: a model's folder and a task's folder in; results, samples and items out."""

from __future__ import annotations

from typing import Any

import torch

from eval.evaluate import evaluate as measure
from eval.files import write_jsonl
from eval.loading import fingerprint
from eval.results import Origin, write_results
from eval.settings import EvalSettings
from eval.tasks import TASKS
from pipelines.stages import Job, Tell
from pipelines.store import read_manifest


def evaluate(job: Job, tell: Tell) -> dict[str, Any]:
    """Measure one trained model on one task; its origin stands in the manifest that made it."""
    torch.set_num_threads(job.threads)
    settings = dict(job.stage.settings)
    task = TASKS[settings.pop("task")]
    trained_by = "pretrain" if task.objective == "causal-lm" else "finetune"
    source = job.input(trained_by)
    measured = measure(
        source / "model",
        task.name,
        job.input("prepare"),
        split=settings["split"],
        origin=_origin(job, trained_by),
        settings=EvalSettings(**settings),
    )
    write_results(job.folder / "results.jsonl", measured.results)
    write_jsonl(job.folder / "samples.jsonl", measured.samples)
    write_jsonl(job.folder / "items.jsonl.gz", measured.items)
    return {"results": len(measured.results), "samples": len(measured.samples)}


def _origin(job: Job, trained_by: str) -> Origin:
    source = job.input(trained_by)
    manifest = read_manifest(source)
    assert manifest is not None, f"{source}: an input of a running stage is finished"
    facts, made_with = manifest["facts"], manifest["settings"]
    return Origin(
        run=job.run,
        stage=trained_by,
        family=made_with["family"],
        objective=made_with["objective"],
        rung=made_with["rung"],
        seed=made_with["seed"],
        model_fingerprint=fingerprint(source / "model"),
        **{
            name: facts[name]
            for name in ("params", "tokens", "unique_tokens", "flops", "stage_flops", "step", "annealed")
        },
    )
