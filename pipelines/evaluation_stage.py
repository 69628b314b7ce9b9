"""The stage that measures: a model's folder and a task's folder in; results, samples and items out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from eval.evaluate import evaluate as measure
from eval.files import write_jsonl
from eval.loading import fingerprint
from eval.results import Origin, write_results
from eval.settings import EvalSettings
from pipelines.examples import task_of
from pipelines.stages import Job, Tell
from pipelines.store import read_manifest

MODEL_STAGES = ("finetune", "pretrain", "fetch")


def evaluate(job: Job, tell: Tell) -> dict[str, Any]:
    """Measure one model on one task; its origin stands in the manifest that made it."""
    torch.set_num_threads(job.threads)
    settings = dict(job.stage.settings)
    task = task_of(settings, job.base)
    made_by, source = _model(job)
    measured = measure(
        source / "model",
        task,
        job.input("prepare"),
        split=settings["split"],
        origin=_origin(job, made_by, source),
        settings=EvalSettings(**{k: v for k, v in settings.items() if k in EvalSettings.model_fields}),
    )
    write_results(job.folder / "results.jsonl", measured.results)
    write_jsonl(job.folder / "samples.jsonl", measured.samples)
    write_jsonl(job.folder / "items.jsonl.gz", measured.items)
    return {"results": len(measured.results), "samples": len(measured.samples)}


def _model(job: Job) -> tuple[str, Path]:
    """The kind of stage that made the model, and its folder."""
    found = [(kind, folder) for kind in MODEL_STAGES if (folder := job.find_input(kind)) is not None]
    assert len(found) == 1, f"{job.stage.id} measures one model, not {len(found)}"
    return found[0]


def _origin(job: Job, made_by: str, source: Path) -> Origin:
    manifest = read_manifest(source)
    assert manifest is not None, f"{source}: an input of a running stage is finished"
    facts, made_with = manifest["facts"], manifest["settings"]
    return Origin(
        run=job.run,
        stage=made_by,
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
