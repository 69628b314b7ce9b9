"""Tables in: what each kind of file becomes, what is never mixed, and every mistake in one line."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from eval.files import InputError
from eval.results import write_results
from scaling_report.sources import Runs, open_table, select_runs
from tests.scaling_report.synthetic import ladder, result, write_ladder

ROWS = [{"n": 1e7 * 2**k, "d": 1e9, "loss": 3.0 - 0.1 * k} for k in range(6)]


def select(source: Any, *where: str, y: str = "loss", **inputs: str) -> Runs:
    return select_runs(open_table(source), inputs or {"n": "n", "d": "d"}, y, where)


def refused(source: Any, *where: str, y: str = "loss", **inputs: str) -> str:
    with pytest.raises(InputError) as caught:
        select(source, *where, y=y, **inputs)
    said = str(caught.value)
    assert "\n" not in said
    return said


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "jsonl", "parquet"])
def test_a_file_of_any_kind_is_the_same_table(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"runs.{kind}"
    lines = ["n,d,loss", *(",".join(str(cell) for cell in row.values()) for row in ROWS)]
    if kind == "jsonl":
        path.write_text("\n".join(map(json.dumps, ROWS)))
    elif kind == "parquet":
        parquet.write_table(pyarrow.Table.from_pylist(ROWS), path)
    elif kind == "csv":
        path.write_text("\n".join(lines))
    else:
        path.write_bytes(gzip.compress("\n".join(lines).encode()))
    _same_runs(select(path))


def _same_runs(found: Runs) -> None:
    np.testing.assert_array_equal(found.inputs["n"], [row["n"] for row in ROWS])
    np.testing.assert_array_equal(found.y, [row["loss"] for row in ROWS])
    assert found.unit == "nats per token"


class Frame:
    """Named columns as a data frame has them."""

    columns = ("n", "d", "loss")

    def __getitem__(self, name: str) -> list[float]:
        return [row[name] for row in ROWS]


@pytest.mark.parametrize(
    "table",
    [
        ROWS,
        {name: np.array([row[name] for row in ROWS]) for name in ("n", "d", "loss")},
        np.array([tuple(row.values()) for row in ROWS], dtype=[("n", float), ("d", float), ("loss", float)]),
        pyarrow.Table.from_pylist(ROWS),
        Frame(),
    ],
    ids=["rows", "columns", "structured", "pyarrow", "frame"],
)
def test_tables_in_memory_are_read_by_column(table: Any) -> None:
    _same_runs(select(table))


def test_pandas_tables_are_read_by_column() -> None:
    pandas = pytest.importorskip("pandas")
    _same_runs(select(pandas.DataFrame(ROWS)))


def test_what_is_no_table_is_said() -> None:
    assert "table: is a int; give a path, a mapping of columns" in refused(3)
    said = refused({"n": [1e6, 2e6], "d": [1e9]})
    assert said == "table: its columns differ in length (n has 2, d has 1); give a value for every run"


# what rows are wanted


@pytest.mark.parametrize(
    ("where", "kept"),
    [
        ("who=me", 2), ("who!=me", 1), ("lr=0.1", 2), ("lr==1e-1", 2), ("lr!=0.1", 1), ("lr<0.05", 1),
        ("lr>=0.1", 2), ("ready=true", 1), ("note=null", 2), ("note!=null", 1), ("who=John of x", 1),
    ],
)  # fmt: skip
def test_rows_are_chosen_by_number_and_by_text(where: str, kept: int) -> None:
    told = (("me", 0.1, True, None), ("me", "0.10", False, ""), ("John of x", 0.01, None, "odd"))
    rows = [
        {**ROWS[place], "who": who, "lr": rate, "ready": ready, "note": note}
        for place, (who, rate, ready, note) in enumerate(told)
    ]
    found = select(rows, where)
    assert found.y.size == kept
    assert found.left_out == (f"{3 - kept} row{'s' if kept < 2 else ''} by --where",)


def test_rows_without_a_number_are_listed_and_those_that_are_not_wanted_may_hold_text() -> None:
    rows = [
        *ROWS,
        {"n": 1e8, "d": None, "loss": 2},
        {"n": "nan", "d": 1e9, "loss": 2},
        {"n": 1, "loss": "bad"},
    ]
    found = select(rows, "n!=1")
    assert found.left_out == ("1 row by --where", "2 rows without a number (rows 7, 8)")
    assert refused(rows) == "table: row 9: loss: 'bad' is no number; write one"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"loss": "low"}, "table: row 7: loss: 'low' is no number; write one"),
        ({"n": -5}, "table: row 7: n: -5; laws need finite numbers above zero: mend or leave out the row"),
        (
            {"loss": 0},
            "table: row 7: loss: 0; laws need finite numbers above zero: mend or leave out the row",
        ),
        ({"loss": True}, "table: row 7: loss: True is no number; write one"),
    ],
)
def test_a_bad_cell_is_named_by_row_and_column(change: dict[str, Any], said: str) -> None:
    assert refused([*ROWS, {**ROWS[0], **change}]) == said


def test_a_missing_column_is_said_with_those_that_are_there() -> None:
    assert refused(ROWS, y="los") == "table: has no column 'los'; did you mean 'loss'? there are n, d, loss"
    assert refused(ROWS, "seed=1") == "table: has no column 'seed'; there are n, d, loss"


# what is never mixed


@pytest.mark.parametrize("column", ["metric", "split", "Objective", "tokenizer", "task", "signature", "unit"])
def test_rows_of_several_kinds_are_refused_with_the_way_to_choose(column: str) -> None:
    rows = [{**row, column: "a" if place < 4 else "b c"} for place, row in enumerate(ROWS)]
    assert refused(rows) == (
        f"table: loss is of several kinds: {column} is 'a' (4 rows), 'b c' (2 rows); "
        f"choose with --where '{column}=a'"
    )
    assert select(rows, f"{column}=b c").y.tolist() == [row["loss"] for row in ROWS[4:]]


def test_runs_whose_rate_had_not_decayed_stay_out_unless_asked_for() -> None:
    rows = [{**row, "annealed": place != 2} for place, row in enumerate(ROWS)]
    found = select(rows)
    assert found.y.size == 5
    assert found.left_out == ("1 row whose learning rate had not decayed (--where annealed=false fits them)",)
    assert select(rows, "annealed=false").y.tolist() == [ROWS[2]["loss"]]


# the same run twice


def test_one_run_with_two_values_is_refused_and_one_that_agrees_is_counted_once() -> None:
    twice = [*({**row, "seed": 0} for row in ROWS), {**ROWS[0], "seed": 0, "lr": 3}]
    found = select(twice)
    assert found.y.size == 6
    assert found.left_out == ("1 row already in the table (row 7 as row 1)",)
    twice[-1]["loss"] = 2.9
    assert refused(twice) == "table: row 1 and row 7 are one run (seed=0) with loss 3.0 and 2.9; remove one"
    twice[-1]["seed"] = 1
    assert select(twice).y.size == 7


def test_the_same_inputs_are_repeats_where_nothing_tells_runs_apart() -> None:
    assert select([*ROWS, {**ROWS[0], "loss": 3.01}]).y.size == 7


# units


@pytest.mark.parametrize(
    ("scale", "inputs", "said"),
    [
        ({"d": 1e-9}, "nd", "d ('d') is 1 at most, too few to be tokens; give tokens: multiply by 1e9"),
        ({"n": 1e-9}, "nd", "n ('n') is 0.32 at most, too few to be parameters; give parameters: multiply"),
        ({"c": 1 / 8.64e19}, "nc", "too few to be FLOPs; give FLOPs: for PFLOP/s-days multiply by 8.64e+19"),
    ],
)
def test_counts_in_another_unit_are_refused(scale: dict[str, float], inputs: str, said: str) -> None:
    rows = [{**row, "c": 6 * row["n"] * row["d"]} for row in ROWS]
    rows = [{name: value * scale.get(name, 1) for name, value in row.items()} for row in rows]
    assert said in refused(rows, **{name: name for name in inputs})


def test_what_is_odd_about_numbers_is_noted() -> None:
    flops = [{**row, "flops": 600 * row["n"] * row["d"]} for row in ROWS]
    assert "its FLOPs are 100 times 6·n·d (median)" in select(flops).notes[0]
    assert "loss reaches 30; as nats a token that is no loss" in select([{**ROWS[0], "loss": 30}]).notes[0]
    assert "1 of 6 runs have less than a token" in select([{**ROWS[0], "n": 1e13}, *ROWS[1:]]).notes[0]
    assert select(ROWS).notes == ()


@pytest.mark.parametrize(
    ("column", "unit"),
    [
        ("loss", "nats per token"),
        ("val_bpb", "bits per byte"),
        ("word_perplexity", "perplexity"),
        ("acc", None),
    ],
)
def test_the_unit_is_read_off_the_columns_name(column: str, unit: str | None) -> None:
    assert select([{**row, column: 0.5} for row in ROWS], y=column).unit == unit


# a run folder


def test_a_run_folder_is_a_table_of_trained_runs(tmp_path: Path) -> None:
    write_ladder(tmp_path / "results.jsonl")
    found = select(tmp_path, y="bits_per_byte", n="n")
    wanted = [one for one in ladder() if one.metric == "bits_per_byte"]
    assert found.y.tolist() == [one.value for one in wanted]
    assert found.inputs["n"].tolist() == [one.params["non_embedding"] for one in wanted if one.params]
    for column in ("total", "matmul"):
        held = select(tmp_path / "results.jsonl", y="bits_per_byte", n=column).inputs["n"].tolist()
        assert held == [one.params[column] for one in wanted if one.params]
    assert select(tmp_path, y="bits_per_byte", d="d", c="c").inputs["c"].tolist() == [
        one.flops for one in wanted
    ]
    bleu = select(tmp_path, y="bleu", n="n")
    assert bleu.y.size == 6  # the baseline is no run
    assert bleu.left_out == ("1 row without a number (r4-115k, seed 0)",)


def test_a_run_folders_splits_signatures_and_lengths_are_not_mixed(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    more = result("bits_per_byte", 2.0, split="validation")
    write_results(path, [*ladder(), more])
    said = refused(path, y="bits_per_byte", n="n")
    assert "split is 'test' (10 rows), 'validation' (1 row); choose with --where 'split=test'" in said
    assert select(path, "split=test", y="bits_per_byte", n="n").y.size == 10
    write_results(path, [*ladder(), result("bits_per_byte", 2.0, signature="context:512")])
    assert "bits_per_byte_signature is 'context:256|stride:128' (10 rows)" in refused(
        path, y="bits_per_byte", n="n"
    )
    write_results(path, [result("bits_per_byte", 2.0 + k, tokens=1_000_000 * (k + 1)) for k in range(2)])
    said = refused(path, y="bits_per_byte", n="n")
    assert "(they differ in d, tokens); choose with --where 'd=1000000'" in said
    assert select(path, y="bits_per_byte", n="n", d="d").y.size == 2


# lm-evaluation-harness


def harness_file(folder: Path, model: str, size: int, **changes: Any) -> Path:
    """A result file as lm_eval 0.4.13 writes it, of the keys that matter."""
    scores = {"acc,none": 0.25 + size / 1e9, "acc_stderr,none": 0.01, "bits_per_byte,none": 2.0}
    measured = {"name": "arc", "alias": "arc", "sample_len": 9, **scores, "bits_per_byte_stderr,none": "N/A"}
    value = {
        "results": {"arc": measured, "other": {"alias": "other", "exact_match,strict-match": 0.5}},
        "configs": {"arc": {}, "other": {}},
        "versions": {"arc": 1.0, "other": 2},
        "n-shot": {"arc": 0, "other": 5},
        "n-samples": {"arc": {"original": 9, "effective": 9}},
        "config": {"model": "hf", "model_num_parameters": size, "model_revision": "main"},
        "model_name": model,
        "max_length": 1024,
        **changes,
    }
    path = folder / model / "results_2026-01-31T12-00-00.000000.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(value))
    return path


def test_lm_evals_files_are_rows_by_model_and_task(tmp_path: Path) -> None:
    sizes = [10_000_000 * k for k in range(1, 6)]
    paths = [harness_file(tmp_path, f"m{size}", size) for size in sizes]
    for y in ("acc", "acc,none"):
        found = select(tmp_path, y=y, n="n")
        assert found.inputs["n"].tolist() == sizes
        assert found.y.tolist() == [0.25 + size / 1e9 for size in sizes]
    assert select(tmp_path, y="exact_match,strict-match", n="total").y.tolist() == [0.5] * 5
    assert select(paths[0], y="acc", n="n").y.size == 1
    runs = select_runs(open_table(tmp_path), {"n": "n"}, "acc", others=("acc_stderr",))
    assert runs.others["acc_stderr"].tolist() == [0.01] * 5


def test_lm_evals_shots_contexts_and_models_are_not_mixed(tmp_path: Path) -> None:
    harness_file(tmp_path, "a", 1000)
    harness_file(tmp_path, "b", 2000, **{"n-shot": {"arc": 5, "other": 5}, "max_length": 2048})
    said = refused(tmp_path, y="acc", n="n")
    assert "acc_signature is 'version:1.0|shots:0|items:9' (1 row), 'version:1.0|shots:5|items:9'" in said
    assert "|context:2048'" in refused(tmp_path, y="bits_per_byte", n="n")
    assert select(tmp_path, y="exact_match,strict-match", n="n").y.size == 2


def test_a_model_that_was_measured_twice_must_agree(tmp_path: Path) -> None:
    first = harness_file(tmp_path, "a", 1000)
    again = json.loads(first.read_text())
    (tmp_path / "a" / "results_later.json").write_text(json.dumps(again))
    assert "1 row already in the table" in select(tmp_path, y="acc", n="n").left_out[0]
    again["results"]["arc"]["acc,none"] = 0.9
    (tmp_path / "a" / "results_later.json").write_text(json.dumps(again))
    assert "are one run (model=a, task=arc) with acc 0.250001 and 0.9; remove one" in refused(
        tmp_path, y="acc", n="n"
    )


# transformers' trainer


def state(end: int = 20, planned: int = 20, *, rate: float = 0.0, **changes: Any) -> dict[str, Any]:
    """What `Trainer` keeps of a run of `planned` steps at step `end`."""
    logged: list[dict[str, Any]] = [
        {"step": 6, "loss": 4.0, "learning_rate": 1e-3, "num_input_tokens_seen": 600},
        {"step": 10, "eval_loss": 3.8, "num_input_tokens_seen": 1000},
        {"step": 18, "loss": 3.5, "learning_rate": rate, "num_input_tokens_seen": 1800},
        {"step": 20, "eval_loss": 3.4, "num_input_tokens_seen": 2000},
        {"step": 20, "train_loss": 3.7, "total_flos": 12e6, "num_input_tokens_seen": 2000},
    ]
    return {
        "global_step": end,
        "max_steps": planned,
        "logging_steps": 3,
        "num_input_tokens_seen": 100 * end,
        "total_flos": 6e5 * end,
        "log_history": [entry for entry in logged if entry["step"] <= end],
        **changes,
    }


def write_state(folder: Path, value: dict[str, Any], weights: dict[str, list[int]] | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "trainer_state.json"
    path.write_text(json.dumps(value))
    if weights is not None:
        header = {
            name: {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]} for name, shape in weights.items()
        }
        text = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
        (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text)
    return path


def test_a_trainers_run_is_its_last_annealed_values(tmp_path: Path) -> None:
    write_state(tmp_path / "a" / "checkpoint-10", state(10))
    write_state(tmp_path / "a" / "checkpoint-20", state(), {"wte.weight": [64, 16], "ln.bias": [16]})
    write_state(tmp_path / "a", state())
    write_state(tmp_path / "b", state(), {"wte.weight": [64, 32]})
    found = select(tmp_path, y="eval_loss", n="n", d="d")
    assert found.inputs["n"].tolist() == [64 * 16 + 16, 64 * 32]
    assert found.inputs["d"].tolist() == [2000, 2000]
    assert found.y.tolist() == [3.4, 3.4]
    assert found.left_out == (
        "2 rows whose learning rate had not decayed (--where annealed=false fits them)",
    )
    assert select(tmp_path, y="loss", c="c", d="d").inputs["c"].tolist() == [12e6, 12e6]
    assert select(tmp_path, y="loss", n="n", d="d").y.tolist() == [3.5, 3.5]  # of the last logging window
    assert select(tmp_path, "annealed=false", "run=a", y="eval_loss", n="n", d="d").y.tolist() == [3.8]


@pytest.mark.parametrize(
    ("value", "fitted", "noted"),
    [
        (state(rate=1e-4), True, False),  # a cosine to a tenth
        (state(rate=1e-3), False, False),  # a constant rate
        (state(10, 20), False, False),  # stopped half-way
        (state(planned=40), False, False),
        ({**state(), "log_history": [{"step": 20, "eval_loss": 3.4}]}, True, True),  # nothing logged
    ],
    ids=["cosine", "constant", "half-way", "planned-for-longer", "unknown"],
)
def test_a_run_is_annealed_where_its_rate_came_down(
    value: dict[str, Any], fitted: bool, noted: bool, tmp_path: Path
) -> None:
    path = write_state(tmp_path / "run", value)
    if not fitted:
        assert "whose learning rate had not decayed" in refused(path, y="eval_loss", d="d")
        return
    found = select(path, y="eval_loss", d="d")
    assert found.y.tolist() == [3.4]
    assert any("whether the learning rate had decayed is not known" in note for note in found.notes) is noted


def test_a_run_without_weights_has_no_size_and_a_broken_file_is_named(tmp_path: Path) -> None:
    write_state(tmp_path / "run", state())
    assert "1 row without a number (run, step 20)" in refused(tmp_path, y="eval_loss", n="n")
    (tmp_path / "run" / "model.safetensors").write_bytes(b"no")
    assert "model.safetensors: not a whole safetensors file" in refused(tmp_path, y="eval_loss", n="n")


def test_what_is_empty_or_not_whole_is_one_line(tmp_path: Path) -> None:
    assert refused([]) == "table: has no rows; give it a row for every run"
    (tmp_path / "runs.csv").write_text("n,d,loss\n")
    assert refused(tmp_path / "runs.csv").endswith("runs.csv: has no rows; give it a row for every run")
    path = write_state(tmp_path / "run", {**state(), "log_history": [{"step": "late"}]})
    assert "its trainer_state.json is not whole (invalid literal for int()" in refused(path, y="loss", d="d")
    path = harness_file(tmp_path, "m", 1000, results={"arc": 3})
    assert "is not whole ('int' object has no attribute 'items'); leave it out" in refused(path, n="n")


def test_a_folder_or_file_of_no_known_form_is_refused(tmp_path: Path) -> None:
    none = "no results.jsonl, results_*.json or trainer_state.json in this folder or up to 3 below"
    assert none in refused(tmp_path)
    write_state(tmp_path / "far" / "too" / "far" / "below", state())
    assert none in refused(tmp_path)
    (tmp_path / "x.json").write_text("{}")
    assert "x.json: is no results file that is known; there are a table (.csv" in refused(tmp_path / "x.json")
    write_state(tmp_path / "run", state())
    harness_file(tmp_path, "m", 1000)
    assert "holds trainer_state.json and results_*.json files; name a folder of one" in refused(tmp_path)
