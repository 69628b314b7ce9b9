"""The canonical rows of what language models are asked as they are, and prompts from templates."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from eval.files import InputError, write_jsonl
from eval.settings import Scoring
from eval.tasks import Generation, LanguageModelling, PromptedClassification, make_task
from eval.tasks.canonical import make_row
from eval.tasks.data import load_rows, source_fingerprint, write_rows
from eval.tasks.settings import KINDS, RowSettings, TaskSettings
from eval.tasks.templates import find_mistake, render

FILES = {"test": "test.jsonl"}


def made(kind: str, row: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return make_row(row, RowSettings(kind=kind, files=FILES, **fields), "t.csv: row 1", "test#0")


def refused(kind: str, row: dict[str, Any], **fields: Any) -> str:
    with pytest.raises(InputError) as caught:
        made(kind, row, **fields)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix("t.csv: row 1: ")


@pytest.mark.parametrize(
    ("answer", "choices", "place"),
    [
        (2, ["x", "y", "z"], 2),
        (2.0, ["x", "y", "z"], 2),
        ("2", ["x", "y", "z"], 2),
        ("C", ["x", "y", "z"], 2),
        (" b ", ["x", "y", "z"], 1),
        ("z", ["x", "y", "z"], 2),
        ("12", ["10", "12"], 1),
        ("-1", ["1", "-1"], 1),
        ("1", ["0", "1"], 1),
        (0, ["1", "0"], 0),
        ("A", ["B", "A"], None),
        ("1", ["1", "0"], None),
    ],
)
def test_an_answer_is_a_number_a_letter_or_its_own_text(
    answer: Any, choices: list[str], place: int | None
) -> None:
    row = {"query": "?", "choices": choices, "answer": answer}
    if place is None:
        assert "the text of one choice and the place of another" in refused("multiple-choice", row)
    else:
        assert made("multiple-choice", row)["answer"] == place


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"answer": 2}, "answer is 2; the 2 choices are 0 to 1, A to B, or their texts"),
        ({"answer": "E"}, "answer is 'E'; the 2 choices are 0 to 1"),
        ({"answer": -1}, "hub sets mark labels that are withheld so"),
        ({"answer": "neither"}, "answer is 'neither'; the 2 choices"),
        ({"answer": None}, "answer is None; the right choice's number from 0, letter or text"),
        ({"answer": True}, "answer is True"),
        ({"choices": ["x"]}, "choices are 1; two or more are wanted to choose from"),
        ({"choices": ["x", "y", "x"]}, "choices: 'x' is there twice"),
        ({"choices": ["x", " "]}, "choices is empty"),
        ({"choices": "x, y"}, "choices is 'x, y'; a list of texts is wanted: of a column for each write"),
        ({"query": ""}, "query is empty"),
    ],
)
def test_a_choice_that_is_none_is_refused(row: dict[str, Any], said: str) -> None:
    good = {"query": "?", "choices": ["x", "y"], "answer": 0}
    assert said in refused("multiple-choice", good | row)


def test_a_passage_is_cut_before_its_last_word() -> None:
    row = made("cloze", {"text": "He sat\ndown on  the chair. "})
    assert (row["context"], row["target"]) == ("He sat\ndown on  the", "chair.")
    assert made("cloze", {"passage": "a b"}, columns={"text": "passage"})["target"] == "b"
    assert made("cloze", {"text": "unused", "context": "a b", "target": "c d"})["target"] == "c d"
    templates = {"prompt": "{{ title }}: {{ text }}", "target": "{{ title }}"}
    row = made("cloze", {"title": "T", "text": "a b"}, **templates)
    assert (row["context"], row["target"]) == ("T: a b", "T")
    assert refused("cloze", {"text": "alone"}).startswith("text is one word, 'alone'")
    assert refused("cloze", {"text": " "}).startswith("text is empty")
    assert refused("cloze", {"body": "a b"}).startswith("no column 'context' for context; there are body")
    assert "no column 'body' for text" in refused("cloze", {"text": "a"}, columns={"text": "body"})


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_can_have_subsets_and_groups(kind: str) -> None:
    row: dict[str, Any] = {
        **{"text": "a text", "label": "x", "labels": ["x"], "value": 1, "source": "s", "target": "t"},
        **{"question": "q", "context": "c", "answers": [], "words": ["w"], "tags": ["t"], "query": "q"},
        **{"choices": ["x", "y"], "answer": 0, "more": "m", "less": "l", "prompt": "p"},
        **{"film": 7, "page": "g"},
    }
    found = made(kind, row, columns={"subset": "film", "group": "page"})
    assert (found["subset"], found["group"]) == ("7", "g")
    assert set(KINDS[kind].fields) <= set(found)


def test_pairs_counts_and_labels_are_checked() -> None:
    assert "the same sentence" in refused("bias-pairs", {"more": "a", "less": "a"})
    assert refused("toxicity", {"prompt": " "}).startswith("prompt is empty")
    assert made("language-modelling", {"text": "", "bytes": "7"})["bytes"] == 7
    assert refused("language-modelling", {"text": "", "bytes": -1}).startswith("bytes is -1; a whole number")
    verbalizers = {"verbalizers": {"2": "two", "1": "one"}}
    assert made("prompted-classification", {"query": "?", "label": 1}, **verbalizers)["label"] == "1"
    assert refused("prompted-classification", {"query": "?", "label": 0}, **verbalizers) == (
        "label is '0'; the verbalizers are for 2, 1"
    )
    named = {"labels": ["bad", "good"]}
    assert made("prompted-classification", {"query": "?", "label": 1}, **named)["label"] == "good"


def test_text_files_are_documents_of_the_kinds_that_read_any(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.txt").write_text(f"Text of {name}.\n\nMore.", encoding="utf-8")
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress((tmp_path / "b.txt").read_bytes()))
    (tmp_path / "b.txt").unlink()
    for kind in ("language-modelling", "memorisation"):
        own = RowSettings(kind=kind, files={"test": ["*.txt", "*.gz"]})
        rows, _ = load_rows("mine", own, tmp_path)
        assert [row["text"] for row in rows["test"]] == [f"Text of {name}.\n\nMore." for name in "ab"]
        assert write_rows("mine", own, tmp_path, tmp_path / "out")["rows"] == {"test": 2}
    with pytest.raises(InputError, match=r"a\.txt is none of \.jsonl, \.csv, \.parquet \(or"):
        load_rows("mine", RowSettings(kind="cloze", files={"test": "*.txt"}), tmp_path)


# --- templates


def test_a_template_is_plain_text_over_the_columns() -> None:
    row = {"q": '<a> & "b"', "Best Answer": "yes", "tags": ["x", "y"], "deep": {"en": "hi"}}
    text = (
        "Q: {{ q }}\n{% for tag in tags %}{{ loop.index }}. {{ tag }}\n{% endfor %}{{ row['Best Answer'] }}\n"
    )
    assert render(text, row, "w") == 'Q: <a> & "b"\n1. x\n2. y\nyes\n', "nothing is escaped, no line lost"
    assert render("{{ deep.en | upper }}", row, "w") == "HI"
    assert render("{{ range }}", {"range": "a column's name"}, "w") == "a column's name"


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("no column", "names no column"),
        ("{{ a", "is no template: "),
        ("{{ a }}\n{% if b %}", "in line"),
        ("{{ a | random }}", "is no template: No filter named 'random'"),
        ("{% include a %}", "takes in another template"),
        ("{% extends 'x' %}{{ a }}", "takes in another template"),
    ],
)
def test_a_template_that_cannot_be_one_is_known_from_its_text(template: str, said: str) -> None:
    assert said in (find_mistake(template) or "")
    with pytest.raises(ValidationError, match=said):
        RowSettings(kind="generation", files=FILES, prompt=template)


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{ b }}", "no column 'b'; there are a, n; name one of them"),
        ("{{ row.b }}", "cannot be rendered ('dict object' has no attribute 'b')"),
        ("{{ n }}", "cannot be rendered (a column has no value)"),
        ("{{ a + 1 }}", "cannot be rendered (can only concatenate str"),
        ("{{ a.__class__.__mro__ }}", "cannot be rendered (access to attribute '__class__' of 'str' object"),
        ("{{ a | attr('__class__') }}", "cannot be rendered (access to attribute '__class__' "),
        ("{{ row.update({'b': 1}) }}", "cannot be rendered ("),
        ("{{ '{0.__class__}'.format(a) }}", "cannot be rendered ("),
        ("{% for x in range(3) %}{{ a }}{% endfor %}", "no column 'range'"),
        ("{{ a.x }}", "cannot be rendered ('str object' has no attribute 'x')"),
        ("{{ 1 // (a | length - 1) }}", "cannot be rendered ("),
        ("{{ '-' * 1000000000 }}{{ a }}", "cannot be rendered (1000000000 times a text is too long)"),
        ("{{ '-' * 1000 * 1000 * 20 }}{{ a }}", "cannot be rendered (20 times a text is too long)"),
        ("{{ 9 ** (9 ** 9) }}{{ a }}", "cannot be rendered (** is not for templates"),
        ("{{ a | center(1000000000000000) }}", "cannot be rendered (a number is too large for this"),
        ("{{ a }}{{ '\\ud83d' }}", "cannot be rendered ('utf-8' codec can't encode"),
    ],
)  # fmt: skip
def test_a_template_that_fails_or_breaks_out_names_file_and_row(template: str, said: str) -> None:
    message = refused("generation", {"a": "x", "n": None}, prompt=template, target="{{ a }}")
    assert message.startswith(f"the template of source: {said}")


def test_a_changed_template_makes_other_rows_and_is_tried_when_a_recipe_is_planned(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "test.jsonl", [{"en": "cat", "de": "Katze"}])
    own = RowSettings(kind="generation", files=FILES, prompt="{{ en }} =", target="{{ de }}")
    assert load_rows("mine", own, tmp_path)[0]["test"] == [
        {"id": "test#0", "source": "cat =", "target": "Katze"}
    ]
    assert source_fingerprint("mine", own, tmp_path)
    with pytest.raises(InputError, match=r"test\.jsonl: row 1: the template of source: no column 'fr'"):
        source_fingerprint("mine", RowSettings(**own.model_dump() | {"prompt": "{{ fr }}"}), tmp_path)


# --- settings


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_makes_a_task_and_equal_settings_equal_ones(kind: str) -> None:
    needed = {
        "toxicity": {"classifier": "judge", "toxic": "toxic"},
        "prompted-classification": {"labels": ["no", "yes"]},
    }
    own = TaskSettings(kind=kind, files=FILES, **needed.get(kind, {}))
    task = make_task("mine", own)
    assert task.kind == kind
    assert task.fields == KINDS[kind].fields
    assert task == make_task("mine", TaskSettings(**own.model_dump(mode="json")))
    assert hash(task) is not None
    with pytest.raises(ValidationError, match=r"only .* this; remove it"):
        TaskSettings(**own.model_dump() | ({"prefix": 3} if kind != "memorisation" else {"cue": "x"}))


def test_settings_reach_the_task() -> None:
    files = {"train": "a", "test": "b"}
    scoring = {"tokenize": "zh"}
    own = TaskSettings(
        kind="generation", files=files, prompt="{{ x }}", shots=2, stops=[], keeps="end", scoring=scoring
    )
    task = make_task("mine", own)
    assert isinstance(task, Generation)
    assert (task.cue, task.shots, task.stops, task.keeps) == ("", 2, (), "end"), "a prompt is whole"
    assert task.scoring == Scoring(tokenize="zh")
    row = {"source": " as it is\n", "target": " two\n lines "}
    assert (task.prompt(row), task.target(row)) == (" as it is\n", " two\n lines")
    masked = make_task("mine", TaskSettings(kind="language-modelling", files=FILES, asks="each"))
    assert isinstance(masked, LanguageModelling)
    assert (masked.objective, masked.metrics) == ("masked-lm", ("pseudo_perplexity",))
    texts = {"bad": "It was terrible.", "good": "It was great."}
    own = TaskSettings(
        kind="prompted-classification", files=FILES, labels=["good", "bad"], verbalizers=texts, separator=" "
    )
    prompted = make_task("mine", own)
    assert isinstance(prompted, PromptedClassification)
    assert prompted.verbalizers == (("good", "It was great."), ("bad", "It was terrible."))
    with pytest.raises(InputError, match="mine: names neither labels nor verbalizers"):
        make_task("mine", TaskSettings(kind="prompted-classification", files=FILES))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"kind": "multiple-choice", "shots": 1}, "solved examples are train rows; name some"),
        ({"kind": "multiple-choice", "choices": ["{{ a }}"]}, "at least 2"),
        ({"kind": "multiple-choice", "columns": {"choices": "c"}, "choices": ["a", "b"]}, "makes this, too"),
        ({"kind": "toxicity", "classifier": "judge"}, "toxicity needs it"),
        ({"kind": "prompted-classification", "verbalizers": {"a": "x", "b": "x"}}, "each a text of its own"),
        ({"kind": "prompted-classification", "labels": ["a", "b"], "verbalizers": {"a": "x", "c": "y"}},
         "'b' is not in verbalizers; give each label one text"),
        ({"kind": "language-modelling", "asks": "masked", "metrics": ["bits_per_byte"]},
         "'bits_per_byte' is no metric of language-modelling; choose from masked_lm_loss"),
        ({"kind": "cloze", "scoring": {"tokenize": "zh"}}, "only generation has this; remove it"),
        ({"kind": "span", "prompt": "{{ a }}"}, "only generation, multiple-choice, prompted-classif"),
    ],
)  # fmt: skip
def test_settings_that_do_not_fit_their_kind_are_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        TaskSettings(**{"files": FILES} | fields)
