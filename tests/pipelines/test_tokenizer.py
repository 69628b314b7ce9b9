"""The tokenizer is byte-level, loads by its folder, and its streams decode to the corpus."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer

from eval.files import InputError
from pipelines.corpus_document import Document, read_documents, write_documents
from pipelines.tokenizer import END, PAD, prepare_tokens

TEXTS = {
    "train": [
        "def f(x):\n    return x + 1\n" * 20,
        "The naïve café costs 5 €. 你好\n" * 20,
        "for a in b: pass\n" * 30,
    ],
    "validation": ["\tnever seen: \x7f ¿ö𝄞\n" * 20, "def g(y):\n    return y\n" * 20],
}
SETTINGS = {"train": "bpe", "vocab_size": 300, "pretrained": None, "context": 16}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    for split, texts in TEXTS.items():
        documents = [Document(f"{n}", text, group=f"{n}") for n, text in enumerate(texts)]
        write_documents(tmp_path / "corpus" / f"{split}.jsonl.gz", documents)
    return tmp_path / "corpus"


def _split_at_end(stream: np.ndarray, end: int) -> list[np.ndarray]:
    assert stream[0] == end, "a document begins after the end-of-text token"
    return [piece[1:] for piece in np.split(stream, np.flatnonzero(stream == end)[1:])]


def test_streams_decode_to_the_corpus(corpus: Path, tmp_path: Path) -> None:
    facts = prepare_tokens(SETTINGS, corpus, tmp_path / "tokens")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "tokens" / "tokenizer")
    assert facts["vocab_size"] == len(tokenizer) == 300
    for split, texts in TEXTS.items():
        stream = np.load(tmp_path / "tokens" / f"{split}.npy", mmap_mode="r")
        assert stream.dtype == np.uint16
        assert [tokenizer.decode(ids) for ids in _split_at_end(stream, tokenizer.eos_token_id)] == texts
        assert facts["tokens"][split] == len(stream)
        assert facts["bytes_per_token"][split] == sum(len(text.encode()) for text in texts) / len(stream)


def test_special_tokens_and_context(corpus: Path, tmp_path: Path) -> None:
    prepare_tokens(SETTINGS, corpus, tmp_path / "tokens")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "tokens" / "tokenizer")
    assert tokenizer.convert_tokens_to_ids([END, PAD]) == [0, 1]
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token) == (END, END, PAD)
    assert tokenizer.model_max_length == 16
    assert tokenizer("def f")["input_ids"] == tokenizer("def f", add_special_tokens=False)["input_ids"]


def test_the_same_corpus_gives_the_same_bytes(corpus: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        prepare_tokens(SETTINGS, corpus, tmp_path / name)
    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*") if p.is_file())
    assert Path("tokenizer/tokenizer.json") in files
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes(), file


def test_a_loaded_tokenizer_pads_with_its_end_of_text(corpus: Path, tmp_path: Path) -> None:
    prepare_tokens(SETTINGS, corpus, tmp_path / "made")
    given = AutoTokenizer.from_pretrained(tmp_path / "made" / "tokenizer")
    given.pad_token = None
    given.save_pretrained(tmp_path / "given")
    settings = {"train": None, "vocab_size": None, "pretrained": str(tmp_path / "given"), "context": 32}
    facts = prepare_tokens(settings, corpus, tmp_path / "tokens")
    loaded = AutoTokenizer.from_pretrained(tmp_path / "tokens" / "tokenizer")
    assert facts["vocab_size"] == 300
    assert loaded.pad_token == loaded.eos_token == END
    assert loaded.model_max_length == 32
    made, again = (np.load(tmp_path / name / "train.npy") for name in ("made", "tokens"))
    np.testing.assert_array_equal(made, again)


def test_a_vocabulary_the_corpus_cannot_fill_names_the_largest_it_can(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"supports (\d+) ids, not 5000") as error:
        prepare_tokens({**SETTINGS, "vocab_size": 5000}, corpus, tmp_path / "tokens")
    largest = int(str(error.value).split("supports ")[1].split()[0])
    assert (
        prepare_tokens({**SETTINGS, "vocab_size": largest}, corpus, tmp_path / "tokens")["vocab_size"]
        == largest
    )
    with pytest.raises(InputError):
        prepare_tokens({**SETTINGS, "vocab_size": largest + 1}, corpus, tmp_path / "tokens")


def test_a_vocabulary_without_room_for_the_bytes_is_refused(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="258"):
        prepare_tokens({**SETTINGS, "vocab_size": 100}, corpus, tmp_path / "tokens")


def test_a_corpus_smaller_than_one_window_is_refused(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"fewer than one window of context \+ 1 = 100001"):
        prepare_tokens({**SETTINGS, "context": 100_000}, corpus, tmp_path / "tokens")


def test_a_tokenizer_that_is_not_there_says_what_to_give(corpus: Path, tmp_path: Path) -> None:
    settings = {"train": None, "vocab_size": None, "pretrained": "no-such/tokenizer", "context": 16}
    with pytest.raises(InputError, match=r"no-such/tokenizer.*folder.*online") as error:
        prepare_tokens(settings, corpus, tmp_path / "tokens")
    assert "\n" not in str(error.value)


def test_documents_come_back_as_written(corpus: Path) -> None:
    assert [text for _, text in read_documents(corpus, "validation")] == TEXTS["validation"]
