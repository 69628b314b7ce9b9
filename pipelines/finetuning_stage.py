"""The stage that fine-tunes: a model on a task's rows, at the learning rate that does best on validation."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from eval.files import InputError, read_sealed, write_sealed
from eval.tasks.encoding import pad_id
from pipelines.batches import Pairs
from pipelines.budget import FINETUNE_RATE_SHARE
from pipelines.early_stopping import Validation, validation_measures
from pipelines.examples import Examples, make_examples
from pipelines.flops import training_flops_per_token
from pipelines.ladder import Shape
from pipelines.lora import merge_lora, wrap_lora
from pipelines.models import load_for
from pipelines.optim import Optimisation, optimisation
from pipelines.ranks import said_by_first
from pipelines.stages import Job, StageFailed, Tell
from pipelines.store import read_manifest
from pipelines.training_setup import Training, leave_model, train_model
from pipelines.using.task_file import TaskFile, write_task_file


def finetune(job: Job, tell: Tell) -> dict[str, Any]:
    """Train a model on a task's rows; tokens and FLOPs count on from its pretraining.

    With several learning rates each is tried in a folder of its own, `trial-<rate>`, and the one with the
    lowest validation loss stays.
    """
    settings = job.stage.settings
    source = _source(job)
    tokenizer = AutoTokenizer.from_pretrained(source / "model")
    examples = make_examples(job, tokenizer, "train")
    rates = _rates(job, source)
    if len(rates) == 1:
        facts = _train(job, tell, tokenizer, examples, rates[0], job.folder)
    else:
        facts = _best_of(job, tell, tokenizer, examples, rates)
    if job.rank == 0:
        write_task_file(
            job.folder / "model",
            TaskFile(
                task=settings["task"],
                definition=settings["definition"],
                objective=settings["objective"],
                max_tokens=settings["max_tokens"],
            ),
        )
    return _with_pretraining(job, source, facts) | {"rows": len(examples.members)}


def _best_of(job: Job, tell: Tell, tokenizer: Any, examples: Examples, rates: list[float]) -> dict[str, Any]:
    """Try each rate, keep the model with the lowest validation loss; a finished trial is not run again.

    `chosen.json` is written before anything is moved or deleted, so that a kill in between loses nothing.
    """
    chosen = job.folder / "chosen.json"
    if not said_by_first(_kept(chosen) is not None):
        trials = {rate: _trial(job, tell, tokenizer, examples, rate) for rate in rates}
        if job.rank == 0:
            write_sealed(chosen, _choose(trials))
    if job.rank != 0:
        return {"tokens": 0, "unique_tokens": 0, "stage_flops": 0, "annealed": True}  # the first one's count
    facts = read_sealed(chosen)
    for name in ("model", "log.jsonl", "validation.jsonl", "decisions.json"):
        source, target = _trial_folder(job, facts["learning_rate"]) / name, job.folder / name
        if source.exists():
            if target.is_dir():
                shutil.rmtree(target)
            source.replace(target)
    for rate in rates:
        shutil.rmtree(_trial_folder(job, rate), ignore_errors=True)
    return facts


def _trial_folder(job: Job, rate: float) -> Path:
    return job.folder / f"trial-{rate:g}"


def _trial(job: Job, tell: Tell, tokenizer: Any, examples: Examples, rate: float) -> dict[str, Any]:
    folder = _trial_folder(job, rate)
    done = folder / "facts.json"
    if found := said_by_first(_kept(done) if job.rank == 0 else None):
        return found
    folder.mkdir(exist_ok=True)
    try:
        facts = _train(job, tell, tokenizer, examples, rate, folder)
    except StageFailed as failure:  # a rate that is too high is a finding, not the end
        facts = {"validation_loss_nats": None, "missing": {"validation_loss_nats": str(failure)}}
    if job.rank == 0:
        write_sealed(done, facts)
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    return facts


def _kept(path: Path) -> dict[str, Any] | None:
    """What a finished part of the search left; None where it is not there whole, and is to be done again."""
    try:
        return read_sealed(path)
    except InputError:
        return None


def _choose(trials: dict[float, dict[str, Any]]) -> dict[str, Any]:
    """The facts of the trial with the lowest validation loss, with what else was tried.

    Raises StageFailed where every rate diverged.
    """
    losses = {rate: facts["validation_loss_nats"] for rate, facts in trials.items()}
    usable = [rate for rate, loss in losses.items() if loss is not None]
    if not usable:
        said = "; ".join(f"{rate:g}: {f['missing']['validation_loss_nats']}" for rate, f in trials.items())
        raise StageFailed(f"no learning rate of {len(trials)} worked: {said}")
    best = min(usable, key=lambda rate: losses[rate])
    return trials[best] | {
        "rates_tried": [
            {"learning_rate": rate, "validation_loss_nats": loss} for rate, loss in losses.items()
        ],
        # a trial that diverged is not counted: nobody knows how far it came
        "search_flops": sum(trials[rate]["stage_flops"] for rate in usable if rate != best),
    }


def _train(
    job: Job, tell: Tell, tokenizer: Any, examples: Examples, rate: float, folder: Path
) -> dict[str, Any]:
    """One training at one rate, its model saved in `folder/model`; facts of this stage alone."""
    settings = job.stage.settings
    model = load_for(
        settings["objective"],
        _source(job) / "model",
        examples.labels,
        settings["seed"],
        dropout=settings["dropout"],
    )
    if settings["lora"]:
        model = wrap_lora(model, **settings["lora"])
    data = _pairs(job, examples, tokenizer)
    how = _how(settings, rate, data)
    training = Training(
        objective=settings["objective"],
        batches=data,
        how=how,
        folder=folder,
        highest_loss_nats=examples.highest_loss,
        padded=True,
        options={
            "label_smoothing": settings["label_smoothing"],
            "class_weights": examples.weights(settings["class_weights"]),
        },
        validation=_watched(job, tokenizer, how.steps),
    )
    facts, module = train_model(job, tell, model, training)
    if _watches(job):
        held_out = _pairs(job, make_examples(job, tokenizer, "validation"), tokenizer)
        watched = Validation(held_out, held_out.steps_an_epoch)
        found = validation_measures(module, watched, facts["micro_tokens"])
        finite = math.isfinite(found["loss"])
        facts["validation_loss_nats"] = found["loss"] if finite else None
        if not finite:
            facts.setdefault("missing", {})["validation_loss_nats"] = "not finite"
    if settings["lora"]:
        model = merge_lora(model)
    leave_model(model, tokenizer, folder / "model", job.rank)
    return facts | {
        "learning_rate": rate,
        "unique_tokens": min(facts["tokens"], data.unique_tokens),
        "stage_flops": _flops(data, facts, settings, examples.outputs or len(tokenizer)),
        "annealed": how.annealed,
    }


def _how(settings: dict[str, Any], rate: float, data: Pairs) -> Optimisation:
    """The optimisation of a whole number of steps; what decays, decays over all that follows the warm-up."""
    steps = max(1, math.ceil(settings["epochs"] * data.steps_an_epoch))
    return optimisation(
        settings
        | {
            "learning_rate": rate,
            "steps": steps,
            "warmup_steps": round(settings["warmup_fraction"] * steps),
            "decay_fraction": 1.0,
        }
    )


def _pairs(job: Job, examples: Examples, tokenizer: Any) -> Pairs:
    settings = job.stage.settings
    return Pairs(
        examples.members,
        settings["batch_size"],
        settings["context"],
        pad_id(tokenizer),
        settings["seed"],
        settings["objective"],
    )


def _watches(job: Job) -> bool:
    """Whether the validation rows decide anything: when to stop, or which rate stays."""
    return job.stage.settings["early_stopping"] is not None or len(job.stage.settings["learning_rates"]) > 1


def _watched(job: Job, tokenizer: Any, steps: int) -> Validation | None:
    stopping = job.stage.settings["early_stopping"]
    if stopping is None:
        return None
    held_out = _pairs(job, make_examples(job, tokenizer, "validation"), tokenizer)
    return Validation(
        batches=held_out,
        steps=held_out.steps_an_epoch,
        every_steps=max(1, round(stopping["every"] * steps)),
        metric=stopping["metric"],
        patience=stopping["patience"],
    )


def _source(job: Job) -> Path:
    """The folder of the model to begin with."""
    found = job.find_input("pretrain") or job.find_input("fetch")
    assert found is not None, "fine-tuning begins with a pretrained or a fetched model"
    return found


def _rates(job: Job, source: Path) -> list[float]:
    """The learning rates to try: as planned, or a share of what the pretraining's sweep found."""
    settings = job.stage.settings
    if not settings["tuned"]:
        return list(settings["learning_rates"])
    manifest = read_manifest(source)
    assert manifest is not None, f"{source}: an input of a running stage is finished"
    return [manifest["facts"]["learning_rate"] * FINETUNE_RATE_SHARE]


def _with_pretraining(job: Job, source: Path, facts: dict[str, Any]) -> dict[str, Any]:
    """Tokens and FLOPs with those of the model's own training, None where nobody knows them."""
    manifest = read_manifest(source)
    assert manifest is not None, f"{source}: an input of a running stage is finished"
    before = manifest["facts"]
    own = {"tokens": facts["tokens"], "unique_tokens": facts["unique_tokens"], "flops": facts["stage_flops"]}
    return facts | {
        "params": before["params"],
        "stage_tokens": facts["tokens"],
        **{name: None if before[name] is None else before[name] + own[name] for name in own},
        "annealed": before["annealed"] and facts["annealed"],
    }


def _flops(data: Pairs, facts: dict[str, Any], settings: dict[str, Any], outputs: int) -> int:
    """Model FLOPs of all steps taken, those after the best ones too; each row at its own length."""
    shape, family = Shape(**settings["shape"]), settings["family"]
    taken = range(facts.get("trained_steps", facts["step"]))
    lengths = [length for step in taken for length in data.lengths(step)]
    return sum(length * training_flops_per_token(shape, outputs, length, family) for length in lengths)
