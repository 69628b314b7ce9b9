"""The tokenizer is byte-level, loads by its folder, and its streams decode to the corpus."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer, BertTokenizerFast

from eval.files import InputError
from pipelines.corpus_document import Document, read_documents, to_line, write_documents
from pipelines.corpus_members import pack, write_members
from pipelines.token_shards import open_tokens
from pipelines.tokenizer import BERT, END, PAD, Sample, load_tokenizer, prepare_tokens
from pipelines.tokenizer_files import KnownTokenizer, check_tokenizer_folder

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
        stream = open_tokens(tmp_path / "tokens", split)[:]
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
    settings = {"pretrained": str(tmp_path / "given"), "context": 32, "family": "gpt2"}
    facts = prepare_tokens(settings, corpus, tmp_path / "tokens")
    loaded = AutoTokenizer.from_pretrained(tmp_path / "tokens" / "tokenizer")
    assert facts["vocab_size"] == 300
    assert loaded.pad_token == loaded.eos_token == END
    assert loaded.model_max_length == 32
    made, again = (open_tokens(tmp_path / name, "train")[:] for name in ("made", "tokens"))
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
    settings = {"pretrained": "no-such/tokenizer", "context": 16, "family": "gpt2"}
    with pytest.raises(InputError, match=r"no-such/tokenizer.*folder.*online") as error:
        prepare_tokens(settings, corpus, tmp_path / "tokens")
    assert "\n" not in str(error.value)


def test_special_tokens_in_a_text_are_text(tmp_path: Path) -> None:
    texts = [f"one {END} two {PAD} " * 30]
    for split in TEXTS:
        write_documents(tmp_path / "corpus" / f"{split}.jsonl.gz", [Document("0", texts[0], group="0")])
    prepare_tokens({**SETTINGS, "vocab_size": 262}, tmp_path / "corpus", tmp_path / "tokens")
    stream = open_tokens(tmp_path / "tokens", "train")[:]
    assert (stream == 0).sum() == 1
    assert (stream == 1).sum() == 0


# --- WordPiece

WORDPIECE = {"train": "wordpiece", "vocab_size": 66, "pretrained": None, "context": 16}


@pytest.mark.parametrize("lowercase", [True, False])
def test_wordpiece_loads_as_berts_own_and_marks_pairs(corpus: Path, tmp_path: Path, lowercase: bool) -> None:
    facts = prepare_tokens(WORDPIECE | {"lowercase": lowercase}, corpus, tmp_path / "tokens")
    folder = tmp_path / "tokens" / "tokenizer"
    for loaded in (AutoTokenizer.from_pretrained(folder), BertTokenizerFast.from_pretrained(folder)):
        assert facts["vocab_size"] == len(loaded) == 66
        assert loaded.convert_ids_to_tokens(range(5)) == list(BERT)
        assert loaded.model_max_length == 16
        pair = loaded("The cafe", "costs 5")
        first, second = (
            loaded(text, add_special_tokens=False)["input_ids"] for text in ("The cafe", "costs 5")
        )
        assert pair["input_ids"] == [2, *first, 3, *second, 3]
        assert pair["token_type_ids"] == [0] * (len(first) + 2) + [1] * (len(second) + 1)
        assert (loaded("The")["input_ids"] == loaded("the")["input_ids"]) == lowercase


def test_a_wordpiece_stream_is_berts_own_pieces_with_sep_after_each_document(
    corpus: Path, tmp_path: Path
) -> None:
    """Against transformers' BertTokenizer on each document alone."""
    facts = prepare_tokens(WORDPIECE, corpus, tmp_path / "tokens")
    reference = BertTokenizerFast.from_pretrained(tmp_path / "tokens" / "tokenizer")
    for split, texts in TEXTS.items():
        expected: list[int] = []
        for text in texts:
            expected += [*reference(text, add_special_tokens=False, verbose=False)["input_ids"], 3]
        stream = open_tokens(tmp_path / "tokens", split)[:]
        assert stream.tolist() == expected
        assert facts["unknown"][split] == expected.count(1) / len(expected)
    assert facts["unknown"]["train"] == 0
    assert facts["unknown"]["validation"] > 0, "signs that the training texts lack"


