"""The two stages that train: `pretrain` a rung from scratch, `finetune` it on a task's rows."""

from __future__ import annotations

import json
import math
from typing import Any

import torch
from transformers import AutoTokenizer

from eval.files import InputError, read_text, write_json
from eval.tasks import TASKS
from eval.tasks.base import Classification, Generation
from eval.tasks.encoding import encode_for_label, encode_pairs, pad_id
from eval.tasks.rows import choose_evenly, read_rows
from pipelines.batches import Batches, Example, PackedWindows, Pairs, open_tokens
from pipelines.flops import training_flops_per_token
from pipelines.fused_loss import IGNORED
from pipelines.ladder import Shape, count_params
from pipelines.models import build_gpt2, load_for, save_model, tune_for_training
from pipelines.objectives import objective
from pipelines.optim import Optimisation
from pipelines.stages import Job, Message, StageFailed, Tell
from pipelines.store import read_manifest
from pipelines.summary import here_and_now
from pipelines.train import Diverged, Progress, Run, make_accelerator, train


def pretrain(job: Job, tell: Tell) -> dict[str, Any]:
    """Train one rung on the packed train stream, as `job.stage.settings` says; returns its facts."""
    settings, hyper = job.stage.settings, job.stage.settings["hyper"]
    source = job.input("prepare-tokens")
    tokenizer = AutoTokenizer.from_pretrained(source / "tokenizer")
    shape, context = Shape(**settings["shape"]), settings["context"]
    decisions = _decide(job)
    model = build_gpt2(
        shape, len(tokenizer), context, tokenizer.eos_token_id, pad_id(tokenizer), settings["seed"]
    )
    data = PackedWindows(
        open_tokens(source / "train.npy"), context, hyper["batch_tokens"] // context, settings["seed"]
    )
    how = Optimisation(
        warmup_steps=round(hyper["warmup_tokens"] / hyper["batch_tokens"]),
        **{name: hyper[name] for name in _SHARED_HYPER},
        steps=hyper["steps"],
        decay_fraction=hyper["decay_fraction"],
    )
    facts = _train(job, tell, model, "causal-lm", data, how, decisions, math.log(len(tokenizer)))
    save_model(model, tokenizer, job.folder / "model")
    flops_per_token = training_flops_per_token(shape, len(tokenizer), context)
    flops = flops_per_token * facts["tokens"]
    return facts | {
        "params": count_params(shape, len(tokenizer), context),
        "unique_tokens": min(facts["tokens"], data.unique_tokens),
        "flops_per_token": flops_per_token,
        "flops": flops,
        "stage_flops": flops,
        "step": how.steps,
        "annealed": how.annealed,
        **decisions,
        **here_and_now(),
    }


def finetune(job: Job, tell: Tell) -> dict[str, Any]:
    """Train a pretrained rung on a task's rows; tokens and FLOPs count on from the pretraining."""
    settings = job.stage.settings
    source = job.input("pretrain")
    manifest = read_manifest(source)
    assert manifest is not None, f"{source}: an input of a running stage is finished"
    before = manifest["facts"]
    tokenizer = AutoTokenizer.from_pretrained(source / "model")
    examples, labels = _examples(job, tokenizer)
    decisions = _decide(job)
    model = load_for(settings["objective"], source / "model", labels, settings["seed"])
    data = Pairs(examples, settings["batch_size"], settings["context"], pad_id(tokenizer), settings["seed"])
    steps = max(1, math.ceil(settings["epochs"] * data.steps_an_epoch))
    how = Optimisation(
        **{name: settings[name] for name in _SHARED_HYPER},
        steps=steps,
        warmup_steps=round(settings["warmup_fraction"] * steps),
        decay_fraction=1.0,
    )
    outputs = len(labels) if labels else len(tokenizer)
    facts = _train(job, tell, model, settings["objective"], data, how, decisions, math.log(outputs) * 1.5)
    save_model(model, tokenizer, job.folder / "model")
    flops = _flops(data, steps, Shape(**settings["shape"]), outputs)
    return facts | {
        "params": before["params"],
        "rows": len(examples),
        "stage_tokens": facts["tokens"],
        "tokens": before["tokens"] + facts["tokens"],
        "unique_tokens": before["unique_tokens"] + min(facts["tokens"], data.unique_tokens),
        "flops": before["flops"] + flops,
        "stage_flops": flops,
        "step": steps,
        "annealed": before["annealed"] and how.annealed,
        **decisions,
    }


