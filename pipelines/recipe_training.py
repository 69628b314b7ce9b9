"""The training parts of a recipe: how rungs are pretrained, how they are fine-tuned, what a loop watches."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from pipelines.recipe_fields import Count, CountOrZero, Fraction, Positive, Settings, Text, mistake

Rate = Annotated[float, Field(gt=0, le=100)]
Share = Annotated[float, Field(ge=0, lt=1)]  # of dropout, of smoothing
Optimizer = Literal["adamw", "sgd", "rmsprop", "adafactor"]
Workers = Annotated[int, Field(ge=1, le=4096)]
CARRIERS = ("small-ladder", "olmo-ladder", "mup")


class Tune(Settings):
    """The sweep of `rule: tune`: learning rates tried on the smallest rungs, the best carried up."""

    carried_by: Literal["auto", "small-ladder", "olmo-ladder", "mup"] = "auto"
    """The rule whose rates are tried and scaled; `auto`: small-ladder, from 60M parameters on olmo-ladder."""
    rungs: Annotated[Count, Field(le=8)] = 2
    """How many of the smallest rungs are swept."""
    factors: Annotated[tuple[Rate, ...], Field(min_length=3, max_length=15)] = (0.25, 0.5, 1.0, 2.0, 4.0)
    """What the rule's rate is multiplied with."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if any(a >= b for a, b in pairwise(self.factors)):
            raise mistake("do not rise; list rising factors, no two alike", "factors")
        return self


class EarlyStopping(Settings):
    """Stop when a validation metric no longer betters, and keep the best weights."""

    metric: Literal["loss", "accuracy", "f1_micro"] = "loss"
    """What is watched on the validation split."""
    patience: Count = 3
    """Stop after this many validations without a better one."""
    every: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Validate after this share of all steps."""


class Lora(Settings):
    """Train low-rank additions instead of the weights (Hu 2021); merged into the weights at the end."""

    r: Annotated[Count, Field(le=4096)] = 8
    """Rank of the additions."""
    alpha: Positive = 16.0
    """The additions are scaled by alpha / r."""
    dropout: Share = 0.0
    """Dropout before the additions."""


def _number_or_mapping(value: Any) -> str:
    return "mapping" if isinstance(value, dict) else "number"


class Training(Settings):
    """How a rung is trained: a named rule, and what replaces its choices."""

    rule: Literal["auto", "tune", "small-ladder", "olmo-ladder", "mup", "fixed"] = "auto"
    """Chooses learning rate, batch, warm-up and the rest from a rung's size (`fixed`: as given here; `tune`:
    by a sweep on the smallest rungs; `auto`: tune where the sweep costs at most a fifth of the ladder)."""
    tune: Tune = Tune()
    """The sweep, for rule `tune`."""
    mup_base_width: Count | None = None
    """Width at which `mup` changes nothing; the smallest rung's when left out."""
    optimizer: Optimizer = "adamw"
    """What moves the weights."""
    momentum: Share = 0.9
    """Momentum of `sgd` and `rmsprop`."""
    learning_rate: Rate | None = None
    """Peak learning rate; the rule's when left out."""
    batch_tokens: Count | None = None
    """Tokens a step, a multiple of the context; the rule's when left out."""
    warmup_tokens: CountOrZero | None = None
    """Tokens until the peak learning rate; the rule's when left out."""
    weight_decay: Annotated[float, Field(ge=0, le=1e3)] | None = None
    """Weight decay of matrices; the rule's when left out."""
    beta2: Fraction | None = None
    """AdamW's beta2; the rule's when left out."""
    schedule: Literal["wsd", "cosine", "linear", "constant"] = "wsd"
    """Learning rate over time; `wsd` is warm-up, stable, decay."""
    decay_fraction: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of the steps over which `wsd` decays; the rule's when left out."""
    clip: Positive = 1.0
    """Gradients are scaled down to this norm."""
    dropout: Share = 0.0
    """Dropout of embeddings, attention and residuals."""
    label_smoothing: Share = 0.0
    """Share of the target's probability spread over all tokens."""
    whole_words: bool = False
    """Masked LM: mask whole words, not single pieces."""
    early_stopping: EarlyStopping | None = None
    """Watch the validation split, and stop in time."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """`auto`: bf16 where the processor has it natively; on older GPUs fp16."""
    log_every_tokens: Count | None = None
    """Tokens between two log lines; about a hundred lines a rung when left out."""
    checkpoint_every_s: Positive = 15.0
    """Seconds between two checkpoints."""
    stalled_after_s: Positive = 1800.0
    """Seconds without a step, or without processor time where there are no steps, before a stage's process is
    taken for hung: it is ended and tried again from its last checkpoint."""
    compile: Literal["auto", "on", "off"] = "auto"
    """torch.compile: `auto` measures whether it repays itself on a long run."""
    micro_tokens: Annotated[Count, Field(ge=16)] | None = None
    """Padded tokens that go through the model at once; memory, not meaning."""
    activation_checkpointing: bool = False
    """Compute activations again on the way back, for memory."""
    sharding: Literal["none", "fsdp"] = "none"
    """`fsdp`: shard weights and moments over the ranks (GPUs)."""
    deepspeed: Text | None = None
    """A DeepSpeed file, passed through: ZeRO 1 or 2. A training that is interrupted begins anew."""
    workers: Annotated[
        Annotated[Workers, Tag("number")] | Annotated[dict[Text, Workers], Tag("mapping")],
        Discriminator(_number_or_mapping),
    ] = 1
    """Processes that train a rung together, with `--executor ray`; a number, or one by rung name."""
    trackers: tuple[Literal["trackio", "tensorboard", "wandb"], ...] = ()
    """Where logs go too, beside log.jsonl."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in ("learning_rate", "batch_tokens"):
            if self.rule == "fixed" and getattr(self, name) is None:
                raise mistake(f"rule 'fixed' chooses nothing; add {name}")
        if self.optimizer != "adamw" and self.learning_rate is None:
            raise mistake(f"the rules' learning rates are adamw's; for {self.optimizer} add learning_rate")
        if self.rule == "tune" and self.learning_rate is not None:
            raise mistake(
                "rule 'tune' finds the learning rate; remove it, or set another rule", "learning_rate"
            )
        if self.mup_base_width is not None and "mup" not in (self.rule, self.tune.carried_by):
            raise mistake("only rule 'mup' has this; remove it", "mup_base_width")
        if self.rule == "mup" and self.optimizer != "adamw":
            raise mistake(f"rule 'mup' is worked out for adamw, not {self.optimizer}", "optimizer")
        if self.deepspeed is not None:
            self._check_deepspeed()
        if self.early_stopping and self.early_stopping.metric != "loss":
            raise mistake(
                "pretraining is watched by its loss; write metric: loss", "early_stopping", "metric"
            )
        return self

    def _check_deepspeed(self) -> None:
        """What does not go with DeepSpeed, whose state no checkpoint holds."""
        for name, asked, advice in (
            ("sharding", self.sharding != "none", "it shares out itself; write none, or remove deepspeed"),
            (
                "precision",
                self.precision == "fp16",
                "it is not used with fp16 here; write bf16, fp32 or auto",
            ),
            ("compile", self.compile == "on", "it is not compiled here; write off or auto"),
            (
                "early_stopping",
                self.early_stopping is not None,
                "it keeps no best weights; remove one of them",
            ),
        ):
            if asked:
                raise mistake(f"DeepSpeed: {advice}", name)


