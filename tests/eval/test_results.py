"""A Result cannot be wrong in silence: no number without a meaning, no gap without a reason."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from eval.files import InputError
from eval.results import METRICS, Result, read_results, same, write_results
from eval.tasks.base import METRICS_OF


def result(**changes: Any) -> Result:
    fields: dict[str, Any] = {
        "run": "quickstart", "stage": "pretrain", "family": "gpt2", "objective": "causal-lm",
        "rung": "r1-13k", "params": {"total": 3, "non_embedding": 1, "matmul": 2}, "tokens": 10,
        "unique_tokens": 10, "flops": 1e9, "stage_flops": 1e9, "step": 5, "annealed": True, "seed": 0,
        "task": "perplexity", "split": "test", "metric": "bits_per_byte", "value": 2.0, "stderr": 0.1, "n": 4,
        "higher_is_better": False, "floor": 0.0, "ceiling": None, "signature": "s", "model_fingerprint": "m",
        "data_fingerprint": "d", "versions": {"torch": "2"}, "seconds": 1.0,
        "missing": {"ceiling": "unbounded"},
    }  # fmt: skip
    return Result(**(fields | changes))


def test_results_survive_a_file_and_compare_without_their_time(tmp_path: Path) -> None:
    written = [result(), result(seed=1)]
    write_results(tmp_path / "r.jsonl", written)
    assert read_results(tmp_path / "r.jsonl") == written
    assert same(result(), result(seconds=9.0))
    assert same(result(), result(seconds=None, missing={"ceiling": "unbounded", "seconds": "not timed"}))
    assert not same(result(), result(value=2.1))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"value": None}, "value is null without a reason"),
        ({"missing": {"ceiling": "unbounded", "value": "why"}}, "value has a value and also a reason"),
        ({"missing": {"ceiling": " "}}, "say why ceiling is missing"),
        ({"missing": {"ceiling": "unbounded", "valu": "x"}}, "'valu', which is no field"),
        ({"value": float("nan")}, "value is nan"),
        ({"flops": float("inf")}, "flops is inf"),
        ({"stderr": -0.1}, "stderr is -0.1; it cannot be negative"),
        ({"tokens": -1}, "tokens is -1; it cannot be negative"),
        ({"metric": "perplexity"}, "metric is 'perplexity'; one of bits_per_byte"),
        ({"split": "dev"}, "split is 'dev'; one of train, validation, test"),
        ({"stage": "prepare"}, "stage is 'prepare'"),
        ({"higher_is_better": True}, "higher_is_better is True, wrong for bits_per_byte"),
        ({"params": {"total": 3}}, r"params has \['total'\]"),
    ],
)
def test_a_result_that_contradicts_itself_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        result(**changes)


def test_unknown_and_absent_fields_name_the_record(tmp_path: Path) -> None:
    rows = [result().to_dict(), result().to_dict() | {"valeu": 1}]
    (tmp_path / "r.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    with pytest.raises(InputError, match=r"r\.jsonl: record 2: result: unknown field 'valeu'"):
        read_results(tmp_path / "r.jsonl")
    short = result().to_dict()
    del short["n"]
    with pytest.raises(InputError, match="no field 'n'"):
        Result.from_dict(short)


def test_every_metric_of_the_design_has_its_scale() -> None:
    assert METRICS["bleu"].ceiling == 100.0
    assert METRICS["rougeL"].ceiling == 1.0
    assert METRICS["ter"].ceiling is None
    assert not METRICS["token_perplexity"].higher_is_better
    kinds = {metric for metrics in METRICS_OF.values() for metric in metrics}
    assert kinds | {"masked_lm_loss", "pseudo_perplexity"} == set(METRICS)


def test_records_need_the_standard_library_only() -> None:
    heavy = {"torch", "numpy", "pydantic", "transformers"}
    code = f"import sys, eval.results; print(sorted({heavy} & set(sys.modules)))"
    root = Path(__file__).resolve().parents[2]
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"


def test_a_digit_that_changes_in_a_line_is_no_score(tmp_path: Path) -> None:
    """Whatever single character is replaced, the line is refused: no altered number comes through."""
    path = tmp_path / "results.jsonl"
    write_results(path, [result(), result(value=0.25)])
    whole = path.read_bytes()
    line = whole.index(b"\n") + 1
    for place in range(line, len(whole) - 1):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(InputError):
            read_results(path)
    path.write_bytes(whole.replace(b"0.25", b"0.26"))
    with pytest.raises(InputError, match=r"record 2: does not have the hash it was written with"):
        read_results(path)


def test_a_line_written_by_hand_needs_no_hash(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text(json.dumps(result().to_dict()) + "\n", encoding="utf-8")
    assert read_results(path) == [result()]


@pytest.mark.parametrize("value", ["NaN", "-Infinity"])
def test_a_line_with_a_hash_of_what_has_none_is_told_in_a_line(value: str, tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").write_text(f'{{"value": {value}, "check": "0123456789abcdef"}}\n')
    with pytest.raises(InputError, match=r"r\.jsonl: record 1: does not have the hash it was written with"):
        read_results(tmp_path / "r.jsonl")
