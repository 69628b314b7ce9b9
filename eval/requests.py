"""What a model can be asked: score a text, continue a prompt, classify a text. Token ids in, numbers out."""

from __future__ import annotations

from dataclasses import dataclass


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
class ClassifyRequest:
    """Which class is the text of `ids`?"""

    ids: list[int]
