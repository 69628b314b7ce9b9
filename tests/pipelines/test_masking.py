"""Masking: how much is hidden, by what, and that a row's masks are its own."""

from __future__ import annotations

import numpy as np
import pytest
from transformers import BertTokenizer

from eval.files import InputError
from eval.masking import IGNORED, MaskVocabulary, mask

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
PIECES = (*(f"w{number}" for number in range(60)), *(f"##p{number}" for number in range(40)))


def _vocabulary(pieces: tuple[str, ...] = PIECES) -> MaskVocabulary:
    words = (*SPECIAL, *pieces)
    return MaskVocabulary.of(BertTokenizer(vocab={word: index for index, word in enumerate(words)}))


def _generators(rows: int, seed: int = 0) -> list[np.random.Generator]:
    return [np.random.default_rng([seed, row]) for row in range(rows)]


def _rows(rows: int = 400, length: int = 102) -> np.ndarray:
    """[CLS] and [SEP] around ids of all pieces."""
    ids = np.random.default_rng(1).integers(5, 105, (rows, length))
    ids[:, 0], ids[:, -1] = 2, 3
    return ids


def test_a_tokenizer_says_what_may_be_hidden_and_what_continues_a_word() -> None:
    vocabulary = _vocabulary()
    assert (vocabulary.cls, vocabulary.sep, vocabulary.mask) == (2, 3, 4)
    assert np.flatnonzero(~vocabulary.maskable).tolist() == [0, 1, 2, 3, 4]
    assert np.flatnonzero(vocabulary.continues).tolist() == list(range(65, 105))
    assert vocabulary.ordinary.tolist() == list(range(5, 105))


def test_fifteen_of_a_hundred_tokens_are_hidden_in_every_row() -> None:
    ids = _rows()
    inputs, targets = mask(ids, _vocabulary(), _generators(len(ids)))
    hidden = targets != IGNORED
    assert (hidden.sum(axis=1) == 15).all()
    assert not hidden[:, [0, -1]].any()
    assert (targets[hidden] == ids[hidden]).all()
    assert (inputs[~hidden] == ids[~hidden]).all()
    by_place = hidden[:, 1:-1].mean(axis=0)  # standard error 0.018
    assert np.abs(by_place - 0.15).max() < 0.08


def test_eight_in_ten_are_masks_one_is_another_token_one_stays() -> None:
    """Devlin 2018; of 6,000 hidden tokens the standard errors are 0.005 and 0.004."""
    ids = _rows()
    inputs, targets = mask(ids, _vocabulary(), _generators(len(ids)))
    hidden = targets != IGNORED
    masked, same = inputs[hidden] == 4, inputs[hidden] == ids[hidden]
    assert masked.mean() == pytest.approx(0.8, abs=0.02)
    assert same.mean() == pytest.approx(0.1 + 0.1 / 100, abs=0.015)  # one of a hundred stands in for itself
    others = inputs[hidden][~masked & ~same]
    assert others.min() >= 5
    assert len(set(others.tolist())) > 90


def test_special_tokens_stay_and_a_row_with_one_word_hides_it() -> None:
    ids = np.array([[2, 3, 3, 0, 1, 3], [2, 9, 3, 0, 0, 0], [2, 3, 0, 0, 0, 0]])
    _, targets = mask(ids, _vocabulary(), _generators(3))
    assert targets[0].tolist() == [IGNORED] * 6
    assert targets[1].tolist() == [IGNORED, 9, *[IGNORED] * 4]
    assert targets[2].tolist() == [IGNORED] * 6


@pytest.mark.parametrize("whole_words", [False, True])
def test_neither_padding_nor_other_rows_change_a_rows_masks(whole_words: bool) -> None:
    ids = _rows(rows=6, length=40)
    ids[3, 20:] = 0
    together = mask(ids, _vocabulary(), _generators(6), whole_words)
    (alone,) = (
        mask(ids[3:4, :20], _vocabulary(), [np.random.default_rng([0, 3])], whole_words) for _ in range(1)
    )
    for both, one in zip(together, alone, strict=True):
        assert (both[3, :20] == one[0]).all()


def test_whole_words_are_hidden_whole_and_as_many_tokens_on_average() -> None:
    vocabulary, ids = _vocabulary(), _rows()
    _, targets = mask(ids, vocabulary, _generators(len(ids)), whole_words=True)
    hidden, inside = targets != IGNORED, vocabulary.continues[ids]
    inside[:, 1] = False  # the piece after [CLS] begins a word here, whatever it is
    assert (hidden[:, 1:][inside[:, 1:]] == hidden[:, :-1][inside[:, 1:]]).all()
    assert hidden.mean() * 102 == pytest.approx(15, abs=0.15)  # standard error 0.03
    long = inside[:, 2:-1] & inside[:, 1:-2]
    assert hidden[:, 2:-1][long].mean() == pytest.approx(0.15, abs=0.02)  # of long words no fewer


def test_whole_words_need_pieces_that_continue_words() -> None:
    with pytest.raises(InputError, match="begins with ##"):
        _vocabulary(PIECES[:60]).require_words()


def test_a_tokenizer_without_a_mask_is_refused() -> None:
    tokenizer = BertTokenizer(vocab={word: index for index, word in enumerate((*SPECIAL, *PIECES))})
    tokenizer.mask_token = None
    with pytest.raises(InputError, match=r"no \[CLS\], \[SEP\] or \[MASK\]"):
        MaskVocabulary.of(tokenizer)
