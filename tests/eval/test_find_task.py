"""Finding the task that a command line means, and every mistake told before a model is loaded."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from eval.files import InputError, read_jsonl, write_json, write_jsonl
from eval.tasks import TASKS, Generation, MultipleChoice, PromptedClassification, Toxicity
from eval.tasks.base import KINDS
from eval.tasks.find import find_task
from eval.tasks.rows import open_rows
from eval.tasks.shots import few_shots

QUIZ = "question,a,b,c,right\nWhat is 1 + 1?,one,two,three,B\nIs water wet?,yes,no,perhaps,yes\n"
TASK = """\
kind: multiple-choice
files: {test: quiz.csv}
prompt: "Question: {{ question }}\\nAnswer:"
choices: ["{{ a }}", "{{ b }}", "{{ c }}"]
columns: {answer: right}
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quiz.csv").write_text(QUIZ, encoding="utf-8")
    (tmp_path / "my-quiz.yaml").write_text(TASK, encoding="utf-8")
    return tmp_path


def refused(reference: str, *data: str) -> str:
    with pytest.raises(InputError) as caught:
        find_task(reference, data)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def rows_of(reference: str, *data: str, out: Path = Path("out")) -> list[dict[str, Any]]:
    found = find_task(reference, data)
    return [dict(row) for row in open_rows(found.task, found.rows(out), "test")]


