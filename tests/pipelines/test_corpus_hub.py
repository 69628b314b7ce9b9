"""A data set of the hub is streamed, shared among ranks without loss, and told by its commit."""

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
from tests.pipelines.corpora import TEXTS, everything, settings, write_jsonl


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


@pytest.mark.parametrize("files", [1, 2, 3])
def test_ranks_share_a_stream_without_loss_or_repeat(tmp_path: Path, files: int) -> None:
    """Fewer files than ranks, as many, and a number that the ranks do not divide."""
    (tmp_path / "set").mkdir()
    for number in range(files):
        table = pyarrow.table({"text": TEXTS[number::files]})
        parquet.write_table(table, tmp_path / "set" / f"train-{number}.parquet")
    chosen = settings(hub=str(tmp_path / "set"))
    shares = [list(corpus_hub.read_hub(chosen, None, rank, 2)) for rank in range(2)]
    assert all(shares)
    assert sorted(d.text for share in shares for d in share) == sorted(TEXTS)
    assert len({d.id for share in shares for d in share}) == len(TEXTS)


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
