"""The stages that leave a pretrained model: `pretrain` (and `sweep`) a rung, `fetch` one that exists."""

from __future__ import annotations

import math
from typing import Any

from transformers import AutoTokenizer

from eval.files import read_json
from eval.masking import MaskVocabulary
from pipelines.batches import Batches, MaskedWindows, PackedWindows
from pipelines.early_stopping import Validation, validation_measures
from pipelines.flops import training_flops_per_token
from pipelines.ladder import Shape, count_params
from pipelines.models import SpecialIds, build_model, load_for, save_model
from pipelines.mup import scale_model
from pipelines.optim import Optimisation, decay_start, optimisation
from pipelines.rungs import CARRIED_FACTS
from pipelines.stages import Job, StageFailed, Tell
from pipelines.store import read_manifest
from pipelines.summary import here_and_now
from pipelines.token_shards import open_tokens
from pipelines.training_setup import Training, leave_model, refuse_small_vocabulary, train_model


def pretrain(job: Job, tell: Tell) -> dict[str, Any]:
    """Train one rung on the packed train stream, as `job.stage.settings` says; returns its facts.

    Begins with new weights, with a fetched model's, or with the stable state of a shorter training.
    """
    settings = job.stage.settings
    tokenizer = AutoTokenizer.from_pretrained(job.input("prepare-tokens") / "tokenizer")
    hyper = settings["hyper"] | {"learning_rate": _rate(job)}
    how = optimisation(hyper)
    shape, family, context = Shape(**settings["shape"]), settings["family"], settings["context"]
    fetched = job.find_input("fetch")
    # a model that exists has its own positions, and may have rows that the tokenizer has no id for
    vocab_size = len(tokenizer) if fetched is None else settings["vocab_size"]
    params = count_params(shape, vocab_size, context, family) if fetched is None else settings["params"]
    flops_per_token = training_flops_per_token(shape, vocab_size, context, family)
    data = _windows(job, tokenizer, "train", hyper["batch_tokens"])
    shorter = job.find_input("pretrain")
    training = Training(
        objective=settings["objective"],
        batches=data,
        how=how,
        folder=job.folder,
        highest_loss_nats=math.log(len(tokenizer)),
        padded=False,
        options={"label_smoothing": hyper["label_smoothing"]},
        flops_per_token=flops_per_token,
        validation=_watched(job, tokenizer, hyper, how),
        start=None if shorter is None else shorter / "stable",
        keep_at=_branch_point(job, how),
    )
    model = _beginning(job, tokenizer)
    facts, module = train_model(job, tell, model, training)
    if "validation_tokens" in settings:  # a sweep: only its loss is wanted
        held_out = _windows(job, tokenizer, "validation", hyper["batch_tokens"])
        steps = _steps(held_out, settings["validation_tokens"], hyper["batch_tokens"])
        looked_at = Validation(held_out, steps)
        found = validation_measures(module, looked_at, facts["micro_tokens"])
        facts |= {"validation_loss_nats": found["loss"]}
    else:
        leave_model(model, tokenizer, job.folder / "model", job.rank)
    return _facts(job, facts, data, how, flops_per_token) | {
        "params": params,
        "learning_rate": hyper["learning_rate"],
        **here_and_now(),
    }


def sweep(job: Job, tell: Tell) -> dict[str, Any]:
    """A pretraining whose loss at one learning rate is wanted; a rate that diverges has None for it."""
    try:
        return pretrain(job, tell)
    except StageFailed as failure:
        return {"validation_loss_nats": None, "missing": {"validation_loss_nats": str(failure)}}


def fetch(job: Job, tell: Tell) -> dict[str, Any]:
    """Take an existing model in, as safetensors with its tokenizer; facts of its own training where known."""
    settings = job.stage.settings
    where = f"ladder.rungs: {settings['model']}"
    name, revision = settings["model"], settings["revision"]
    model = load_for(settings["objective"], name, None, seed=0, revision=revision)
    tokenizer = AutoTokenizer.from_pretrained(name, revision=revision, trust_remote_code=False)
    refuse_small_vocabulary(model, tokenizer, where)
    save_model(model, tokenizer, job.folder / "model")
    before = dict.fromkeys(CARRIED_FACTS) | settings["before"]
    return before | {
        "params": settings["params"],
        "stage_flops": 0,
        "annealed": before["annealed"] is not False,  # nobody says that of a published model
        **here_and_now(),
    }


