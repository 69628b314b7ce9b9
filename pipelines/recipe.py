"""What a recipe may say: frozen pydantic models, one class a section of the YAML.

All of it is checked before anything is built. `eval` and `report` are sections of other rooms, which own
their models. `recipe_file` reads recipes, validates them strictly (text is never a number), and words the
errors.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Discriminator, Field, StringConstraints, Tag, model_validator

from eval.settings import EvalSettings
from eval.tasks import TASKS
from pipelines.ladder import Rung, Shape, build_rungs, choose_shape, count_non_embedding, parse_shape
from pipelines.recipe_checks import check_recipe
from pipelines.recipe_fields import (
    Count,
    CountOrZero,
    Fraction,
    Positive,
    Settings,
    Size,
    Text,
    mistake,
    require_exactly_one,
)
from scaling_report.settings import ReportSettings

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=64)]
BYTES_AND_SPECIALS = 258  # a byte-level vocabulary holds 256 bytes and two special tokens before any merge


def _one_of(*names: str) -> ConfigDict:
    """Tell editors, through the JSON Schema, that exactly one of these keys is wanted."""
    return ConfigDict(json_schema_extra={"oneOf": [{"required": [name]} for name in names]})


class Corpus(Settings):
    """The text the ladder is trained on."""

    model_config = _one_of("source", "files", "hub")

    source: Literal["python-stdlib"] | None = None
    """`python-stdlib`: the running interpreter's standard library; real text that is already there."""
    files: Annotated[tuple[Text, ...], Field(min_length=1)] | None = None
    """Files or globs, relative to the recipe: .txt, .jsonl, .csv or .parquet, each also gzipped."""
    hub: Text | None = None
    """A dataset on the Hugging Face hub, by name."""
    config: str | None = None
    """The hub dataset's configuration, such as `wikitext-103-raw-v1`."""
    revision: str | None = None
    """The hub dataset's commit, tag or branch."""
    split: str = "train"
    """The hub dataset's split that is read; train, validation and test are cut from it."""
    text_column: str = "text"
    """The column that holds the text, for tables and hub datasets."""
    validation_fraction: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    """Share of the files (or documents) kept for validation."""
    test_fraction: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    """Share of the files (or documents) kept for testing."""
    near_duplicates: bool = True
    """Remove near duplicates too, not only exact ones."""
    max_bytes: Count | None = None
    """Stop after this many bytes of text; all of it when left out."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_exactly_one(self, "source", "files", "hub")
        if self.hub is None:
            for name in ("config", "revision", "split"):
                if name in self.model_fields_set:
                    raise mistake(
                        "only a hub corpus has this; remove it, or name a dataset in corpus.hub", name
                    )
        return self


class Tokenizer(Settings):
    """How text becomes tokens."""

    model_config = _one_of("train", "pretrained")

    train: Literal["bpe"] | None = None
    """`bpe`: a byte-level BPE trained on the corpus."""
    pretrained: Text | None = None
    """A tokenizer by hub name, such as `gpt2`, or by folder (relative to the recipe)."""
    vocab_size: Annotated[Count, Field(ge=BYTES_AND_SPECIALS)] | None = None
    """Tokens of a trained vocabulary, its 256 bytes and two special tokens included."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_exactly_one(self, "train", "pretrained")
        if self.train and self.vocab_size is None:
            raise mistake("a trained tokenizer needs its size; add vocab_size: 2048")
        if self.pretrained and self.vocab_size is not None:
            raise mistake("a pretrained tokenizer brings its own size; remove vocab_size", "vocab_size")
        return self


class Rungs(Settings):
    """The sizes of the ladder, smallest first."""

    model_config = _one_of("non_embedding", "shapes")

    non_embedding: Annotated[tuple[Size, ...], Field(min_length=1, max_length=64)] | None = None
    """Wanted non-embedding parameter counts; the nearest shapes are chosen."""
    shapes: Annotated[tuple[Text, ...], Field(min_length=1, max_length=64)] | None = None
    """Exact shapes, layers x width: [1x32, 1x64, 2x208]."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_exactly_one(self, "non_embedding", "shapes")
        return self

    @property
    def kind(self) -> Literal["non_embedding", "shapes"]:
        """Which of the two alternatives is given."""
        return "shapes" if self.shapes is not None else "non_embedding"

    @property
    def wanted(self) -> tuple[float | str, ...]:
        """What the given alternative lists."""
        return self.shapes or self.non_embedding or ()


def _seeds_kind(value: Any) -> str:
    return "list" if isinstance(value, (list, tuple)) else "number"


class Ladder(Settings):
    """The model sizes, and how often each is trained."""

    rungs: Rungs
    """The sizes: `non_embedding` (wanted counts) or `shapes`."""
    head_size: Count = 32
    """Width of one attention head, the same on every rung; widths are multiples of it."""
    seeds: Annotated[
        Annotated[Count, Tag("number")] | Annotated[tuple[Count, ...], Tag("list")],
        Discriminator(_seeds_kind),
    ] = 1
    """How many seeds: one number for all rungs, or a list with one number per rung."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        previous = 0
        for index, wanted in enumerate(self.rungs.wanted):
            try:
                size = count_non_embedding(self._shape(wanted))
            except ValueError as error:
                raise mistake(str(error), "rungs", self.rungs.kind, index) from error
            if size <= previous:
                text = (
                    f"gives {size:,} parameters after a rung of {previous:,}; list rising sizes, no two alike"
                )
                raise mistake(text, "rungs", self.rungs.kind, index)
            previous = size
        if isinstance(self.seeds, tuple) and len(self.seeds) != len(self.rungs.wanted):
            text = f"has {len(self.seeds)} numbers for {len(self.rungs.wanted)} rungs; give one a rung"
            raise mistake(text, "seeds")
        return self

    def _shape(self, wanted: float | str) -> Shape:
        return (
            parse_shape(wanted, self.head_size)
            if isinstance(wanted, str)
            else choose_shape(wanted, self.head_size)
        )

    def named_rungs(self) -> tuple[Rung, ...]:
        """The rungs, smallest first, with names, shapes and seeds."""
        wanted = self.rungs.wanted
        seeds = self.seeds if isinstance(self.seeds, tuple) else (self.seeds,) * len(wanted)
        return build_rungs([self._shape(one) for one in wanted], seeds)


