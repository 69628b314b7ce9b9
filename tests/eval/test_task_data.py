"""A reader's own tasks: from their files, or a hub data set, to canonical rows; mistakes in one line."""

from __future__ import annotations

import csv
import gzip
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from eval.files import InputError, write_jsonl
from eval.tasks import TASKS, Generation, Tagging, make_task
from eval.tasks.data import ROW_FIELDS, load_rows, source_fingerprint
from eval.tasks.settings import TaskSettings

Rows = list[dict[str, Any]]
SENTENCES = [{"text": f"sentence {n}", "label": n % 2} for n in range(6)]
HELD_OUT = [{"text": f"held out {n}", "label": n % 2} for n in range(6)]
NAMED = {"kind": "classification", "labels": ["bad", "good"]}


def settings(folder: Path, splits: dict[str, Rows] | None = None, **fields: Any) -> TaskSettings:
    """Settings for a table of rows for each of the splits."""
    splits = {"train": SENTENCES, "validation": HELD_OUT, "test": HELD_OUT} if splits is None else splits
    for split, rows in splits.items():
        write_jsonl(folder / f"{split}.jsonl", rows)
    files = {split: f"{split}.jsonl" for split in splits}
    return TaskSettings(**{"kind": "classification", "files": files} | fields)


def first_row(folder: Path, row: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return load_rows("tasks.mine", settings(folder, {"test": [row]}, **fields), folder)[0]["test"][0]


def sentences(*labels: Any, first: int = 0) -> Rows:
    """A sentence of its own for each label."""
    return [{"text": f"sentence {n}", "label": label} for n, label in enumerate(labels, start=first)]


def write_table(path: Path, rows: Rows) -> None:
    import pyarrow
    from pyarrow import parquet

    name = path.name.removesuffix(".gz")
    whole = path.with_name(name)
    if name.endswith(".csv"):
        with whole.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    elif name.endswith(".parquet"):
        parquet.write_table(pyarrow.Table.from_pylist(rows), whole)
    else:
        write_jsonl(whole, rows)
    if path != whole:
        path.write_bytes(gzip.compress(whole.read_bytes()))
        whole.unlink()


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize("packed", ["", ".gz"])
def test_every_kind_of_file_gives_the_same_rows(tmp_path: Path, kind: str, packed: str) -> None:
    rows = [{"Text": 'a, "b"\nc — naïve', "y": 0}, {"Text": "d", "y": 1}]
    write_table(tmp_path / f"train.{kind}{packed}", [{"Text": "e", "y": 0}, {"Text": "f", "y": 1}])
    for split in ("validation", "test"):
        write_table(tmp_path / f"{split}.{kind}{packed}", rows)
    files = {split: [f"{split}.{kind}*"] for split in ("train", "validation", "test")}
    columns = {"text": "Text", "label": "y"}
    own = TaskSettings(**NAMED, files=files, columns=columns)
    found, facts = load_rows("tasks.mine", own, tmp_path)
    assert found["test"] == [
        {"id": "test#0", "text": 'a, "b"\nc — naïve', "label": "bad"},
        {"id": "test#1", "text": "d", "label": "good"},
    ]
    assert list(found) == ["train", "validation", "test"]
    assert facts["notes"] == ["validation and test are the same rows: what is chosen by them is also scored"]


@pytest.mark.parametrize(
    ("kind", "row", "wanted"),
    [
        ("multi-label", {"text": "a", "labels": [1, "bad", 1]}, {"labels": ["bad", "good"]}),
        ("multi-label", {"text": "a", "labels": []}, {"labels": []}),
        ("multi-label", {"text": "a", "labels": "good, bad"}, {"labels": ["bad", "good"]}),
        ("tagging", {"words": ["a", "b"], "tags": [0, 1]}, {"words": ["a", "b"], "tags": ["bad", "good"]}),
        ("tagging", {"words": "a b", "tags": "bad bad"}, {"words": ["a", "b"], "tags": ["bad", "bad"]}),
        ("classification", {"text": "a", "label": 1.0, "group": 7}, {"label": "good", "group": "7"}),
        ("classification", {"text": "a", "label": "1"}, {"label": "good"}),
        ("classification", {"text": "a", "label": 0, "text_pair": "b"}, {"text_pair": "b"}),
        ("classification", {"text": "a", "label": " good\t"}, {"label": "good"}),
        ("multi-label", {"text": "a", "labels": [" good", "good"]}, {"labels": ["good"]}),
    ],
)
def test_labels_get_their_names(
    tmp_path: Path, kind: str, row: dict[str, Any], wanted: dict[str, Any]
) -> None:
    found = first_row(tmp_path, row, kind=kind, labels=["bad", "good"])
    assert {name: found[name] for name in wanted} == wanted


def test_other_kinds_take_their_fields(tmp_path: Path) -> None:
    squad = {"question": "who?", "context": "a cat", "answers": {"text": ["cat"], "answer_start": [2]}}
    assert first_row(tmp_path, squad, kind="span")["answers"] == [{"text": "cat", "start": 2}]
    assert (
        first_row(tmp_path, {"text": "a", "score": "3.5"}, kind="regression", columns={"value": "score"})[
            "value"
        ]
        == 3.5
    )
    nested = {"translation": {"en": "cat", "de": "Katze"}}
    columns = {"source": "translation.en", "target": "translation.de"}
    found = first_row(tmp_path, nested, kind="generation", columns=columns)
    assert (found["source"], found["target"]) == ("cat", "Katze")
    several = first_row(tmp_path, {"source": "cat", "references": ["Katze", "Kater"]}, kind="generation")
    assert (several["target"], several["references"]) == ("Katze", ["Katze", "Kater"])


@pytest.mark.parametrize(
    ("row", "fields", "message"),
    [
        (
            {"Text": "a", "label": 0},
            {},
            r"test\.jsonl: row 1: no column 'text' for text; there are Text, label; set columns: \{text",
        ),
        (
            {"text": "a", "label": 0},
            {"columns": {"text": "body"}},
            "no column 'body' for text; there are text",
        ),
        ({"text": "a", "label": 2}, NAMED, r"label is 2; the 2 labels are 0 bad to 1 good$"),
        ({"text": "a", "label": -1}, NAMED, "label is -1.*hub sets mark labels that are withheld so"),
        ({"text": "a", "label": "fine"}, NAMED, "label is 'fine'; the 2 labels are 0 bad to 1 good"),
        ({"text": "a", "label": None}, {}, "label is missing; give every row its label"),
        ({"text": "a", "label": ""}, {}, "label is missing"),
        ({"text": "a", "label": [1]}, {}, r"label is \[1\]; a name or a whole number is wanted"),
        ({"text": None, "label": 1}, {}, "text is None; a text is wanted"),
        ({"text": "a", "value": "nan"}, {"kind": "regression"}, "value is 'nan'; a finite number is wanted"),
        ({"text": "a", "value": 10**400}, {"kind": "regression"}, "value is 1000.*a finite number is wanted"),
        ({"source": "a", "target": " "}, {"kind": "generation"}, "target is empty; a text is wanted"),
        ({"words": ["a"], "tags": ["X", "Y"]}, {"kind": "tagging"}, "1 words and 2 tags; give each word one"),
        (
            {"question": "q", "context": "a cat", "answers": [{"text": "cat", "start": 1}]},
            {"kind": "span"},
            "the answer 'cat' does not stand at character 1 of the context",
        ),
        (
            {"question": "q", "context": "c", "answers": "cat"},
            {"kind": "span"},
            r"\[\{text, start\}\] is wanted",
        ),
    ],
)
def test_a_wrong_row_is_refused_in_one_line(
    tmp_path: Path, row: dict[str, Any], fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        first_row(tmp_path, row, **fields)
    assert "\n" not in str(caught.value)


def test_files_that_are_wrong_are_named(tmp_path: Path) -> None:
    own = settings(tmp_path)
    (tmp_path / "test.jsonl").write_text("")
    with pytest.raises(InputError, match=r"tasks\.mine: the test split has no rows"):
        load_rows("tasks.mine", own, tmp_path)
    (tmp_path / "test.jsonl").write_text('{"id": 7, "text": "a", "label": 1}\n' * 2)
    with pytest.raises(InputError, match=r"test\.jsonl: row 2: id '7' was used before in test"):
        load_rows("tasks.mine", own, tmp_path)
    (tmp_path / "test.jsonl").unlink()
    for call in (load_rows, source_fingerprint):
        with pytest.raises(InputError, match=r"^tasks\.mine\.files\.test: 'test\.jsonl' matches no file in"):
            call("tasks.mine", own, tmp_path)
    (tmp_path / "t.csv").write_text("text,label,text,,\na,1,b,,\n")
    with pytest.raises(InputError, match=r"t\.csv: has two columns 'text'; give each a name of its own"):
        load_rows("tasks.mine", TaskSettings(kind="classification", files={"test": "t.csv"}), tmp_path)
    (tmp_path / "t.csv").write_text("text,label\na,1\nb\n")
    with pytest.raises(InputError, match=r"t\.csv:3: has other columns than the 2 of the first line"):
        load_rows("tasks.mine", TaskSettings(kind="classification", files={"test": "t.csv"}), tmp_path)
    (tmp_path / "t.csv").write_text('text,label\na,1\n"b,2\nc,3\n')
    with pytest.raises(InputError, match=r"t\.csv:3: not CSV"):
        load_rows("tasks.mine", TaskSettings(kind="classification", files={"test": "t.csv"}), tmp_path)
    (tmp_path / "t.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(InputError, match=r"t\.parquet: not a whole parquet file"):
        load_rows("tasks.mine", TaskSettings(kind="classification", files={"test": "t.parquet"}), tmp_path)
    (tmp_path / "a.txt").write_text("a")
    with pytest.raises(InputError, match=r"a\.txt is none of \.jsonl, \.csv, \.parquet"):
        load_rows("tasks.mine", TaskSettings(kind="classification", files={"test": "a.txt"}), tmp_path)


def test_validation_is_cut_from_train_by_content(tmp_path: Path) -> None:
    rows = [{"text": f"sentence {n % 300}", "label": n % 2} for n in range(600)]
    settings(tmp_path, {"train": rows, "test": HELD_OUT})
    own = TaskSettings(kind="classification", files={"train": "train.jsonl", "test": "test.jsonl"})
    found, facts = load_rows("tasks.mine", own, tmp_path)
    held_out = {row["text"] for row in found["validation"]}
    assert 10 <= len(found["validation"]) <= 50
    assert len(found["train"]) + len(found["validation"]) == 600
    assert not held_out & {row["text"] for row in found["train"]}, "equal rows stay on one side"
    assert facts["notes"][0].startswith(f"validation: {len(found['validation'])} of the train rows")
    write_jsonl(tmp_path / "train.jsonl", [*reversed(rows), {"text": "new", "label": 0}])
    again = {row["text"] for row in load_rows("tasks.mine", own, tmp_path)[0]["validation"]}
    assert again - {"new"} == held_out, "other rows and another order change nothing"


@pytest.mark.parametrize("rare", [1, 2, 5])
def test_no_label_is_cut_out_of_train(tmp_path: Path, rare: int) -> None:
    """Labels that one text alone has, among those that would be cut."""
    rows = sentences(*["a", "b"] * 200, *[f"rare {n}" for n in range(rare)])
    own = settings(tmp_path, {"train": rows, "test": sentences("a", first=900)})
    found, _ = load_rows("tasks.mine", own, tmp_path)
    assert {row["label"] for row in found["train"]} == {row["label"] for row in rows}
    assert len(found["train"]) + len(found["validation"]) == len(rows)
    own = settings(tmp_path, {"train": sentences("a", "b"), "test": sentences("a", first=900)})
    with pytest.raises(InputError, match=r"tasks\.mine: .* each alone has a label.* name its rows"):
        load_rows("tasks.mine", own, tmp_path)


@pytest.mark.parametrize(
    ("kind", "field", "split"),
    [
        ("classification", "label", "validation"),
        ("classification", "label", "test"),
        ("multi-label", "labels", "test"),
        ("tagging", "tags", "test"),
    ],
)
def test_a_label_that_train_lacks_is_found_before_anything_is_trained(
    tmp_path: Path, kind: str, field: str, split: str
) -> None:
    def rows(*labels: str) -> Rows:
        wrap = field != "label"
        return [
            {"text": f"{labels} {n}", "words": [f"{labels}{n}"], field: [one] if wrap else one}
            for n, one in enumerate(labels)
        ]

    splits = {"train": rows("a", "b"), "validation": rows("a"), "test": rows("b")}
    assert load_rows("tasks.mine", settings(tmp_path, splits, kind=kind), tmp_path)
    splits[split] = rows("a", "other")
    message = rf"^tasks\.mine: {split} row '{split}#1' has the label 'other', which no train row has; add"
    with pytest.raises(InputError, match=message):
        load_rows("tasks.mine", settings(tmp_path, splits, kind=kind), tmp_path)


def test_one_label_is_nothing_to_choose_from(tmp_path: Path) -> None:
    splits = {"train": sentences("a", "a"), "validation": HELD_OUT, "test": HELD_OUT}
    with pytest.raises(InputError, match=r"tasks\.mine: the train rows have one label, 'a'; classification"):
        load_rows("tasks.mine", settings(tmp_path, splits), tmp_path)
    many = [{"text": "x", "labels": []}]
    splits = {"train": many, "validation": many, "test": [{"text": "y", "labels": []}]}
    with pytest.raises(InputError, match=r"the train rows have no labels; multi-label needs 1 or more"):
        load_rows("tasks.mine", settings(tmp_path, splits, kind="multi-label"), tmp_path)


def test_train_rows_that_are_test_rows_go_and_overlaps_are_told(tmp_path: Path) -> None:
    words = [f"word{n}" for n in range(40)]
    train = [*SENTENCES, {"id": "x", "text": f"so {' '.join(words)} end", "label": 0, "group": "g"}]
    test = [
        {"id": "same", "text": "sentence 3", "label": 1, "group": "other"},
        {"id": "other label", "text": "sentence 2", "label": 1},
        {"id": "near", "text": " ".join(words[5:25]), "label": 0},
    ]
    train = [{"id": f"t{n}"} | row for n, row in enumerate(train)]
    own = settings(tmp_path, {"train": train, "validation": HELD_OUT, "test": test})
    rows, facts = load_rows("tasks.mine", own, tmp_path)
    assert [row["id"] for row in rows["train"]] == ["t0", "t1", "t2", "t4", "t5", "x"]
    assert facts["removed"] == {"train rows that are test rows": {"count": 1, "examples": ["t3 = same"]}}
    found = facts["overlap"]["with train"]
    assert (found["count"], found["of"], found["examples"][0][:17]) == (1, 3, "near: word5 word6")
    own = settings(tmp_path, {"train": SENTENCES[:2], "validation": HELD_OUT, "test": SENTENCES})
    with pytest.raises(InputError, match=r"tasks\.mine: every train row is a test row, too; name other rows"):
        load_rows("tasks.mine", own, tmp_path)


def test_a_plan_looks_at_the_first_row_of_every_file(tmp_path: Path) -> None:
    def refused(message: str, **fields: Any) -> None:
        with pytest.raises(InputError, match=message) as caught:
            source_fingerprint("tasks.mine", settings(tmp_path, **fields), tmp_path)
        assert "\n" not in str(caught.value)

    refused(r"train\.jsonl: row 1: no column 'body' for text", columns={"text": "body"})
    refused(r"train\.jsonl: row 1: label is 'sentence 0'; the 2 labels", columns={"label": "text"}, **NAMED)
    refused(r"test\.jsonl: has no rows; give it some, or take it out of tasks\.mine\.files\.test",
            splits={"train": SENTENCES, "test": []})  # fmt: skip


def test_the_fingerprint_is_that_of_the_files(tmp_path: Path) -> None:
    own = settings(tmp_path)
    before = source_fingerprint("tasks.mine", own, tmp_path)
    assert source_fingerprint("other", own, tmp_path) == before
    write_jsonl(tmp_path / "test.jsonl", HELD_OUT[1:])
    assert source_fingerprint("tasks.mine", own, tmp_path) != before
    hub = TaskSettings(kind="classification", hub={"name": "a/b"})
    newer = TaskSettings(kind="classification", hub={"name": "a/b", "revision": "v2"})
    assert source_fingerprint("tasks.mine", hub, tmp_path) != source_fingerprint(
        "tasks.mine", newer, tmp_path
    )


def test_a_hub_set_is_read_at_the_commit_that_its_name_stands_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def load_dataset(path: str, *, split: str, revision: str, name: str | None) -> Rows:
        asked.append((path, name, split, revision))
        if split == "dev":
            raise ValueError('Unknown split "dev". Should be one of train.')
        return [{"idx": n, "sentence": f"{split} {n}", "label": n % 2} for n in range(3)]

    class Info:
        sha = "c0ffee"

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", lambda *args, **more: Info)
    hub = {
        "name": "nyu-mll/glue",
        "config": "sst2",
        "splits": {"validation": "validation", "test": "validation"},
    }
    own = TaskSettings(**NAMED, hub=hub, columns={"text": "sentence", "id": "idx"})
    rows, facts = load_rows("sst2", own, tmp_path)
    assert rows["test"][1] == {"id": "1", "text": "validation 1", "label": "good"}
    assert facts["revision"] == "c0ffee"
    assert asked[0] == ("nyu-mll/glue", "sst2", "train", "c0ffee")
    hub["splits"] = {"test": "dev"}
    with pytest.raises(InputError, match=r"hub data set 'nyu-mll/glue': cannot be loaded \(Unknown split"):
        load_rows("sst2", TaskSettings(**NAMED, hub=hub), tmp_path)


def test_the_hubs_own_tables_are_read_by_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder laid out as that branch is; `datasets` itself reads it."""
    sets = tmp_path / "scitldr"
    for config in ("Abstract", "FullText"):
        for split in ("train", "validation", "test"):
            path = sets / config / split / "0000.parquet"
            path.parent.mkdir(parents=True)
            rows = [{"paper_id": "p", "source": [config, "more."], "target": [f"in {split}", "so"]}]
            write_table(path, rows)
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    hub = {"name": str(sets), "config": "Abstract", "revision": "refs/convert/parquet"}
    columns = {"id": "paper_id", "references": "target"}
    rows, facts = load_rows("t", TaskSettings(kind="generation", hub=hub, columns=columns), tmp_path)
    assert rows["test"] == [
        {"id": "p", "source": "Abstract more.", "target": "in test", "references": ["in test", "so"]}
    ]
    assert facts["missing"] == {"revision": "a folder"}


def test_settings_round_trip_and_make_equal_tasks() -> None:
    own = TaskSettings(kind="generation", files={"test": "a.jsonl"}, cue=" =>", metrics=["ter"])
    again = TaskSettings(**own.model_dump(mode="json"))
    assert again == own
    task = make_task("mine", own)
    assert task == make_task("mine", again)
    assert isinstance(task, Generation)
    assert (task.cue, task.metrics) == (" =>", ("ter",))
    rows_only = TaskSettings(**own.model_dump(mode="json", include=set(ROW_FIELDS)))
    assert rows_only.files == own.files
    assert isinstance(make_task("t", TaskSettings(kind="tagging", files={"test": "a.jsonl"})), Tagging)
    assert {"masked-lm", "pseudo-perplexity"} < set(TASKS)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "give exactly one of files, hub"),
        ({"files": {"test": "a"}, "hub": {"name": "b"}}, "give exactly one of files, hub"),
        (
            {"files": {"test": "a"}, "columns": {"txt": "b"}},
            "classification has no field of this name; it has id",
        ),
        ({"files": {"test": "a"}, "labels": ["x", "x"]}, "name at least two labels, each once"),
        ({"files": {"test": "a"}, "kind": "span", "labels": ["x", "y"]}, "span has no labels; remove it"),
        ({"files": {"test": "a"}, "cue": " "}, "only generation has this; remove it"),
        (
            {"files": {"test": "a"}, "metrics": ["bleu"]},
            "'bleu' is no metric of classification; choose from acc",
        ),
        ({"files": {"test": "a"}, "metrics": []}, "name at least one metric"),
        ({"files": {"train": "a"}}, "Field required"),
        ({"files": {"test": "a"}, "kind": "ranking"}, "Input should be 'language-modelling'"),
    ],
)
def test_settings_that_contradict_themselves_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TaskSettings(**{"kind": "classification"} | fields)


def test_settings_and_data_are_light_to_import() -> None:
    heavy = "{'torch', 'transformers', 'datasets', 'pyarrow', 'huggingface_hub'}"
    code = f"import sys, eval.tasks.data; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


REAL = {
    "sst2/sentences": (NAMED, (6920, 872, 1821)),
    "multi30k": (
        {"kind": "generation", "columns": {"source": "en", "target": "de"}},
        (29000, 1014, 1000),
    ),
    "scitldr": (
        {"kind": "generation", "columns": {"source": "document", "target": "summary"}},
        (1992, 619, 618),
    ),
}


@pytest.mark.parametrize("name", REAL)
def test_the_real_sets_load(stepladder_data: Path, name: str) -> None:
    fields, counts = REAL[name]
    test = "test_2016_flickr" if name == "multi30k" else "test"
    names = {"train": "train", "validation": "validation", "test": test}
    files = {split: f"{name}/{file}.jsonl.gz" for split, file in names.items()}
    rows, facts = load_rows("real", TaskSettings(**fields, files=files), stepladder_data)
    removed = facts.get("removed", {}).get("train rows that are test rows", {"count": 0})["count"]
    assert (len(rows["train"]) + removed, len(rows["validation"]), len(rows["test"])) == counts
    assert removed < 10, "sets that others made: a few of SST-2's sentences stand in two splits"
    assert facts["notes"] == []
    assert facts["overlap"]["with train"]["count"] < 0.04 * counts[2], "eight words may be a phrase"
    if name == "scitldr":
        assert sum(len(row["references"]) for row in rows["test"]) == 1967, "as its README says"


def test_xquad_is_read_as_it_is(stepladder_data: Path) -> None:
    own = TaskSettings(kind="span", files={"test": "xquad_en/test.jsonl.gz"})
    rows, _ = load_rows("xquad", own, stepladder_data)
    assert (list(rows), len(rows["test"])) == (["test"], 1190)
