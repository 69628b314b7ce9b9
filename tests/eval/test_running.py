"""Rows in chunks, in processes, in subsets, in blocks: the same numbers, and every item accounted for."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from eval import running
from eval.files import read_jsonl, write_jsonl
from eval.measuring import Item, Measurement, language
from eval.ranks import Ranks
from eval.settings import EvalSettings
from eval.tally import EXAMPLES, Tally, sample_places
from eval.tasks.base import MultipleChoice
from eval.uncertainty import ratio_stderr
from tests.eval.kept import evaluate_kept

FAST = EvalSettings(bootstrap=20, samples=3)
WORDS = "the cat sat on a mat and looked at the moon naïve 44 numbers".split()

TWO_RANKS = """
import json, sys
from pathlib import Path
from eval.evaluate import evaluate
from eval.ranks import join_ranks
from eval.settings import EvalSettings
ranks = join_ranks()
data, items = map(Path, sys.argv[3:5])
settings = EvalSettings(bootstrap=20)
found = evaluate(*sys.argv[1:3], data, settings=settings, ranks=ranks, items_to=items)
assert ranks.world == 2
if ranks.is_first:
    Path(sys.argv[5]).write_text(json.dumps([(r.metric, r.value, r.stderr, r.n) for r in found.results]))
"""


ONE_FAILS = """
from eval.ranks import join_ranks
ranks = join_ranks()

def answer(number):
    if number == 0 and ranks.rank == 1:
        raise RuntimeError("no memory")
    return [(number, place) for place in ranks.share(range(3))]

try:
    ranks.gather(lambda: answer(0))
except RuntimeError as error:
    assert ranks.rank == 1, error
except ValueError as error:
    assert (ranks.rank, str(error)) == (0, "process 1: no memory")
else:
    raise AssertionError("one process had no answers")
