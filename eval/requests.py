"""What a model can be asked, as token ids; the answers are numbers."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class ScoreRequest:
    """How surprising is every token after the first? `ids`: the begin token, then the text's tokens."""

    ids: list[int]


@dataclass(frozen=True)
class TextScore:
    """The answer: `nats` summed over the `tokens` scored (the first is context only)."""

    nats: float
    tokens: int


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
