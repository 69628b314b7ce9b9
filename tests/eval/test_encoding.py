"""Token ids are those of the tokenizers' own framing; answers and tags stand where the characters are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from eval.files import InputError
from eval.tasks import make_task
from eval.tasks.encoding import encode_for_label, encode_spans, encode_tags
from eval.tasks.settings import TaskSettings

FILES = {"test": "test.jsonl"}
PAIRS = make_task("pairs", TaskSettings(kind="classification", files=FILES))
SPANS = make_task("spans", TaskSettings(kind="span", files=FILES))
TAGS = make_task("tags", TaskSettings(kind="tagging", files=FILES))
LONG = "the cat sat on the mat and looked at the moon, naïve as ever. " * 3


def rows_of(*pairs: tuple[str, str]) -> list[dict[str, Any]]:
    return [{"id": str(n), "text": a, "text_pair": b, "label": "x"} for n, (a, b) in enumerate(pairs)]


@pytest.mark.parametrize("context", [64, 33, 20, 8])
def test_a_bert_reads_pairs_as_its_tokenizer_frames_and_cuts_them(wordpiece: Any, context: int) -> None:
    pairs = [("the cat", "the moon is larger"), (LONG, "the mat"), ("a dog", LONG), (LONG, LONG + "cat")]
    encoded = encode_for_label(PAIRS, wordpiece, rows_of(*pairs), context)
    for (first, second), found in zip(pairs, encoded, strict=True):
        own = wordpiece(first, second, truncation="longest_first", max_length=context)
        assert (found.ids, found.types) == (own["input_ids"], own["token_type_ids"])


def test_a_bert_reads_one_text_between_cls_and_sep(wordpiece: Any) -> None:
    rows = [{"id": "a", "text": LONG, "label": "x"}, {"id": "b", "text": "", "label": "x"}]
    long, empty = encode_for_label(PAIRS, wordpiece, rows, 16)
    own = wordpiece(LONG, truncation=True, max_length=16)
    assert (long.ids, long.types) == (own["input_ids"], own["token_type_ids"])
    assert empty.ids == [wordpiece.cls_token_id, wordpiece.sep_token_id]


def test_a_gpt2_reads_a_pair_on_two_lines(tokenizer: Any) -> None:
    short, long = encode_for_label(PAIRS, tokenizer, rows_of(("the cat", "sat"), (LONG, "sat")), 24)
    assert tokenizer.decode(short.ids) == "<|endoftext|>the cat\nsat"
    assert len(long.ids) == 24
    assert tokenizer.decode(long.ids).endswith("\nsat")
    assert (short.types, long.types) == ([], [])


def test_pairs_for_some_rows_only_are_refused(wordpiece: Any) -> None:
    rows = [*rows_of(("a", "b")), {"id": "z", "text": "a", "label": "x"}]
    with pytest.raises(InputError, match="pairs: 1 of 2 rows have a text_pair; give all one, or none"):
        encode_for_label(PAIRS, wordpiece, rows, 16)


def question(answer: str, start: int | None = None) -> dict[str, Any]:
    context = LONG + "The dog — naïve — slept until 44. " + LONG
    found = context.index(answer) if start is None else start
    return {
        "id": answer,
        "question": "who looked at the moon?",
        "context": context,
        "answers": [{"text": answer, "start": found}],
    }


@pytest.mark.parametrize("which", ["tokenizer", "wordpiece"])
@pytest.mark.parametrize("answer", ["dog", "naïve — slept", "44", "the cat"])
def test_windows_cover_the_context_and_mark_the_answer(
    which: str, answer: str, request: pytest.FixtureRequest
) -> None:
    own, row = request.getfixturevalue(which), question(answer)
    windows = encode_spans(SPANS, own, [row], 48, 12)
    assert len(windows) > 3
    assert all(len(w.ids) <= 48 and len(w.ids) == len(w.offsets) for w in windows)
    covered = np.zeros(len(row["context"]), dtype=bool)
    for window in windows:
        for offset in window.offsets:
            if offset is not None:
                covered[offset[0] : offset[1]] = True
    assert all(covered[i] for i, letter in enumerate(row["context"]) if not letter.isspace())
    marked = [w for w in windows if (w.start, w.end) != (0, 0)]
    assert 0 < len(marked) < len(windows)
    for window in marked:
        begin, end = window.offsets[window.start], window.offsets[window.end]
        assert begin is not None
        assert end is not None
        assert row["context"][begin[0] : end[1]].strip() == answer


def test_bert_windows_are_framed_as_its_tokenizer_does(wordpiece: Any) -> None:
    row = question("dog")
    (first, *_) = encode_spans(SPANS, wordpiece, [row], 48, 24)
    own = wordpiece(row["question"], row["context"], truncation="only_second", max_length=48)
    assert (first.ids, first.types) == (own["input_ids"], own["token_type_ids"])
    assert first.row == 0


def test_a_row_without_an_answer_points_at_the_first_token(wordpiece: Any) -> None:
    row = question("dog") | {"answers": []}
    assert {(w.start, w.end) for w in encode_spans(SPANS, wordpiece, [row], 48, 24)} == {(0, 0)}


WORDS = {"id": "t", "words": ["Naïve", "cats", "44", "looked"], "tags": ["A", "B", "A", "C"]}


def test_a_bert_tags_the_first_piece_of_each_word(wordpiece: Any) -> None:
    (row,) = encode_tags(TAGS, wordpiece, [WORDS], ["A", "B", "C"], 32)
    own = wordpiece(WORDS["words"], is_split_into_words=True)
    assert row.ids == own["input_ids"]
    firsts = [own.word_ids().index(number) for number in range(4)]
    assert row.places == firsts
    assert [row.targets[place] for place in firsts] == [0, 1, 0, 2]
    assert sum(target != -100 for target in row.targets) == 4


def test_a_gpt2_tags_the_last_piece_of_each_word(tokenizer: Any) -> None:
    (row,) = encode_tags(TAGS, tokenizer, [WORDS], ["A", "B", "C"], 32)
    assert row.ids == [0, *tokenizer("Naïve cats 44 looked")["input_ids"]]
    ends = [tokenizer.decode(row.ids[1 : place + 1]) for place in row.places]
    assert ends == ["Naïve", "Naïve cats", "Naïve cats 44", "Naïve cats 44 looked"]


@pytest.mark.parametrize("which", ["tokenizer", "wordpiece"])
def test_a_long_row_is_cut_between_words_and_loses_none(which: str, request: pytest.FixtureRequest) -> None:
    own = request.getfixturevalue(which)
    many = {
        "id": "t",
        "words": ["Naïve", "\u200b", "cats"] * 9 + ["x" * 40],
        "tags": ["A", "B", "C"] * 9 + ["A"],
    }
    rows = encode_tags(TAGS, own, [WORDS, many], ["A", "B", "C"], 16)
    assert all(len(row.ids) <= 16 for row in rows)
    parts = [row for row in rows if row.row == 1]
    assert len(parts) > 2
    found = [row.targets[place] for row in parts for place in row.places]
    assert found == [0, 1, 2] * 9 + [0]
    assert [row.first for row in parts] == list(np.cumsum([0, *(len(row.places) for row in parts[:-1])]))


def test_an_unknown_tag_is_refused(wordpiece: Any) -> None:
    with pytest.raises(InputError, match="tags: tag 'C' is not in the train rows"):
        encode_tags(TAGS, wordpiece, [WORDS], ["A", "B"], 32)
