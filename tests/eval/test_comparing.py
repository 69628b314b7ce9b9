"""Two models on the same items: what is tested, and what is refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest

from eval.comparing import compare
from eval.files import InputError, read_jsonl, write_json, write_jsonl
from eval.metrics import metric_by_name
from eval.results import METRICS, Result, write_results
from eval.significance import approximate_randomisation, paired_bootstrap

Statistics = Mapping[str, Sequence[Any]]
Write = Callable[..., Path]


def result(metric: str, value: float, signature: str, **more: Any) -> Result:
    meaning = METRICS[metric]
    fields: dict[str, Any] = dict.fromkeys(Result.__dataclass_fields__)
    fields |= {
        "stage": "evaluate",
        "family": "gpt2",
        "rung": "tiny",
        "task": "quiz",
        "split": "test",
        "metric": metric,
        "value": value,
        "n": 4,
        "higher_is_better": meaning.higher_is_better,
        "floor": meaning.floor,
        "ceiling": meaning.ceiling,
        "signature": signature,
        "data_fingerprint": "rows",
        "versions": {},
        "missing": {},
    }
    fields |= more
    missing = {name: "not in this test" for name, given in fields.items() if given is None}
    return Result(**fields | {"missing": missing})


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes one evaluation's folder: statistics of every item by metric, values computed from them."""

    def written(
        name: str,
        statistics: Statistics,
        *,
        ids: Sequence[str] | None = None,
        signatures: Mapping[str, str] | None = None,
        groups: Sequence[str] | None = None,
        references: Sequence[str] | None = None,
        **more: Any,
    ) -> Path:
        folder = tmp_path / name
        count = len(next(iter(statistics.values())))
        ids = ids or [f"i{place}" for place in range(count)]
        items: list[dict[str, Any]] = [
            {
                "id": ids[place],
                "input": "?",
                "output": "!",
                "reference": references[place] if references else "x",
                "statistics": {metric: values[place] for metric, values in statistics.items()},
            }
            for place in range(count)
        ]
        for item, group in zip(items, groups or (), strict=groups is not None):
            item["group"] = group
        rows = {
            metric: np.concatenate([np.atleast_2d(one) for one in values]).astype(float)
            for metric, values in statistics.items()
        }
        results = [
            result(
                metric,
                float(metric_by_name(metric).value(values)),
                (signatures or {}).get(metric, f"{metric}|context:64"),
                **more,
            )
            for metric, values in rows.items()
        ]
        write_jsonl(folder / "items.jsonl.gz", items)
        write_results(folder / "results.jsonl", results)
        write_json(folder / "facts.json", {})
        write_json(folder / "manifest.json", {"made": name, "model": name, "task": "quiz"})
        return folder

    return written


def right(count: int, of: int, start: int = 0) -> list[list[float]]:
    """`count` right answers of `of`, from the place `start` on."""
    return [[float(start <= place < start + count), 1.0] for place in range(of)]


def test_accuracies_are_tested_by_mcnemar(write: Write) -> None:
    a, b = write("a", {"accuracy": right(20, 60)}), write("b", {"accuracy": right(40, 60, start=12)})
    (one,) = compare(a, b, replicates=200).compared
    # 12 items only A has right, 32 only B
    assert one.p_mcnemar == pytest.approx(binomtest(12, 44).pvalue)
    assert (one.a, one.b, one.n, one.test) == (pytest.approx(20 / 60), pytest.approx(40 / 60), 60, "McNemar")
    assert one.difference == pytest.approx(20 / 60)
    assert one.p == one.p_holm == one.p_mcnemar
    assert one.verdict == "B is better"
    assert one.interval is not None
    assert one.interval[0] < 20 / 60 < one.interval[1]


@pytest.mark.parametrize(
    ("metric", "verdict"),
    [
        ("accuracy", "B is better"),
        ("memorised_share", "A is better"),
        ("stereotype_share", "B is higher"),  # 0.67 is no better, and no worse, than 0.33
    ],
)
def test_a_verdict_knows_which_way_is_better(write: Write, metric: str, verdict: str) -> None:
    a, b = write("a", {metric: right(20, 60)}), write("b", {metric: right(40, 60, start=12)})
    (one,) = compare(a, b, replicates=200).compared
    assert one.verdict == verdict


def test_groups_are_resampled_and_mcnemar_is_left_out(write: Write) -> None:
    groups = [f"g{place // 5}" for place in range(60)]
    folders = [
        write(name, {"accuracy": right(count, 60)}, groups=groups) for name, count in (("a", 20), ("b", 40))
    ]
    (one,) = compare(*folders, replicates=200).compared
    first, second = np.array(right(20, 60)), np.array(right(40, 60))
    wanted = approximate_randomisation(
        metric_by_name("accuracy"), first, second, groups=groups, replicates=200, seed=0
    )
    assert (one.p_mcnemar, one.p, one.test) == (None, wanted.p, "randomisation")


