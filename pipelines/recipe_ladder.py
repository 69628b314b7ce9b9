"""The ladder's part of a recipe: which sizes, from where, and how long each is trained."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Discriminator, Field, Tag, model_validator

from pipelines.ladder import Rung, Shape, build_rungs, choose_shape, count_non_embedding, parse_shape
from pipelines.recipe_fields import Count, Positive, Settings, Size, Text, mistake, require_exactly_one

MOST_RUNGS = 64
MOST_BUDGETS = 16


def one_of(*names: str) -> ConfigDict:
    """Tell editors, through the JSON Schema, that exactly one of these keys is wanted."""
    return ConfigDict(json_schema_extra={"oneOf": [{"required": [name]} for name in names]})


class Rungs(Settings):
    """The sizes of the ladder, smallest first: to be built, or of models that exist."""

    model_config = one_of("non_embedding", "shapes", "pretrained", "init_from")

    non_embedding: Annotated[tuple[Size, ...], Field(min_length=1, max_length=MOST_RUNGS)] | None = None
    """Wanted non-embedding parameter counts; the nearest shapes are chosen."""
    shapes: Annotated[tuple[Text, ...], Field(min_length=1, max_length=MOST_RUNGS)] | None = None
    """Exact shapes, layers x width: [1x32, 1x64, 2x208]."""
    pretrained: Annotated[tuple[Text, ...], Field(min_length=1, max_length=MOST_RUNGS)] | None = None
    """Existing models, hub names or folders (relative to the recipe): [gpt2, gpt2-medium]."""
    init_from: Text | None = None
    """The folder of a finished run: its pretrained rungs, to be trained on, or fine-tuned, on new data."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_exactly_one(self, "non_embedding", "shapes", "pretrained", "init_from")
        return self

    @property
    def from_scratch(self) -> bool:
        """Whether the models are built here, and not taken from somewhere."""
        return self.pretrained is None and self.init_from is None

    @property
    def kind(self) -> Literal["non_embedding", "shapes"]:
        """Which of the two alternatives for models from scratch is given."""
        return "shapes" if self.shapes is not None else "non_embedding"

    @property
    def wanted(self) -> tuple[float | str, ...]:
        """What the given alternative for models from scratch lists; empty for models that exist."""
        return self.shapes or self.non_embedding or ()


def _kind(value: Any) -> str:
    return "list" if isinstance(value, (list, tuple)) else "number"


class Ladder(Settings):
    """The model sizes, and how often each is trained."""

    rungs: Rungs
    """The sizes: `non_embedding`, `shapes`, `pretrained` or `init_from`."""
    head_size: Count = 32
    """Width of one attention head, the same on every rung; widths are multiples of it."""
    seeds: Annotated[
        Annotated[Count, Field(le=1000), Tag("number")]
        | Annotated[tuple[Annotated[Count, Field(le=1000)], ...], Tag("list")],
        Discriminator(_kind),
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
        if self.rungs.init_from is not None and "seeds" in self.model_fields_set:
            raise mistake("init_from brings the seeds of its run; remove this", "seeds")
        rungs = len(self.rungs.wanted or self.rungs.pretrained or ())
        if isinstance(self.seeds, tuple) and rungs and len(self.seeds) != rungs:
            raise mistake(f"has {len(self.seeds)} numbers for {rungs} rungs; give one a rung", "seeds")
        return self

    def _shape(self, wanted: float | str) -> Shape:
        return (
            parse_shape(wanted, self.head_size)
            if isinstance(wanted, str)
            else choose_shape(wanted, self.head_size)
        )

    def seed_counts(self, rungs: int) -> tuple[int, ...]:
        """How many seeds each of so many rungs has."""
        return self.seeds if isinstance(self.seeds, tuple) else (self.seeds,) * rungs

    def named_rungs(self) -> tuple[Rung, ...]:
        """The rungs built from scratch, smallest first, with names, shapes and seeds."""
        wanted = self.rungs.wanted
        return build_rungs([self._shape(one) for one in wanted], self.seed_counts(len(wanted)))


TokenCount = Annotated[int, Field(ge=1, le=10**15)]
Flops = Annotated[float, Field(gt=0, le=1e30)]


class Budget(Settings):
    """How long a rung is trained."""

    model_config = one_of("tokens", "tokens_per_param", "flops", "isoflop")

    tokens: (
        Annotated[
            Annotated[TokenCount, Tag("number")]
            | Annotated[tuple[TokenCount, ...], Field(min_length=1, max_length=MOST_BUDGETS), Tag("list")],
            Discriminator(_kind),
        ]
        | None
    ) = None
    """Tokens, the same for every rung; a list trains each rung once and anneals it at every count."""
    tokens_per_param: Annotated[Positive, Field(le=1e9)] | None = None
    """Tokens per non-embedding parameter (20: Hoffmann 2022)."""
    flops: Flops | None = None
    """The same training FLOPs for every rung."""
    isoflop: Annotated[tuple[Flops, ...], Field(min_length=1, max_length=MOST_BUDGETS)] | None = None
    """Several FLOPs budgets, each spent on every rung: an iso-FLOP grid (Hoffmann 2022, approach 2)."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_exactly_one(self, "tokens", "tokens_per_param", "flops", "isoflop")
        for name in ("tokens", "isoflop"):
            values = getattr(self, name)
            if isinstance(values, tuple) and any(a >= b for a, b in pairwise(values)):
                raise mistake(f"{list(values)} does not rise; list rising numbers, no two alike", name)
        return self

    @property
    def several(self) -> bool:
        """Whether a rung is annealed at more than one number of tokens."""
        return len(self.isoflop or ()) > 1 or (isinstance(self.tokens, tuple) and len(self.tokens) > 1)