_SHARED_HYPER = ("learning_rate", "schedule", "weight_decay", "beta1", "beta2", "clip")


def _train(
    job: Job,
    tell: Tell,
    model: Any,
    name: str,
    data: Batches,
    how: Optimisation,
    decisions: dict[str, Any],
    highest_loss_nats: float,
) -> dict[str, Any]:
    accelerator = make_accelerator(decisions["precision"])
    dtype = torch.bfloat16 if decisions["precision"] == "bf16" else torch.float32
    tune_for_training(model, on_cpu=accelerator.device.type == "cpu")

    def on_progress(progress: Progress) -> None:
        tell(Message(job.stage.id, "progress", vars(progress)))

    run = Run(
        batches=data,
        how=how,
        folder=job.folder,
        log_every_tokens=job.log_every_tokens,
        checkpoint_every_s=job.checkpoint_every_s,
        on_progress=on_progress,
        on_warning=lambda text: tell(Message(job.stage.id, "warning", {"text": text})),
        highest_loss_nats=highest_loss_nats,
    )
    try:
        return train(objective(name, model, dtype), run, accelerator)
    except Diverged as error:
        raise StageFailed(f"diverged: {error}") from error


def _decide(job: Job) -> dict[str, Any]:
    """What this machine chooses once a stage and a resumed stage must choose again: precision and threads."""
    path = job.folder / "decisions.json"
    if path.is_file():
        decisions: dict[str, Any] = json.loads(read_text(path))
    else:
        asked = job.stage.settings["precision"]
        native = "bf16" if _has_native_bf16() else "fp32"
        decisions = {"precision": native if asked == "auto" else asked, "threads": job.threads}
        write_json(path, decisions)
    torch.set_num_threads(decisions["threads"])
    return decisions


def _has_native_bf16() -> bool:
    """Whether bf16 products run in hardware here; emulated ones are slower than float32."""
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def _examples(job: Job, tokenizer: Any) -> tuple[list[Example], list[str] | None]:
    """The task's train rows as token ids, as evaluation reads them; the labels if it has any."""
    settings = job.stage.settings
    task = TASKS[settings["task"]]
    rows = read_rows(task, job.input("prepare"), "train")
    limit = min(settings["max_tokens"], settings["context"])
    if isinstance(task, Classification):
        labels = sorted({task.label(row) for row in rows})
        if len(labels) < 2:
            raise InputError(
                f"{task.name}: the train rows have one label, {labels[0]!r}; at least two are needed"
            )
        rows = choose_evenly(rows, settings["max_rows"])
        texts = encode_for_label(task, tokenizer, rows, limit)
        return [
            Example(tuple(ids), labels.index(task.label(row))) for ids, row in zip(texts, rows, strict=True)
        ], labels
    assert isinstance(task, Generation), task.name
    rows = choose_evenly(rows, settings["max_rows"])
    return [
        Example((*pair.prompt, *pair.target), (*[IGNORED] * len(pair.prompt), *pair.target))
        for pair in encode_pairs(task, tokenizer, rows, limit)
    ], None


def _flops(data: Batches, steps: int, shape: Shape, outputs: int) -> int:
    lengths = [length for step in range(steps) for length in data.lengths(step)]
    return sum(length * training_flops_per_token(shape, outputs, length) for length in lengths)