def test_corpus_metrics_are_tested_by_both_and_holm_counts_them_all(write: Write) -> None:
    rng = np.random.default_rng(0)
    size = rng.integers(20, 60, 80).astype(float)
    nats = {name: size * rng.normal(mean, 0.3, 80) for name, mean in (("a", 2.0), ("b", 1.9), ("c", 1.2))}

    def folder(name: str) -> Path:
        table = np.stack([nats[name], size], axis=1).tolist()
        return write(name, {"bits_per_byte": table, "byte_perplexity": table, "accuracy": right(40, 80)})

    a, b, c = (folder(name) for name in "abc")
    found = compare(a, c, replicates=300, seed=1)
    by_metric = {one.metric: one for one in found.compared}
    one = by_metric["bits_per_byte"]
    arrays = [np.stack([nats[name], size], axis=1) for name in "ac"]
    metric = metric_by_name("bits_per_byte")
    drawn = paired_bootstrap(metric, *arrays, replicates=300, seed=1)
    swapped = approximate_randomisation(metric, *arrays, replicates=300, seed=1)
    assert (one.interval, one.p_bootstrap, one.p_randomisation) == (drawn.interval, drawn.p, swapped.p)
    assert one.difference == pytest.approx((nats["c"].sum() - nats["a"].sum()) / size.sum() / np.log(2))
    assert one.verdict == "B is better", "lower is better"
    assert by_metric["accuracy"].verdict == "no difference shown"
    # of three p-values the smallest, the two perplexities', count threefold
    assert one.p is not None
    assert one.p_holm == pytest.approx(3 * one.p)
    assert compare(c, a, replicates=300).compared[0].verdict == "A is better"
    assert 0 < abs(compare(a, b).compared[0].difference or 0) < abs(one.difference or 0)


def test_documents_are_compared_by_their_blocks_where_both_have_the_same(write: Write) -> None:
    def blocks(*values: float) -> list[list[float]]:
        return [[value, 10.0] for value in values]

    a = write("a", {"bits_per_byte": [blocks(5, 6, 7, 8)]})
    b = write("b", {"bits_per_byte": [blocks(4, 5, 6, 7)]})
    (one,) = compare(a, b, replicates=100).compared
    assert one.p_randomisation is not None
    assert one.p_randomisation < 1
    # another tokenizer cuts elsewhere: the document is one unit, and one has no spread
    c = write("c", {"bits_per_byte": [[[4, 13], [8, 13], [9, 14]]]})
    (other,) = compare(a, c, replicates=100).compared
    assert (other.p, other.p_holm) == (None, None)
    assert other.verdict == "cannot be said: one item or group has no spread"
    assert other.difference == pytest.approx((21 - 26) / 40 / np.log(2))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ids": ["i0", "i1", "i2", "new"]}, r"other items: 1 only in A \(i3\), 1 only in B \(new\)"),
        ({"references": ["x", "y", "x", "x"]}, r"other references: 1 differ \(i1\)"),
        ({"data_fingerprint": "others"}, r"other rows: .*\(rows in A, others in B\)"),
        (
            {"signatures": {"accuracy": "accuracy|context:32|begin:no|greedy"}},
            "other signature: context is 64 in A, 32 in B; begin is not there in A, no in B; "
            "greedy is not there in A, there in B",
        ),
    ],
)
def test_what_is_not_the_same_question_is_refused_in_words(
    write: Write, change: dict[str, Any], said: str
) -> None:
    a = write("a", {"accuracy": right(2, 4)})
    b = write("b", {"accuracy": right(3, 4)}, **change)
    found = compare(a, b, replicates=50)
    assert not found.compared
    (refused,) = found.refused
    assert refused.what.startswith("quiz (test)")
    assert re.search(said, refused.reason)


def test_other_vocabularies_still_compare_by_bytes(write: Write) -> None:
    table = [[float(place + 4), 10.0] for place in range(8)]
    folders = []
    for name in "ab":
        signatures = {
            "token_perplexity": f"context:64|vocabulary:{name}",
            "bits_per_byte": "context:64",
        }
        folders.append(
            write(name, {"token_perplexity": table, "bits_per_byte": table}, signatures=signatures)
        )
    found = compare(*folders, replicates=50)
    assert [one.metric for one in found.compared] == ["bits_per_byte"]
    (refused,) = found.refused
    assert refused.what.endswith("token_perplexity")
    assert (
        "vocabulary is a in A, b in B; per token is not comparable then, bits per byte is" in refused.reason
    )


