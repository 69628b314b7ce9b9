"""A few lines of one document with the loss of every token in them, for people to look at."""

from __future__ import annotations

from typing import Any

import numpy as np

from eval.metrics.base import Array
from eval.model import Model
from eval.tasks.base import Row

CHARACTERS = 360  # a few hundred bytes: what one looks through


def passage_of(model: Model, row: Row, losses: Any) -> dict[str, Any] | None:
    """The row's id, some characters of its text, where tokens begin in them, and each one's nats.

    They are from a third of the text on, past what files begin with; of a short text the first. `losses`
    (tokens,) are of the whole text. Tokens that begin at one character (bytes of one sign) are one
    here, their nats added. None where the tokenizer does not tell where tokens begin, or the text is empty.
    """
    if not model.tokenizer.is_fast or not len(losses):
        return None
    text, starts = row["text"], token_starts(model, row["text"]).astype(int)
    if len(starts) != len(losses):  # a tokenizer that cuts a text otherwise when asked for places
        return None
    begin = text.find("\n", len(text) // 3) + 1 if len(text) > 3 * CHARACTERS else 0
    first, *_ = [start for start in starts.tolist() if start >= begin] or [0]
    after = [start for start in starts.tolist() if start >= first + CHARACTERS]
    end = after[0] if after else len(text)
    nats: dict[int, float] = {}
    for start, loss in zip(starts.tolist(), losses, strict=True):
        if first <= start < end:
            nats[start - first] = nats.get(start - first, 0.0) + float(loss)
    return {
        "id": str(row["id"]),
        "text": text[first:end],
        "starts": list(nats),
        "nats": [round(one, 3) for one in nats.values()],
    }


def token_starts(model: Model, text: str) -> Array:
    """The character at which each token begins, as a fast tokenizer tells."""
    offsets = model.tokenizer(
        text,
        add_special_tokens=False,
        return_attention_mask=False,
        return_offsets_mapping=True,
        split_special_tokens=True,
        verbose=False,
    )["offset_mapping"]
    return np.array([begin for begin, _ in offsets], dtype=float)
