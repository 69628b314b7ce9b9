"""What a recipe may say: frozen pydantic models, one class a section of the YAML.

All of it is checked before anything is built. `eval`, `tasks` and `report` are sections of other rooms, which
own their models; `recipe_ladder` and `recipe_training` have the sections of their names. `recipe_file` reads
recipes, validates them strictly (text is never a number), and words the errors.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Discriminator, Field, StringConstraints, Tag, model_validator

from eval.safety import check_name
from eval.settings import EvalSettings
from eval.tasks.settings import TaskSettings
from pipelines.recipe_checks import check_recipe
from pipelines.recipe_fields import Count, CountOrZero, Settings, Text, mistake, require_exactly_one
from pipelines.recipe_ladder import Budget, Ladder, one_of
from pipelines.recipe_training import Finetune, Training
from scaling_report.settings import ReportSettings

Slug = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=64), AfterValidator(check_name)
]
BYTES_AND_SPECIALS = 258  # a byte-level vocabulary holds 256 bytes and two special tokens before any merge
LARGEST_VOCABULARY = 10_000_000
DEFAULT_OBJECTIVE: dict[str, Literal["causal-lm", "masked-lm"]] = {"gpt2": "causal-lm", "bert": "masked-lm"}

Patterns = Annotated[tuple[Text, ...], Field(min_length=1)]


class Splits(Settings):
    """Files of a corpus that comes split."""

    train: Patterns
    """Files or globs to train on."""
    validation: Patterns
    """Files or globs for validation."""
    test: Patterns
    """Files or globs for the test."""


class HubNames(Settings):
    """What the splits of a hub corpus are called on the hub."""

    train: Text | None = None
    """To train on; needed by pretraining."""
    validation: Text | None = None
    """For validation; needed by pretraining."""
    test: Text
    """For the test."""


def _files_kind(value: Any) -> str:
    return "splits" if isinstance(value, (dict, Splits)) else "list"


def _column_kind(value: Any) -> str:
    return "name" if isinstance(value, str) else "list"


class Corpus(Settings):
    """The text the ladder is trained on."""

    model_config = one_of("source", "files", "hub")

    source: Literal["python-stdlib"] | None = None
    """`python-stdlib`: the running interpreter's standard library; real text that is already there."""
    files: (
        Annotated[
            Annotated[Patterns, Tag("list")] | Annotated[Splits, Tag("splits")], Discriminator(_files_kind)
        ]
        | None
    ) = None
    """Files or globs, relative to the recipe: .txt, .jsonl, .csv or .parquet, each also gzipped; or such a
    list for each of train, validation and test."""
    hub: Text | None = None
    """A dataset on the Hugging Face hub, by name."""
    config: str | None = None
    """The hub dataset's configuration, such as `wikitext-103-raw-v1`."""
    revision: str | None = None
    """The hub dataset's commit, tag or branch."""
    split: str = "train"
    """The hub dataset's split that is read; train, validation and test are cut from it."""
    splits: HubNames | None = None
    """The hub dataset's own splits, each used as it is, in the place of one that is cut."""
    text_column: Annotated[
        Annotated[Text, Tag("name")]
        | Annotated[tuple[Text, ...], Field(min_length=1, max_length=16), Tag("list")],
        Discriminator(_column_kind),
    ] = "text"
    """The column that holds the text, for tables and hub datasets; of a list, each on a line of its own."""
    document_start: Text | None = None
    """A regular expression; a line of a text file that it matches begins a new document."""
    validation_fraction: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    """Share of the files (or documents) kept for validation."""
    test_fraction: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    """Share of the files (or documents) kept for testing."""
    min_chars: CountOrZero = 32
    """Shorter documents are left out."""
    max_repetition: Annotated[float, Field(gt=0, le=1)] | None = 0.6
    """Documents with a larger share of repeated lines or word sequences are left out (Rae 2021)."""
    mask: tuple[Literal["email", "ip"], ...] = ()
    """Addresses to replace by a placeholder."""
    near_duplicates: bool = True
    """Remove near duplicates too, not only exact ones."""
    decontaminate: bool = True
    """Keep what the recipe's own evaluation sets hold out of the training text (13-word overlaps)."""
    max_bytes: Count | None = None
    """Stop after this many bytes of text; all of it when left out."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_exactly_one(self, "source", "files", "hub")
        if self.hub is None:
            for name in ("config", "revision", "split", "splits"):
                if name in self.model_fields_set:
                    raise mistake(
                        "only a hub corpus has this; remove it, or name a dataset in corpus.hub", name
                    )
        if self.splits is not None and "split" in self.model_fields_set:
            raise mistake("corpus.splits names each split; remove this", "split")
        if self.splits is not None or isinstance(self.files, Splits):
            where = "files" if self.splits is None else "splits"
            for name in ("validation_fraction", "test_fraction"):
                if name in self.model_fields_set:
                    raise mistake(f"corpus.{where} names each split's own; remove this", name)
        return self


class Tokenizer(Settings):
    """How text becomes tokens."""

    model_config = one_of("train", "pretrained")

    train: Literal["bpe", "wordpiece"] | None = None
    """`bpe`: byte-level, for GPT-2s; `wordpiece`: for BERTs; trained on the corpus."""
    pretrained: Text | None = None
    """A tokenizer by hub name, such as `gpt2`, or by folder (relative to the recipe)."""
    vocab_size: Annotated[int, Field(ge=BYTES_AND_SPECIALS, le=LARGEST_VOCABULARY)] | None = None
    """Tokens of a trained vocabulary, special tokens included."""
    lowercase: bool = True
    """Whether `wordpiece` reads capitals as small letters."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_exactly_one(self, "train", "pretrained")
        if self.train and self.vocab_size is None:
            raise mistake("a trained tokenizer needs its size; add vocab_size: 2048")
        if self.pretrained and self.vocab_size is not None:
            raise mistake("a pretrained tokenizer brings its own size; remove vocab_size", "vocab_size")
        if self.train != "wordpiece" and "lowercase" in self.model_fields_set:
            raise mistake("only a trained wordpiece tokenizer has this; remove it", "lowercase")
        return self


