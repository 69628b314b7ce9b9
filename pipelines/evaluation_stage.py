"""The stage that measures: a model's folder and a task's folder in; results, samples, items and facts out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from eval.evaluate import evaluate as measure
from eval.files import write_json, write_jsonl
from eval.ranks import Ranks
from eval.results import write_results
from eval.settings import EvalSettings
from pipelines.examples import task_of
from pipelines.origin import MODEL_STAGES, origin_of
from pipelines.ranks import world_size
from pipelines.stages import Job, Tell


def evaluate(job: Job, tell: Tell) -> dict[str, Any]:
    """Measure one model on one task; its origin stands in the manifest that made it.

    Of several processes each answers its share of the rows, and the first writes.
    """
    torch.set_num_threads(job.threads)
    settings = dict(job.stage.settings)
    task = task_of(settings, job.base)
    source = _model(job)
    ranks = Ranks(job.rank, world_size())
    measured = measure(
        source / "model",
        task,
        job.input("prepare"),
        split=settings["split"],
        origin=origin_of(job.run, source),
        settings=EvalSettings(**{k: v for k, v in settings.items() if k in EvalSettings.model_fields}),
        items_to=job.folder / "items.jsonl.gz",
        ranks=ranks,
    )
    if ranks.is_first:
        write_results(job.folder / "results.jsonl", measured.results)
        write_jsonl(job.folder / "samples.jsonl", measured.samples)
        write_json(job.folder / "facts.json", measured.facts)
    return {"results": len(measured.results), "samples": len(measured.samples)}


def _model(job: Job) -> Path:
    """The folder of the stage that made the model."""
    found = [folder for kind in MODEL_STAGES if (folder := job.find_input(kind)) is not None]
    assert len(found) == 1, f"{job.stage.id} measures one model, not {len(found)}"
    return found[0]