assert ranks.gather(lambda: answer(1)) == [(1, 0), (1, 1), (1, 2)]
"""


def in_two_processes(command: list[object]) -> None:
    """Run a command twice, as a launcher of two processes would, and see it end well."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    shared |= {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    ranks = [
        subprocess.Popen(
            list(map(str, command)),
            env=os.environ | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    for process in ranks:
        assert process.wait(timeout=120) == 0, process.stderr and process.stderr.read()[-2000:]


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    rows = [
        {
            "id": f"d{number}",
            "text": " ".join(rng.choice(WORDS, int(rng.integers(3, 80)))),
            "subset": ("short", "long")[number % 2],
        }
        for number in range(30)
    ]
    write_jsonl(tmp_path / "docs" / "test.jsonl", rows)
    return tmp_path / "docs"


def test_chunks_change_nothing(
    language_model: Path, documents: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = evaluate_kept(language_model, "perplexity", documents, settings=FAST)
    told: list[tuple[int, int]] = []
    monkeypatch.setitem(running.MOST_ROWS, "cpu", 7)
    parts = evaluate_kept(
        language_model, "perplexity", documents, settings=FAST, tell=lambda *done: told.append(done)
    )
    for one, other in zip(whole.results, parts.results, strict=True):
        assert other.value == pytest.approx(one.value, rel=1e-6)
        assert (other.n, other.signature, other.data_fingerprint) == (
            one.n,
            one.signature,
            one.data_fingerprint,
        )
    assert [item["id"] for item in parts.items] == [f"d{number}" for number in range(30)]
    assert told == [(n, 30) for n in (1, 2, 3, 4, 5, 12, 19, 26, 30)]
    assert [sample["id"] for sample in parts.samples] == ["d0", "d10", "d20"]


def test_subsets_are_scored_by_themselves(language_model: Path, documents: Path) -> None:
    found = evaluate_kept(language_model, "perplexity", documents, settings=FAST)
    for name in ("short", "long"):
        items = [item for item in found.items if item["subset"] == name]
        nats, size = np.sum([item["statistics"]["bits_per_byte"] for item in items], axis=0)
        part = found.of("bits_per_byte", task=f"perplexity/{name}")
        assert part.value == pytest.approx(nats / size / np.log(2))
        assert part.n == 15


def test_a_subset_called_clean_is_not_the_clean_items() -> None:
    tally = Tally(Measurement(metrics=[], how="", answer=lambda rows: []))
    items = [
        Item(
            row={"id": f"{number}", "subset": subset},
            input="",
            output="",
            reference="",
            contaminated=subset == "noisy",
        )
        for number, subset in enumerate(("clean", "noisy", "loud"))
    ]
    tally.add(items)
    assert dict(tally.parts()) == {
        "clean": [True, False, False],
        "loud": [False, False, True],
        "noisy": [False, True, False],
        "uncontaminated": [True, False, True],
    }


def test_two_processes_are_as_one(language_model: Path, documents: Path, tmp_path: Path) -> None:
    alone = evaluate_kept(language_model, "perplexity", documents, settings=EvalSettings(bootstrap=20))
    (tmp_path / "rank.py").write_text(TWO_RANKS)
    out, items = tmp_path / "found.json", tmp_path / "items.jsonl.gz"
    command = [sys.executable, tmp_path / "rank.py", language_model, "perplexity", documents, items, out]
    in_two_processes(command)
    found = json.loads(out.read_text())
    for (metric, value, stderr, n), one in zip(found, alone.results, strict=True):
        assert (metric, n) == (one.metric, one.n)
        assert value == pytest.approx(one.value, rel=1e-5)
        assert stderr == pytest.approx(one.stderr, rel=1e-4)
    kept = list(read_jsonl(items))
    assert [item["id"] for item in kept] == [item["id"] for item in alone.items]


def test_what_one_process_fails_at_all_leave_together(tmp_path: Path) -> None:
    """Or the next answers of the one that failed would be taken for those that the others wait for."""
    (tmp_path / "rank.py").write_text(ONE_FAILS)
    in_two_processes([sys.executable, tmp_path / "rank.py"])


def test_answers_of_shares_come_back_in_the_order_of_the_rows() -> None:
    rows = list(range(11))
    shares = [Ranks(rank, 3).share(rows) for rank in range(3)]
    assert sorted(row for share in shares for row in share) == rows
    assert shares[1] == [1, 4, 7, 10]
    assert Ranks().share(rows) == rows == Ranks().gather(lambda: rows)


def test_one_long_document_has_an_error_from_its_blocks(
    language_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(language, "BLOCK", 400)
    text = "".join(
        f"{word}{' ' if number % 9 else chr(10)}"
        for number, word in enumerate(np.random.default_rng(1).choice(WORDS, 600))
    )
    write_jsonl(tmp_path / "test.jsonl", [{"id": "a", "text": text}, {"id": "b", "text": "the cat"}])
    found = evaluate_kept(language_model, "perplexity", tmp_path, settings=FAST)
    result = found.of("bits_per_byte")
    blocks = np.vstack([np.atleast_2d(item["statistics"]["bits_per_byte"]) for item in found.items])
    assert len(blocks) > 5
    assert blocks[:, 1].sum() == len((text + "the cat").encode())
    words_in = np.vstack([np.atleast_2d(item["statistics"]["word_perplexity"]) for item in found.items])
    import re

    assert words_in[:, 1].sum() == len(re.split(r"\s+", text)) + 2
    assert blocks[:, 0].sum() == pytest.approx(sum(sum(i["losses"]) for i in found.items), rel=1e-4)
    assert result.stderr == pytest.approx(ratio_stderr(blocks[:, 0], blocks[:, 1]) / np.log(2), rel=1e-6)
    assert (result.n, "errors:by-block" in result.signature) == (2, True)


def test_items_seen_in_training_are_told_and_left_out(classifier: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)

    def text() -> str:
        return " ".join(f"w{number}" for number in rng.integers(0, 5000, 20))

    names = ["asyncio", "email", "json"]
    train = [{"id": f"t{n}", "text": text(), "label": names[n % 3]} for n in range(9)]
    test = [{"id": f"s{n}", "text": text(), "label": names[n % 3]} for n in range(6)]
    test[2]["text"] = "so they say: " + train[0]["text"]
    write_jsonl(tmp_path / "train.jsonl", train)
    write_jsonl(tmp_path / "test.jsonl", test)
    found = evaluate_kept(classifier, "module-classification", tmp_path, settings=FAST)
    assert (found.facts["contamination"]["count"], found.facts["contamination"]["of"]) == (1, 6)
    clean = found.of("accuracy", task="module-classification/clean")
    right = [item["output"] == item["reference"] for item in found.items if item["id"] != "s2"]
    assert (clean.value, clean.n) == (pytest.approx(np.mean(right)), 5)
    off = FAST.model_copy(update={"contamination": False})
    other = evaluate_kept(classifier, "module-classification", tmp_path, settings=off)
    assert other.facts["contamination_missing"] == "not asked for"
    assert {result.task for result in other.results} == {"module-classification"}


def test_what_fails_is_counted_whole_and_shown_in_part(language_model: Path, tmp_path: Path) -> None:
    rows = [{"id": f"r{n}", "query": "the", "choices": ["cat " * 90, "mat"], "answer": 1} for n in range(9)]
    fits = [{"id": f"s{n}", "query": "the", "choices": ["cat", "mat"], "answer": 1} for n in range(3)]
    write_jsonl(tmp_path / "test.jsonl", [*rows, *fits])
    found = evaluate_kept(language_model, MultipleChoice(name="mine"), tmp_path, settings=FAST)
    assert found.facts["failed"]["count"] == 9
    assert len(found.facts["failed"]["examples"]) == EXAMPLES
    assert (found.of("accuracy").n, "failed:9" in found.of("accuracy").signature) == (3, True)


def test_speed_is_measured_beside_the_scores(language_model: Path, documents: Path) -> None:
    speed = evaluate_kept(language_model, "perplexity", documents, settings=FAST).facts["speed"]
    assert speed["items_per_second"] > 0
    assert speed["tokens_per_second"] > speed["items_per_second"]
    assert speed["latency_ms"] > 0
    assert (speed["device"], speed["threads"]) == ("cpu", 1)


@pytest.mark.parametrize(("count", "wanted", "places"), [(7, 2, [0, 3]), (3, 4, [0, 1, 2]), (9, 0, [])])
def test_samples_are_evenly_spaced(count: int, wanted: int, places: list[int]) -> None:
    assert sample_places(count, wanted) == places