def test_models_folders_are_paired_by_task_and_the_evaluations_that_agree(write: Write) -> None:
    for name, count, context in (("a/one", 2, 32), ("a/two", 2, 64), ("b/one", 3, 64), ("b/two", 3, 128)):
        write(name, {"accuracy": right(count, 4)}, signatures={"accuracy": f"context:{context}"})
    write("b/more", {"accuracy": right(3, 4)}, task="riddle")
    root = (write("c/one", {"accuracy": right(3, 4)}, task="riddle")).parent.parent
    found = compare(root / "a", root / "b", replicates=50)
    assert [one.task for one in found.compared] == ["quiz"]
    assert not found.refused
    with pytest.raises(InputError, match=r"in both; A has quiz \(test\), B has riddle \(test\)"):
        compare(root / "a", root / "c")
    with pytest.raises(InputError, match="holds evaluations of several models; name one of them"):
        compare(root, root / "a")
    with pytest.raises(InputError, match="no such folder"):
        compare(root / "nowhere", root / "a")
    (root / "empty").mkdir()
    with pytest.raises(InputError, match="no finished evaluation"):
        compare(root / "empty", root / "a")


def test_runs_are_paired_by_rung_and_seed_and_their_seeds_spread(write: Write) -> None:
    for run, better in (("a", 0), ("b", 10)):
        for rung, seed, count in (("1k", 0, 20), ("1k", 1, 24), ("2k", 0, 30)):
            write(
                f"{run}/stages/evaluate-{rung}-s{seed}-quiz-0a",
                {"accuracy": right(count + better, 60)},
                rung=rung,
                seed=seed,
                run=run,
                stage="pretrain",
                n=60,
            )
    root = write("single", {"accuracy": right(30, 60)}).parent
    found = compare(root / "a", root / "b", replicates=50)
    assert [(one.rung, one.seed, one.a, one.b) for one in found.compared] == [
        ("1k", 0, pytest.approx(20 / 60), pytest.approx(30 / 60)),
        ("1k", 1, pytest.approx(24 / 60), pytest.approx(34 / 60)),
        ("2k", 0, pytest.approx(30 / 60), pytest.approx(40 / 60)),
    ]
    (spread,) = found.spreads["A"]
    assert (spread.rung, spread.n) == ("1k", 2)
    assert spread.deviation == pytest.approx(np.std([20 / 60, 24 / 60], ddof=1))
    with pytest.raises(InputError, match=r"a run of 3 models .* against one; name a stage's folder"):
        compare(root / "a", root / "single")


def test_failed_items_are_on_neither_side_or_refused(write: Write) -> None:
    a, b = (write(name, {"accuracy": right(2, 4)}) for name in "ab")
    items = list(read_jsonl(b / "items.jsonl.gz"))
    items[3] = {
        "id": "i3",
        "input": "?",
        "output": None,
        "reference": "x",
        "statistics": {},
        "failed": "long",
    }
    write_jsonl(b / "items.jsonl.gz", items)
    assert "1 only in A (i3)" in compare(a, b).refused[0].reason


def test_the_same_again_with_the_same_seed(write: Write) -> None:
    rng = np.random.default_rng(0)
    folders = [
        write(name, {"bits_per_byte": np.stack([rng.normal(9, 1, 30), np.full(30, 10.0)], 1).tolist()})
        for name in "ab"
    ]
    assert compare(*folders, seed=3, replicates=99) == compare(*folders, seed=3, replicates=99)
    assert compare(*folders, seed=3, replicates=99) != compare(*folders, seed=4, replicates=99)


def test_tasks_of_a_group_are_compared_each_on_its_own_items(write: Write) -> None:
    def group(name: str, first: int, second: int) -> Path:
        folder = write(name, {"accuracy": right(first, 8) + right(second, 8)}, task="lm-eval:one")
        items = list(read_jsonl(folder / "items.jsonl.gz"))
        for place, item in enumerate(items):
            item["task"] = "lm-eval:one" if place < 8 else "lm-eval:two"
        write_jsonl(folder / "items.jsonl.gz", items)
        results = [
            result("accuracy", count / 8, "accuracy", task=task, n=8)
            for task, count in (("lm-eval:one", first), ("lm-eval:two", second))
        ]
        write_results(folder / "results.jsonl", results)
        return folder

    found = compare(group("a", 0, 4), group("b", 8, 4), replicates=50)
    assert [(one.task, one.n, one.difference) for one in found.compared] == [
        ("lm-eval:one", 8, 1.0),
        ("lm-eval:two", 8, 0.0),
    ]
    # eight to nothing: 2 of 256 ways, counted twice for there being two comparisons
    assert found.compared[0].p_holm == pytest.approx(2 * 2 / 256)


def test_subsets_and_baselines_are_not_compared(write: Write) -> None:
    folders = []
    for name, count in (("a", 2), ("b", 3)):
        folder = write(name, {"accuracy": right(count, 4)})
        whole = result("accuracy", count / 4, "accuracy")
        part = result("accuracy", 1.0, "accuracy", task="quiz/odd", n=2)
        majority = result("accuracy", 0.1, "always", family="baseline", rung="majority-class")
        write_results(folder / "results.jsonl", [whole, part, majority])
        folders.append(folder)
    (one,) = compare(*folders, replicates=50).compared
    assert (one.task, one.a, one.b) == ("quiz", 0.5, 0.75)