def _kind(value: Any) -> str:
    return "list" if isinstance(value, (list, tuple)) else "number"


class Finetune(Settings):
    """A downstream task that pretrained rungs are fine-tuned on."""

    task: Text
    """A built-in task, or one of the recipe's `tasks`."""
    epochs: Annotated[Positive, Field(le=1e6)] | None = None
    """Passes over the task's training rows; 2, for published BERTs 4 (Turc 2019), when left out."""
    learning_rate: (
        Annotated[
            Annotated[Rate, Tag("number")]
            | Annotated[tuple[Rate, ...], Field(min_length=1, max_length=16), Tag("list")],
            Discriminator(_kind),
        ]
        | None
    ) = None
    """Peak learning rate, or a list to choose from on validation; a third of pretraining's when left out."""
    batch_size: Annotated[Count, Field(le=10**6)] = 32
    """Rows a step."""
    max_rows: Count | None = None
    """Train on this many rows at most."""
    max_tokens: Annotated[Count, Field(ge=2)] | None = None
    """Rows are cut to this many tokens; the context when left out."""
    seeds: Count = 1
    """How many of a rung's pretrained seeds are fine-tuned."""
    optimizer: Optimizer = "adamw"
    """What moves the weights."""
    schedule: Literal["linear", "cosine", "constant", "wsd"] = "linear"
    """Learning rate over time, after the warm-up."""
    warmup_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the steps until the peak learning rate."""
    dropout: Share | None = None
    """Dropout; that of the model's configuration when left out."""
    label_smoothing: Share = 0.0
    """Share of the target's probability spread over all classes, or tokens."""
    class_weights: Literal["balanced"] | dict[str, Positive] | None = None
    """`balanced`, or a weight a label: what rare classes count in the loss."""
    early_stopping: EarlyStopping | None = None
    """Watch the validation rows, and stop in time."""
    lora: Lora | None = None
    """Train low-rank additions only."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.optimizer != "adamw" and self.learning_rate is None:
            raise mistake(f"the usual learning rates are adamw's; for {self.optimizer} add learning_rate")
        return self