class Recipe(Settings):
    """One ladder, from raw text or existing models to a scaling report."""

    name: Slug
    """Names the run and its folder: small letters, digits and dashes."""
    data: Text | None = None
    """The folder that files are looked up in; the recipe's own when left out."""
    family: Literal["gpt2", "bert"] = "gpt2"
    """The kind of model."""
    objective: Literal["causal-lm", "masked-lm"] | None = None
    """What pretraining learns; causal-lm for gpt2 and masked-lm for bert when left out."""
    corpus: Corpus | None = None
    """The text: `source`, `files` or `hub`; not needed where existing models are only fine-tuned."""
    tokenizer: Tokenizer | None = None
    """Text to tokens: `train` one or take a `pretrained` one; existing models bring theirs."""
    context: Annotated[Count, Field(ge=8, le=1_048_576)] = 256
    """Tokens a model sees at once."""
    ladder: Ladder
    """The model sizes."""
    budget: Budget | None = None
    """How long each is pretrained: `tokens`, `tokens_per_param`, `flops` or `isoflop`."""
    training: Training = Training()
    """How each is pretrained."""
    tasks: Annotated[dict[Slug, TaskSettings], Field(max_length=64, default_factory=dict)]
    """Downstream tasks of your own, by name."""
    finetune: tuple[Finetune, ...] = ()
    """What the rungs are fine-tuned on: tasks above, or those made from a corpus of Python source."""
    eval: EvalSettings = EvalSettings()
    """What is measured, and how."""
    report: ReportSettings = ReportSettings()
    """What the report fits and predicts."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_recipe(self)
        return self

    @property
    def learns(self) -> Literal["causal-lm", "masked-lm"]:
        """The objective of pretraining."""
        return self.objective or DEFAULT_OBJECTIVE[self.family]

    @property
    def pretrains(self) -> bool:
        """Whether rungs are trained on the corpus, from scratch or on from where they are."""
        return self.budget is not None
