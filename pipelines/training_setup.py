"""What every training stage shares: the machine's decisions, and one call that trains a model on batches."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from eval.files import InputError, read_sealed, write_sealed
from pipelines.batches import Batches
from pipelines.compiling import decide_compile
from pipelines.early_stopping import Validation
from pipelines.energy import training_meter
from pipelines.environment import check_trackers
from pipelines.fast import tune_for_training
from pipelines.micro_batch import find_micro_tokens
from pipelines.models import save_model
from pipelines.objectives import Objective, objective
from pipelines.optim import Optimisation
from pipelines.ranks import make_accelerator, whole
from pipelines.stages import Job, Message, StageFailed, Tell
from pipelines.trackers import end_trackers, start_trackers
from pipelines.train import Diverged, Run, train
from pipelines.training_log import Progress
from pipelines.utilisation import peak_flops

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, kw_only=True)
class Training:
    """One training: what is learnt from which batches, how, and where its log and checkpoints go."""

    objective: str
    batches: Batches
    how: Optimisation
    folder: Path
    highest_loss_nats: float
    padded: bool
    """Whether batches differ in length, so that a compiled model would be compiled again and again."""
    options: dict[str, Any]
    """Of the objective: label_smoothing, class_weights."""
    flops_per_token: float | None = None
    validation: Validation | None = None
    start: Path | None = None
    keep_at: int | None = None


def decide(job: Job, folder: Path | None = None) -> dict[str, Any]:
    """What this machine chooses once for a stage, and a resumed stage reuses: precision and threads."""
    path = (folder or job.folder) / "decisions.json"
    try:
        decisions = read_sealed(path)
    except InputError:  # not decided yet, or a kill or a flipped bit spoilt the file
        asked = job.stage.settings["precision"]
        decisions = {"precision": native_precision() if asked == "auto" else asked, "threads": job.threads}
        _keep(job, path, decisions)
    torch.set_num_threads(decisions["threads"])
    return decisions


def train_model(job: Job, tell: Tell, model: Any, training: Training) -> tuple[dict[str, Any], Objective]:
    """Train `model`; returns the loop's facts with the machine's decisions, and the objective around it.

    Raises StageFailed where training diverges.
    """
    decisions = decide(job, training.folder)
    loop = job.loop
    check_trackers(loop.trackers)
    accelerator = make_accelerator(
        decisions["precision"],
        sharding=loop.sharding,
        deepspeed=loop.deepspeed,
        trackers=loop.trackers,
        folder=training.folder,
    )
    start_trackers(accelerator, job.stage.id, job.stage.settings)
    tune_for_training(model, on_cpu=accelerator.device.type == "cpu")
    if loop.activation_checkpointing:
        # transformers renamed it within version 5
        getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)()
    module = objective(training.objective, model, DTYPES[decisions["precision"]], **training.options)
    decisions = _decide_more(job, decisions, module, training, accelerator)

    run = _run(job, tell, training, decisions, accelerator)
    begun_before = any((training.folder / "checkpoints").glob("step-*"))
    meter = training_meter(accelerator.device, decisions["threads"], begun_before=begun_before)
    try:
        facts = train(module, run, accelerator)
        facts |= meter.facts(accelerator)
    except Diverged as error:
        raise StageFailed(f"diverged: {error}") from error
    finally:
        meter.close()
        end_trackers(accelerator)
    return facts | decisions, module


def _run(job: Job, tell: Tell, training: Training, decisions: dict[str, Any], accelerator: Any) -> Run:
    """What the loop is asked to do; what it says goes to whoever watches the stage."""

    def on_progress(progress: Progress) -> None:
        tell(Message(job.stage.id, "progress", vars(progress)))

    def on_micro_change(micro_tokens: int) -> None:
        decisions["micro_tokens"] = micro_tokens
        _keep(job, training.folder / "decisions.json", decisions)

    return Run(
        batches=training.batches,
        how=training.how,
        folder=training.folder,
        log_every_tokens=job.loop.log_every_tokens,
        checkpoint_every_s=job.loop.checkpoint_every_s,
        on_progress=on_progress,
        on_warning=lambda text: tell(Message(job.stage.id, "warning", {"text": text})),
        on_resume=lambda step: tell(Message(job.stage.id, "resumed", {"step": step})),
        highest_loss_nats=training.highest_loss_nats,
        seed=job.stage.settings["seed"],
        micro_tokens=decisions["micro_tokens"],
        on_micro_change=on_micro_change,
        compile=decisions["compile"],
        flops_per_token=training.flops_per_token,
        peak_flops=_peak(training, decisions["precision"], accelerator),
        validation=training.validation,
        start=training.start,
        zero=job.loop.deepspeed is not None,
        keep_at=training.keep_at,
    )


def _peak(training: Training, precision: str, accelerator: Any) -> float | None:
    """What the machine could do, where it is known how much the training does."""
    if training.flops_per_token is None:
        return None
    return peak_flops(accelerator.device, DTYPES[precision])


def _decide_more(
    job: Job, decisions: dict[str, Any], module: Objective, training: Training, accelerator: Any
) -> dict[str, Any]:
    """Add what can be decided only with the model at hand: the micro-batch, and whether to compile.

    Decided once and kept; anew where the recipe now asks for something else, as after running out of memory.
    """
    asked = {"micro_tokens": job.loop.micro_tokens, "compile": job.loop.compile}
    if decisions.get("asked") == asked:
        return decisions
    decisions["asked"] = asked
    module.train()  # with dropout, as it will be
    decisions["micro_tokens"] = job.loop.micro_tokens or find_micro_tokens(
        module, training.batches, accelerator
    )
    # ranks would each measure something else, and must do the same
    alone = accelerator.num_processes == 1 and job.loop.deepspeed is None
    if job.loop.compile == "auto" and not training.padded and alone:
        decision = decide_compile(
            module,
            training.batches,
            training.how,
            micro_tokens=decisions["micro_tokens"],
            autocast=accelerator.autocast,
            device=accelerator.device,
        )
        decisions |= {"compile": decision.compile, "compile_reason": decision.reason}
    else:
        decisions |= {"compile": job.loop.compile == "on"}
    _keep(job, training.folder / "decisions.json", decisions)
    return decisions


def _keep(job: Job, path: Path, decisions: dict[str, Any]) -> None:
    if job.rank == 0:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_sealed(path, decisions)


def native_precision() -> str:
    """The precision this machine computes in natively; emulated bf16 is slower than float32."""
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bf16" if native else "fp32"


def leave_model(model: Any, tokenizer: Any, folder: Path, rank: int) -> None:
    """Save a trained model in `folder`. Every rank has to call it, for its share; the first one writes."""
    weights = whole(model.state_dict(keep_vars=True))  # the parameters themselves, so that tied ones stay one
    if rank == 0:
        save_model(model, tokenizer, folder, weights)


def refuse_small_vocabulary(model: Any, tokenizer: Any, where: str) -> None:
    """Raise InputError for a tokenizer with ids that the model has no embedding for."""
    rows = model.get_input_embeddings().num_embeddings
    if len(tokenizer) > rows:
        raise InputError(
            f"{where}: the tokenizer has {len(tokenizer)} ids, the model {rows}; they do not belong together"
        )
