"""Hide tokens for a masked language model to find: the choice, and what stands in their place.

Of a row's maskable tokens 15 % are chosen; of those 80 % become the mask, 10 % another token, 10 % stay
(Devlin 2018, section 3.1). What happens to a row depends on its own generator alone, never on the rows beside
it, and never on padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from eval.files import InputError

IGNORED = -100  # the target where nothing is hidden; torch's own mark
SHARE, MASKED, REPLACED = 0.15, 0.8, 0.1
_CONTINUES = "##"  # begins a WordPiece that continues a word


@dataclass(frozen=True)
class MaskVocabulary:
    """What masking knows of a tokenizer: `cls`, `sep`, `mask` ids, and for every id what may be done to it.

    `maskable` (V,) is false for special tokens; `continues` (V,) is true for pieces inside a word; `ordinary`
    are the ids that may stand in for another.
    """

    cls: int
    sep: int
    mask: int
    maskable: np.ndarray
    continues: np.ndarray
    ordinary: np.ndarray

    @classmethod
    def of(cls, tokenizer: Any) -> MaskVocabulary:
        """That of a BERT's tokenizer. Raises InputError for one without [CLS], [SEP] or [MASK]."""
        ids = (tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.mask_token_id)
        if None in ids:
            raise InputError("tokenizer: has no [CLS], [SEP] or [MASK], which masked-lm needs; name a BERT's")
        maskable = np.ones(len(tokenizer), dtype=bool)
        maskable[list(tokenizer.all_special_ids)] = False
        pieces = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
        continues = np.array([str(piece).startswith(_CONTINUES) for piece in pieces]) & maskable
        return cls(*ids, maskable, continues, np.flatnonzero(maskable))

    def require_words(self) -> None:
        """Raises InputError where pieces do not tell which of them continue a word."""
        if not self.continues.any():
            raise InputError(
                "whole_words: no token of the tokenizer begins with ##, so words cannot be told; set it false"
            )


def mask(
    ids: np.ndarray,
    vocabulary: MaskVocabulary,
    generators: Sequence[np.random.Generator],
    whole_words: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """(inputs, targets) of rows of ids, all (B, T) int64; a target is the hidden id, or IGNORED.

    `generators`: one a row. Of a row's n maskable tokens round(0.15 · n) are chosen, at least one where there
    is one. With `whole_words`, words are chosen until there are so many tokens; the word that would go beyond
    is taken with the probability that keeps the expected number.
    """
    rows, length = ids.shape
    drawn = np.stack([generator.random(1 + 3 * length) for generator in generators])
    spare, by_place = drawn[:, :1], drawn[:, 1:].reshape(rows, length, 3)
    order, fate, stand_in = by_place[..., 0], by_place[..., 1], by_place[..., 2]  # (B, T) each
    maskable = vocabulary.maskable[ids]
    wanted = np.maximum(1, np.round(SHARE * maskable.sum(axis=1))).astype(np.int64)  # (B,)
    if whole_words:
        chosen = _choose_words(maskable, vocabulary.continues[ids], order, wanted, spare)
    else:
        chosen = _choose(maskable, order, wanted)
    others = vocabulary.ordinary[(stand_in * len(vocabulary.ordinary)).astype(np.int64)]
    inputs = np.where(chosen & (fate < MASKED), vocabulary.mask, ids)
    inputs = np.where(chosen & (fate >= 1 - REPLACED), others, inputs)
    return inputs.astype(np.int64), np.where(chosen, ids, IGNORED).astype(np.int64)


def _choose(maskable: np.ndarray, order: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The first `wanted` (B,) maskable places of each row by `order`, as a mask (B, T)."""
    order = np.where(maskable, order, 2.0)
    last = np.take_along_axis(np.sort(order, axis=1), wanted[:, None] - 1, axis=1)  # (B, 1)
    return maskable & (order <= last)


def _choose_words(
    maskable: np.ndarray, continues: np.ndarray, order: np.ndarray, wanted: np.ndarray, spare: np.ndarray
) -> np.ndarray:
    """Whole words of each row, in the order of their first pieces' draws, until `wanted` tokens; (B, T)."""
    rows, length = maskable.shape
    before = np.zeros_like(maskable)
    before[:, 1:] = maskable[:, :-1]
    starts = maskable & ~(continues & before)  # a piece whose word began before the row is a word itself
    word = np.cumsum(starts, axis=1) - 1  # (B, T): each piece's word
    place = np.where(maskable, word, length)  # one more slot, for what is in no word
    sizes = np.zeros((rows, length + 1), dtype=np.int64)
    np.add.at(sizes, (np.arange(rows)[:, None], place), 1)
    sizes[:, length] = 0
    keys = np.full((rows, length + 1), 2.0)
    keys[np.nonzero(starts)[0], word[starts]] = order[starts]
    ranked = np.argsort(keys, axis=1, kind="stable")
    total = np.cumsum(np.take_along_axis(sizes, ranked, axis=1), axis=1)  # tokens up to each word
    size = np.take_along_axis(sizes, ranked, axis=1)
    room = wanted[:, None] - (total - size)
    taken = (size > 0) & (room > 0) & ((room >= size) | (spare * size < room))
    chosen = np.zeros((rows, length + 1), dtype=bool)
    np.put_along_axis(chosen, ranked, taken, axis=1)
    return np.take_along_axis(chosen, place, axis=1) & maskable