def test_wordpiece_gives_the_same_bytes_again_and_when_loaded(corpus: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        prepare_tokens(WORDPIECE, corpus, tmp_path / name)
    given = str(tmp_path / "one" / "tokenizer")
    prepare_tokens({"pretrained": given, "context": 16, "family": "bert"}, corpus, tmp_path / "again")
    for file in ("train-00000.npy", "validation-00000.npy", "tokenizer/tokenizer.json"):
        one = (tmp_path / "one" / file).read_bytes()
        assert one == (tmp_path / "two" / file).read_bytes()
        assert one == (tmp_path / "again" / file).read_bytes()


@pytest.mark.parametrize(
    ("size", "message"),
    [(20, r"20 is too small; the letters .* need \d+"), (5000, r"supports \d+ ids, not 5000")],
)
def test_a_wordpiece_vocabulary_of_a_wrong_size_is_refused(
    corpus: Path, tmp_path: Path, size: int, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        prepare_tokens(WORDPIECE | {"vocab_size": size}, corpus, tmp_path / "tokens")


# --- large corpora, saved tokenizers


def test_a_tokenizer_is_trained_on_about_the_bytes_allowed(tmp_path: Path) -> None:
    members = [pack(to_line(f"{n}", f"{n} " * 200)) for n in range(200)]
    write_members(tmp_path / "train.jsonl.gz", members)
    sample = Sample(tmp_path, 10_000)
    chosen = [int(text.split()[0]) for text in sample]
    assert 9_000 <= sample.bytes <= 11_000
    assert max(np.diff([0, *chosen, 199])) <= 30, "spread over the whole"
    assert [int(text.split()[0]) for text in sample] == chosen, "WordPiece reads them twice"
    assert len(list(Sample(tmp_path, 10**9))) == 200


def test_a_saved_tokenizer_is_known_without_loading_it(corpus: Path, tmp_path: Path) -> None:
    prepare_tokens(SETTINGS, corpus, tmp_path / "bpe")
    prepare_tokens(WORDPIECE, corpus, tmp_path / "wordpiece")
    folder = tmp_path / "bpe" / "tokenizer"
    known = check_tokenizer_folder(folder)
    assert known == KnownTokenizer(300, masks=False, ends=True, numbering=known.numbering)
    wordpiece = check_tokenizer_folder(tmp_path / "wordpiece" / "tokenizer")
    assert wordpiece == KnownTokenizer(66, masks=True, ends=False, numbering=wordpiece.numbering)
    assert wordpiece.numbering != known.numbering


def test_a_vocabulary_in_files_of_its_own_is_numbered_as_in_one(corpus: Path, tmp_path: Path) -> None:
    prepare_tokens(SETTINGS, corpus, tmp_path / "bpe")
    prepare_tokens(WORDPIECE, corpus, tmp_path / "wordpiece")
    for made, names in (("bpe", ("vocab.json", "merges.txt")), ("wordpiece", ("vocab.txt",))):
        whole = tmp_path / made / "tokenizer"
        model = json.loads((whole / "tokenizer.json").read_text())["model"]
        apart = tmp_path / f"{made}-apart"
        apart.mkdir()
        ordered = sorted(model["vocab"], key=lambda token: model["vocab"][token])
        merges = (pair if isinstance(pair, str) else " ".join(pair) for pair in model.get("merges", ()))
        texts = {
            "vocab.json": json.dumps(model["vocab"]),
            "merges.txt": "\n".join(["#version: 0.2", *merges]) + "\n",
            "vocab.txt": "\n".join(ordered) + "\n",
        }
        for name in names:
            (apart / name).write_text(texts[name], encoding="utf-8")
        assert check_tokenizer_folder(apart) == check_tokenizer_folder(whole)


@pytest.mark.parametrize(("settings", "family"), [("bpe", "bert"), ("wordpiece", "gpt2")])
def test_a_tokenizer_of_the_other_family_is_refused(
    corpus: Path, tmp_path: Path, settings: str, family: str
) -> None:
    prepare_tokens({"bpe": SETTINGS, "wordpiece": WORDPIECE}[settings], corpus, tmp_path / "made")
    with pytest.raises(InputError, match=f"does not suit a {family}; choose another"):
        load_tokenizer(str(tmp_path / "made" / "tokenizer"), 16, family)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"tokenizer\.pretrained: .*there is not a folder; name one that save_pretrained wrote"),
        ({}, r"tokenizer\.pretrained: .* holds no tokenizer"),
        ({"tokenizer.json": "{"}, r"tokenizer\.json is not JSON"),
        ({"tokenizer.json": "{}"}, r"tokenizer\.json has no vocabulary in it"),
        ({"tokenizer.json": '{"model": {"vocab": [1, "a"]}}'}, r"tokenizer\.json has no vocabulary in it"),
        ({"tokenizer.json": '{"model": 3}'}, r"tokenizer\.json has no vocabulary in it"),
        (
            {"vocab.txt": "[PAD]\n", "tokenizer_config.json": '{"auto_map": {}}'},
            r"code of its own, .* never run",
        ),
    ],
)
def test_a_folder_without_a_tokenizer_is_refused_by_its_files(
    tmp_path: Path, content: dict[str, str] | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "there").mkdir()
        for name, text in content.items():
            (tmp_path / "there" / name).write_text(text)
    with pytest.raises(InputError, match=message) as error:
        check_tokenizer_folder(tmp_path / "there")
    assert "\n" not in str(error.value)


def test_documents_come_back_as_written(corpus: Path) -> None:
    assert [text for _, text in read_documents(corpus, "validation")] == TEXTS["validation"]