def test_a_file_is_a_task_over_the_files_beside_it(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(here.parent)
    found = find_task(str(here / "my-quiz.yaml"))
    assert (found.name, found.base) == ("my-quiz", here)
    assert isinstance(found.task, MultipleChoice)
    assert rows_of(str(here / "my-quiz.yaml"), out=here / "out") == [
        {
            "id": "test#0",
            "query": "Question: What is 1 + 1?\nAnswer:",
            "choices": ["one", "two", "three"],
            "answer": 1,
        },
        {
            "id": "test#1",
            "query": "Question: Is water wet?\nAnswer:",
            "choices": ["yes", "no", "perhaps"],
            "answer": 0,
        },
    ]
    (here / "my-quiz.yaml").write_text("name: quiz-2\n" + TASK, encoding="utf-8")
    assert find_task(str(here / "my-quiz.yaml")).task.name == "quiz-2"


def test_data_takes_the_place_of_a_files_test_rows(here: Path) -> None:
    (here / "other.csv").write_text(QUIZ.replace("wet", "dry"), encoding="utf-8")
    train = TASK.replace("{test:", "{train: quiz.csv, test:") + "shots: 1\n"
    (here / "few.yaml").write_text(train, encoding="utf-8")
    found = find_task("few.yaml", ["other.csv"])
    out = found.rows(here / "out")
    assert (out / "train.jsonl").is_file()
    find_task("my-quiz.yaml").rows(out)
    assert not (out / "train.jsonl").exists(), "what was there before goes"
    found.rows(out)
    assert "dry" in json.dumps(list(read_jsonl(out / "test.jsonl")))
    train_rows = list(read_jsonl(out / "train.jsonl"))
    assert [row["answer"] for row in train_rows] == [0], "train rows that are test rows are left out"
    assert not (out / "validation.jsonl").exists(), "nothing is chosen by what is not learnt"
    assert isinstance(found.task, MultipleChoice)
    assert few_shots(found.task, train_rows).prefix({"query": "?", "choices": []}).endswith("yes\n\n")


def test_a_kind_and_a_built_in_task_over_a_readers_file(here: Path) -> None:
    write_jsonl(here / "my.jsonl", [{"query": "2 + 2 =", "choices": ["4", "5"], "answer": 0}])
    found = find_task("multiple-choice", ["my.jsonl"])
    assert (found.name, found.task.name) == ("multiple-choice-my", "multiple-choice-my")
    assert rows_of("multiple-choice", "my.jsonl")[0]["answer"] == 0
    (here / "a.txt").write_text("First.", encoding="utf-8")
    (here / "b.txt").write_text("Second.", encoding="utf-8")
    found = find_task("perplexity", ["*.txt"])
    assert (found.task, found.settings) == (TASKS["perplexity"], None)
    assert [row["text"] for row in rows_of("perplexity", "*.txt")] == ["First.", "Second."]
    write_jsonl(here / "lambada.jsonl", [{"text": "He sat down on the chair"}])
    assert rows_of("cloze", "lambada.jsonl")[0] == {
        "id": "test#0",
        "context": "He sat down on the",
        "target": "chair",
    }


def test_a_folder_of_canonical_rows_is_taken_as_it_is_and_another_is_made_so(here: Path) -> None:
    folder = here / "rows"
    row = {"id": "a", "query": "?", "choices": ["x", "y"], "answer": 1}
    write_jsonl(folder / "test.jsonl.gz", [row])
    assert find_task("multiple-choice", ["rows"]).rows(here / "out") == Path("rows")
    (folder / "test.jsonl.gz").unlink()
    write_jsonl(folder / "test.jsonl", [row | {"answer": "B"}])
    found = find_task("multiple-choice", ["rows"])
    assert found.rows(here / "out") == here / "out"
    assert list(open_rows(found.task, here / "out", "test")) == [row]


def test_labels_that_nobody_names_are_those_of_the_rows(here: Path) -> None:
    write_jsonl(here / "r.jsonl", [{"query": f"{n}", "label": label} for n, label in enumerate("bcab")])
    found = find_task("prompted-classification", ["r.jsonl"])
    assert isinstance(found.task, PromptedClassification)
    assert found.task.verbalizers == (("a", "a"), ("b", "b"), ("c", "c"))
    write_jsonl(here / "r.jsonl", [{"query": "?", "label": "a"}])
    assert "the rows have one label, 'a'; two or more" in refused("prompted-classification", "r.jsonl")


def test_a_toxicity_tasks_classifier_is_looked_at(here: Path) -> None:
    write_jsonl(here / "p.jsonl", [{"prompt": "You are"}])
    assert refused("toxicity", "p.jsonl").startswith("toxicity: classifier: toxicity needs it")
    text = "kind: toxicity\nfiles: {test: p.jsonl}\nclassifier: judge\ntoxic: rude\n"
    (here / "t.yaml").write_text(text, encoding="utf-8")
    assert (
        refused("t.yaml")
        == f"t: classifier: {here / 'judge'} holds no config.json; name a classifier's folder"
    )
    write_json(here / "judge" / "config.json", {"id2label": {"0": "kind", "1": "toxic"}})
    assert refused("t.yaml").endswith("has no label 'rude'; there are kind, toxic")
    (here / "t.yaml").write_text(text.replace("rude", "toxic"), encoding="utf-8")
    (here / "judge").rename(here / "model")
    (here / "judge").mkdir()
    (here / "model").rename(here / "judge" / "model")  # the folder of a stage
    task = find_task("t.yaml").task
    assert isinstance(task, Toxicity)
    assert (task.classifier, task.max_new_tokens) == (str(here / "judge"), 20)


@pytest.mark.parametrize(
    ("reference", "data", "said"),
    [
        (
            "perplexty",
            (),
            "task 'perplexty' is not known; did you mean 'perplexity' or 'pseudo-perp",
        ),
        (
            "hellaswag",
            (),
            "task 'hellaswag' is not known; `stepladder eval --list` shows all; a file",
        ),
        ("no.yaml", (), "no.yaml: no such file; check the name"),
        ("cloze", (), "cloze: has no rows of its own; name some (--data FILE) with context, target"),
        ("cloze", ("none.csv",), "none.csv: no such file or folder; check the name"),
        ("cloze", ("none*.csv",), "none*.csv' matches no file in"),
        ("cloze", ("empty",), "has no test.jsonl, test.csv or test.parquet"),
        ("cloze", ("empty", "quiz.csv"), "empty: is a folder; give it alone, or name files"),
        ("cloze", ("quiz.csv",), "quiz.csv: row 1: no column 'context' for context; there are question, a,"),
        ("generation", ("source.csv",), "source.csv: row 1: no column 'target' for target; there are source"),
        ("multiple-choice", ("blank.jsonl",), "blank.jsonl: has no rows; give it some"),
        (
            "multiple-choice",
            ("one.jsonl",),
            "one.jsonl: row 1: choices are 1; two or more are wanted",
        ),
        ("cloze", ("a.txt",), "a.txt is none of .jsonl, .csv, .parquet (or .gz); convert it"),
    ],
)
def test_mistakes_are_told_in_one_line(here: Path, reference: str, data: tuple[str, ...], said: str) -> None:
    (here / "empty").mkdir()
    (here / "blank.jsonl").write_text("")
    (here / "a.txt").write_text("text")
    (here / "source.csv").write_text("source\na\n")
    write_jsonl(here / "one.jsonl", [{"query": "?", "choices": ["x"], "answer": 0}])
    assert said in refused(reference, *data)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("kind: ", "kind ", "bad.yaml:2:6: not YAML: a second ': ' in one value"),
        ("choices:", "choises:", "bad.yaml:4:1: choises: unknown key; did you mean 'choices'?"),
        ("{test:", "{tets:", "bad.yaml:2:9: files.tets: unknown key; did you mean 'test'?"),
        ("kind: multiple-choice\n", "", "bad.yaml: kind: is missing; add it (docs/tasks.md shows one)"),
        ("multiple-choice", "multi-choice", "kind: 'multi-choice' is not one of the choices; did you mean"),
        ("{{ question }}", "question", "bad.yaml:3:1: prompt: names no column; write one, as {{ question }}"),
        ("{{ question }}", "{{ question", "bad.yaml:3:1: prompt: is no template: "),
        ("{{ question }}", "{{ questoin }}", "quiz.csv: row 1: the template of query: no column 'questoin'"),
        ("{{ a }}", "{{ d }}", "quiz.csv: row 1: a template of choices: no column 'd'; there are quest"),
        ("right", "wrong", "quiz.csv: row 1: no column 'wrong' for answer; there are question, a"),
        ("columns:", "shots: 2\ncolumns:", "bad.yaml:5:1: shots: solved examples are train rows; name some"),
        ("columns:", "cue: x\ncolumns:", "bad.yaml:5:1: cue: only generation has this; remove it"),
        ("columns: {", "columns: {query: a, ", "columns.query: a template makes this, too; remove one"),
        ("columns:", "metrics: [bleu]\ncolumns:", "metrics.0: 'bleu' is no metric of multiple-choice"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_file_is_told_with_its_place(here: Path, old: str, new: str, said: str) -> None:
    assert old in TASK
    (here / "bad.yaml").write_text(TASK.replace(old, new), encoding="utf-8")
    assert said in refused("bad.yaml")


def test_code_completion_asks_for_the_line_after_the_source() -> None:
    task = TASKS["code-completion"]
    assert isinstance(task, Generation)
    row = {"id": "a", "source": "def f(x):\n", "target": "    return x\n"}
    assert (task.prompt(row), task.target(row), task.stops) == ("def f(x):\n", "    return x", ("\n",))
    assert (task.scoring.exact, task.keeps, task.metrics) == (
        "text",
        "end",
        ("exact_match", "answer_bits_per_byte"),
    )


def test_finding_a_task_loads_nothing_heavy(here: Path) -> None:
    heavy = "{'torch', 'transformers', 'datasets', 'evaluate', 'pyarrow', 'sklearn'}"
    code = (
        "import sys; from eval.tasks.find import find_task\n"
        f"find_task('my-quiz.yaml'); print({heavy} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_documented_tasks_are_tasks(here: Path) -> None:
    """Every task file of docs/tasks.md is accepted; the first one's rows are made from the CSV above it."""
    text = (Path(__file__).resolve().parents[2] / "docs" / "tasks.md").read_text(encoding="utf-8")
    (table,) = re.findall(r"```csv\n(.*?)```", text, re.DOTALL)
    tasks = [
        block for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if block.startswith("kind:")
    ]
    (here / "quiz.csv").write_text(table, encoding="utf-8")
    header = "review,stars,document,summary,en,zh\n"
    for split in ("train", "test"):
        (here / f"{split}.csv").write_text(f"{header}{split} good,good,d,s,e,z\n", encoding="utf-8")
    for number, block in enumerate(tasks):
        (here / f"task-{number}.yaml").write_text(block, encoding="utf-8")
        assert find_task(f"task-{number}.yaml").name == f"task-{number}"
    assert len(tasks) == 4
    assert rows_of("task-0.yaml")[1] == {
        "id": "test#1",
        "query": "Question: How many legs has a spider?\nAnswer:",
        "choices": ["six", "eight", "ten"],
        "answer": 1,
        "subset": "animals",
    }
    for kind in KINDS:
        assert f"| `{kind}` |" in text


def test_a_task_says_which_files_its_rows_come_from(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_task("my-quiz.yaml").files("test") == (str(here / "quiz.csv"),)
    monkeypatch.setenv("HOME", str(here))
    (here / "home.yaml").write_text(TASK.replace("quiz.csv", "~/quiz.csv"), encoding="utf-8")
    assert find_task("home.yaml").files("test") == (str(here / "quiz.csv"),)
    write_jsonl(here / "rows" / "test.jsonl.gz", [{"id": "a", "text": "one"}])
    assert find_task("perplexity", ("rows",)).files("test") == (str(here / "rows" / "test.jsonl.gz"),)
    own = "kind: regression\nfiles: {train: t.jsonl, test: t.jsonl}\n"
    (here / "own.yaml").write_text(own, encoding="utf-8")
    write_jsonl(here / "t.jsonl", [{"text": "one", "value": 1}])
    assert find_task("own.yaml").files("validation") == (str(here / "t.jsonl"),), "cut from it"
    hub = "kind: regression\nhub: {name: nyu-mll/glue, config: stsb, revision: main}\n"
    (here / "hub.yaml").write_text(hub, encoding="utf-8")
    assert find_task("hub.yaml").files("test") == ("nyu-mll/glue:stsb@main",)