class Budget(Settings):
    """How long a rung is trained."""

    model_config = _one_of("tokens", "tokens_per_param", "flops")

    tokens: Count | None = None
    """The same number of tokens for every rung."""
    tokens_per_param: Positive | None = None
    """Tokens per non-embedding parameter (20: Hoffmann 2022)."""
    flops: Positive | None = None
    """The same training FLOPs for every rung."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_exactly_one(self, "tokens", "tokens_per_param", "flops")
        return self


class Training(Settings):
    """How a rung is trained: a named rule, and what replaces its choices."""

    rule: Literal["small-ladder", "olmo-ladder", "fixed"] = "small-ladder"
    """Chooses learning rate, batch, warm-up and the rest from a rung's size (`fixed`: as given here)."""
    learning_rate: Positive | None = None
    """Peak learning rate; the rule's when left out."""
    batch_tokens: Count | None = None
    """Tokens a step, a multiple of the context; the rule's when left out."""
    warmup_tokens: CountOrZero | None = None
    """Tokens until the peak learning rate; the rule's when left out."""
    weight_decay: Annotated[float, Field(ge=0)] | None = None
    """AdamW's weight decay; the rule's when left out."""
    beta2: Fraction | None = None
    """AdamW's beta2; the rule's when left out."""
    schedule: Literal["wsd", "cosine", "linear", "constant"] = "wsd"
    """Learning rate over time; `wsd` is warm-up, stable, decay."""
    decay_fraction: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of the steps over which `wsd` decays; the rule's when left out."""
    clip: Positive = 1.0
    """Gradients are scaled down to this norm."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """`auto`: bf16 where the processor has it natively."""
    log_every_tokens: Count | None = None
    """Tokens between two log lines; about a hundred lines a rung when left out."""
    checkpoint_every_s: Positive = 15.0
    """Seconds between two checkpoints."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in ("learning_rate", "batch_tokens"):
            if self.rule == "fixed" and getattr(self, name) is None:
                raise mistake(f"rule 'fixed' chooses nothing; add {name}")
        return self


class Finetune(Settings):
    """A downstream task that pretrained rungs are fine-tuned on."""

    task: str
    """`code-to-docstring` or `module-classification`."""
    epochs: Positive = 2.0
    """Passes over the task's training rows."""
    learning_rate: Positive | None = None
    """Peak learning rate; a third of the rung's pretraining rate when left out."""
    batch_size: Count = 32
    """Rows a step."""
    max_rows: Count | None = None
    """Train on this many rows at most."""
    max_tokens: Count | None = None
    """Rows are cut to this many tokens; the context when left out."""
    seeds: Count = 1
    """How many of a rung's pretrained seeds are fine-tuned."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        known = [name for name, task in TASKS.items() if task.objective != "causal-lm"]
        if self.task not in known:
            raise mistake(f"{self.task!r} is no task to fine-tune on; choose from {', '.join(known)}", "task")
        return self


class Recipe(Settings):
    """One ladder, from raw text to a scaling report."""

    name: Slug
    """Names the run and its folder: small letters, digits and dashes."""
    family: Literal["gpt2", "bert"] = "gpt2"
    """The kind of model."""
    objective: Literal["causal-lm", "masked-lm"] = "causal-lm"
    """What pretraining learns."""
    corpus: Corpus
    """The text: `source`, `files` or `hub`."""
    tokenizer: Tokenizer
    """Text to tokens: `train` one or take a `pretrained` one."""
    context: Annotated[Count, Field(ge=8, le=1_048_576)] = 256
    """Tokens a model sees at once."""
    ladder: Ladder
    """The model sizes."""
    budget: Budget
    """How long each is trained: `tokens`, `tokens_per_param` or `flops`."""
    training: Training = Training()
    """How each is trained."""
    finetune: tuple[Finetune, ...] = ()
    """Downstream tasks made from the corpus."""
    eval: EvalSettings = EvalSettings()
    """What is measured, and how."""
    report: ReportSettings = ReportSettings()
    """What the report fits and predicts."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_recipe(self)
        return self
