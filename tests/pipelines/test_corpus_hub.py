"""A data set of the hub is streamed, shared among processes without loss, and told by its commit."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import pyarrow
import pytest
from pyarrow import parquet

from eval.files import InputError
from pipelines import corpus_hub
from pipelines.corpus import prepare_corpus, source_fingerprint
from tests.pipelines.corpora import TEXTS, everything, read, settings, write_jsonl


def test_a_folder_of_the_hubs_kind_loads(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    write_jsonl(tmp_path / "set" / "train.jsonl")
    chosen = settings(hub=str(tmp_path / "set"))
    prepare_corpus(chosen, tmp_path, tmp_path / "out")
    assert everything(tmp_path / "out") == sorted(TEXTS)
    with pytest.raises(InputError, match=r"no column 'body'.*one of text, n"):
        prepare_corpus(chosen | {"text_column": "body"}, tmp_path, tmp_path / "out")


@pytest.mark.parametrize(
    "failure", [ConnectionError("Couldn't reach it\nat all"), ValueError("Unknown split")]
)
def test_a_hub_that_cannot_be_reached_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise failure

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    with pytest.raises(InputError, match=r"'wikitext' cannot be loaded.*network.*corpus\.files") as error:
        prepare_corpus(settings(hub="wikitext"), tmp_path, tmp_path / "out")
    assert "\n" not in str(error.value)


def test_a_hub_name_without_a_network_says_what_to_do(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The library's own failure, not one of ours: the tests run offline."""
    with pytest.raises(InputError, match=r"'no-such/data-set' cannot be loaded"):
        prepare_corpus(settings(hub="no-such/data-set"), tmp_path, tmp_path / "out")
    assert capfd.readouterr() == ("", ""), "the client's own noise"


def test_a_stream_is_read_no_further_than_max_bytes(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    write_jsonl(tmp_path / "set" / "train.jsonl")
    asked = sum(len(text.encode()) for text in TEXTS[:30])
    facts = prepare_corpus(settings(hub=str(tmp_path / "set"), max_bytes=asked), tmp_path, tmp_path / "out")
    assert everything(tmp_path / "out") == sorted(TEXTS[:30])
    assert (facts["revision"], facts["missing"]) == (None, {"revision": "a folder"})


def several(folder: Path, files: int) -> str:
    """A set of the texts above, in so many files."""
    folder.mkdir()
    for number in range(files):
        table = pyarrow.table({"text": TEXTS[number::files]})
        parquet.write_table(table, folder / f"train-{number}.parquet")
    return str(folder)


@pytest.mark.parametrize("files", [1, 2, 3])
def test_shares_are_all_of_a_stream_each_row_once(tmp_path: Path, files: int) -> None:
    chosen = settings(hub=several(tmp_path / "set", files))
    shares = corpus_hub.find_shares(chosen, None)
    assert len(shares) == files
    found = [list(corpus_hub.read_share(chosen, None, share)) for share in shares]
    assert [[d.text for d in share] for share in found] == [TEXTS[n::files] for n in range(files)]
    assert len({d.id for share in found for d in share}) == len(TEXTS)


def test_processes_that_read_their_own_shares_change_nothing(tmp_path: Path) -> None:
    chosen = settings(hub=several(tmp_path / "set", 3))
    facts = [prepare_corpus(chosen, tmp_path, tmp_path / f"{n}", processes=n) for n in (1, 2)]
    more = chosen | {"max_bytes": 10**9}  # a limit is kept by one that reads them all, in turn
    facts.append(prepare_corpus(more, tmp_path, tmp_path / "3", processes=2))
    assert [fact.pop("speed")["clean"]["processes"] for fact in facts] == [1, 2, 1]
    assert facts[0] == facts[1] == facts[2]
    assert everything(tmp_path / "1") == sorted(TEXTS)
    for n in (1, 2, 3):
        assert not [path for path in (tmp_path / f"{n}").iterdir() if path.suffix == ".part"]


def test_a_share_that_cannot_be_read_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    folder = several(tmp_path / "set", 2)
    (tmp_path / "set" / "train-1.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(InputError, match=r"cannot be loaded \(.*\); check the name") as error:
        prepare_corpus(settings(hub=folder), tmp_path, tmp_path / "out", processes=1)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_the_sets_own_splits_are_taken_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    parts = {"train": TEXTS[:40], "validation": TEXTS[40:45], "test": [*TEXTS[45:], TEXTS[3]]}
    for split, texts in parts.items():
        write_jsonl(tmp_path / "set" / f"{split}.jsonl", texts)
    names = {"train": "train", "validation": "validation", "test": "test"}
    whole = settings(hub=str(tmp_path / "set"), splits=names, max_bytes=1000)
    facts = prepare_corpus(whole, tmp_path, tmp_path / "out")
    found = read(tmp_path / "out")
    assert sorted(found["test"].values()) == sorted(parts["test"])
    assert sorted(found["validation"].values()) == sorted(parts["validation"])
    assert TEXTS[3] not in found["train"].values(), "the test keeps it"
    assert set(found["train"].values()) < set(parts["train"]), "the limit is the train split's"
    assert facts["removed"]["exact duplicate"]["count"] == 1
    alone = settings(hub=str(tmp_path / "set"), splits={"train": None, "validation": None, "test": "test"})
    facts = prepare_corpus(alone, tmp_path, tmp_path / "alone")
    assert facts["documents"] == {"test": 16}
    assert {path.name for path in (tmp_path / "alone").iterdir()} == {"test.jsonl.gz", "test.members.npy"}
    assert source_fingerprint(alone, tmp_path) != source_fingerprint(whole, tmp_path)


def test_the_commit_that_the_hub_names_is_read_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit, asked = "c0" * 20, []

    def load(*_: Any, **named: Any) -> Any:
        asked.append((named["revision"], named["streaming"]))
        rows = datasets.Dataset.from_dict({"text": TEXTS})
        return rows.to_iterable_dataset()

    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", lambda *_, **__: SimpleNamespace(sha=commit))
    monkeypatch.setattr(datasets, "load_dataset", load)
    facts = prepare_corpus(settings(hub="some/set", revision="main"), tmp_path, tmp_path / "out")
    assert facts["revision"] == commit
    assert asked == [(commit, True)]
    assert everything(tmp_path / "out") == sorted(TEXTS)


def test_the_fingerprint_of_a_hub_set_needs_no_network(tmp_path: Path) -> None:
    plain = source_fingerprint(settings(hub="wikitext"), tmp_path)
    assert plain == source_fingerprint(settings(hub="wikitext"), tmp_path)
    others = [{"config": "wikitext-2"}, {"revision": "abc"}, {"split": "test"}, {"hub": "other"}]
    assert len({plain, *(source_fingerprint(settings(hub="wikitext") | o, tmp_path) for o in others)}) == 5