def _branch_point(job: Job, how: Optimisation) -> int | None:
    """The step whose state a longer training goes on from: the last before the learning rate falls."""
    if job.stage.kind == "sweep" or how.schedule != "wsd" or not job.stage.settings["leaves_stable"]:
        return None
    return decay_start(how.steps, how.decay_fraction)


def _rate(job: Job) -> float:
    """The peak learning rate: the rule's, times what a sweep found where there was one."""
    rate: float = job.stage.settings["hyper"]["learning_rate"]
    tune = job.find_input("tune")
    if tune is None:
        return rate
    factors = read_json(tune / "choice.json")["factors"]
    return rate * float(factors[job.stage.settings["rung"]])


def _beginning(job: Job, tokenizer: Any) -> Any:
    """The model before its first step: a fetched one, or one with new weights."""
    settings, hyper = job.stage.settings, job.stage.settings["hyper"]
    fetched = job.find_input("fetch")
    if fetched is not None:
        return load_for(
            settings["objective"], fetched / "model", None, settings["seed"], dropout=hyper["dropout"]
        )
    model = build_model(
        settings["family"],
        Shape(**settings["shape"]),
        vocab_size=len(tokenizer),
        context=settings["context"],
        special=SpecialIds.of(tokenizer),
        seed=settings["seed"],
        dropout=hyper["dropout"],
    )
    return scale_model(model, hyper["mup_multiple"])


def _windows(job: Job, tokenizer: Any, split: str, batch_tokens: int) -> Batches:
    """Windows of a split's token stream, masked where the objective masks."""
    settings = job.stage.settings
    stream = open_tokens(job.input("prepare-tokens"), split)
    context, seed = settings["context"], settings["seed"]
    rows = batch_tokens // context
    if settings["objective"] == "masked-lm":
        vocabulary = MaskVocabulary.of(tokenizer)
        return MaskedWindows(stream, context, rows, seed, vocabulary, settings["whole_words"])
    return PackedWindows(stream, context, rows, seed)


def _steps(data: Any, tokens: int, batch_tokens: int) -> int:
    """Whole batches of at most so many tokens, and of what there is; at least one."""
    return max(1, min(tokens, data.unique_tokens) // batch_tokens)


def _watched(job: Job, tokenizer: Any, hyper: dict[str, Any], how: Optimisation) -> Validation | None:
    stopping = job.stage.settings["early_stopping"]
    if stopping is None:
        return None
    held_out = _windows(job, tokenizer, "validation", hyper["batch_tokens"])
    return Validation(
        batches=held_out,
        steps=_steps(held_out, 2**17, hyper["batch_tokens"]),
        every_steps=max(1, round(stopping["every"] * how.steps)),
        metric=stopping["metric"],
        patience=stopping["patience"],
    )


def _facts(
    job: Job, facts: dict[str, Any], data: Any, how: Optimisation, flops_per_token: int
) -> dict[str, Any]:
    """The loop's facts with what came before this stage added: tokens and FLOPs count from the first step.

    A model whose own training nobody knows keeps `None`: a sum with a part missing is no total.
    """
    fetched, shorter = job.find_input("fetch"), job.find_input("pretrain")
    known = {"tokens": 0, "unique_tokens": 0, "flops": 0}
    if fetched is not None:
        manifest = read_manifest(fetched)
        assert manifest is not None, f"{fetched}: an input of a running stage is finished"
        known = {name: manifest["facts"][name] for name in known}
    flops = flops_per_token * facts.get("trained_tokens", facts["tokens"])
    own = {
        "tokens": facts["tokens"],
        "unique_tokens": min(facts["tokens"], data.unique_tokens),
        "flops": flops,
    }
    begun = facts.get("start_tokens", 0) if shorter is not None else 0
    return facts | {
        **{name: None if known[name] is None else known[name] + own[name] for name in own},
        "flops_per_token": flops_per_token,
        "stage_flops": flops - flops_per_token * begun,
        "step": facts.get("step", how.steps),
        # the best weights of a validated training may be those from before the rate fell
        "annealed": how.annealed and facts.get("step", how.steps) == how.steps,
    }
