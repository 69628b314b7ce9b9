"""What a model can be asked, as token ids; the answers are numbers."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ScoreRequest:
    """How surprising is every token after the first? `ids`: the begin token, then the text's tokens."""

    ids: list[int]


@dataclass(frozen=True)
class TextScore:
    """The answer: nats of every token after the first, (tokens,) float32."""

    losses: NDArray[np.float32]

    @property
    def nats(self) -> float:
        """Their sum, in float64."""
        return float(self.losses.sum(dtype=np.float64))

    @property
    def tokens(self) -> int:
        """How many there are."""
        return len(self.losses)


@dataclass(frozen=True)
class ContinuationRequest:
    """How likely is each of `continuations` after the same `context`? None of them is empty.

    A decoder multiplies the probabilities of a continuation's tokens, each after those before it; an encoder
    those of its tokens hidden one at a time, all others seen (Salazar 2020).
    """

    context: list[int]
    continuations: list[list[int]]


@dataclass(frozen=True)
class ContinuationScore:
    """The answer for one continuation: its `nats`, and whether each of its tokens was the likeliest."""

    nats: float
    greedy: bool


@dataclass(frozen=True)
class GenerateRequest:
    """Continue `prompt` greedily until a stop token or `max_new_tokens`."""

    prompt: list[int]
    max_new_tokens: int


@dataclass(frozen=True)
class ReadRequest:
    """What does the model's head say of the text of `ids`? `types`: BERT's token types, none for GPT-2."""

    ids: list[int]
    types: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class MaskedRequest:
    """How surprising are the `targets` at `places`, where `ids` hides or changes them?"""

    ids: list[int]
    places: list[int]
    targets: list[int]
