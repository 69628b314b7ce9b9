"""Recipes and task files to damage: every packaged recipe, with small files where it names some."""

from __future__ import annotations

import gzip
import importlib.resources
import json
import random
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from eval.files import InputError
from eval.tasks.find import find_task
from eval.tasks.templates import find_mistake, render
from eval.yaml_text import dump_yaml, parse_yaml
from pipelines.plan import make_plan
from pipelines.recipe_file import TEMPLATE, load_recipe, packaged_recipes
from tests.fuzz.mutations import NAMES, NUMBERS, TEXTS, alias_bomb, damage, damage_bytes, damage_text, nudge

_ROW = {
    "text": "It was the best of times.",
    "label": 1,
    "source": "a b c",
    "target": "d e",
    "document": "one two three",
    "summary": "one",
    "en": "a house",
    "de": "ein Haus",
    "sentence": "fine",
}
_STORY = "= A title =\n\nSome words of a story, long enough to be kept as a text of its own.\n\n" * 4

TASKS: tuple[dict[str, Any], ...] = (
    {
        "kind": "multiple-choice",
        "files": {"test": "quiz.csv"},
        "choices": ["{{ a }}", "{{ b }}", "{{ c }}"],
        "prompt": "Question: {{ question }}\nAnswer:",
        "columns": {"answer": "right", "subset": "topic"},
        "metrics": ["accuracy", "accuracy_norm"],
        "name": "quiz",
    },
    {
        "kind": "prompted-classification",
        "files": {"train": "more.jsonl", "test": "rows.jsonl"},
        "prompt": "Review: {{ sentence }}\nIt was",
        "labels": ["bad", "good"],
        "shots": 1,
        "verbalizers": {"bad": "terrible", "good": "great"},
    },
    {
        "kind": "generation",
        "files": {"train": ["more.jsonl"], "test": ["r*.jsonl"]},
        "cue": "\nSo:",
        "columns": {"source": "en", "target": "de"},
        "max_new_tokens": 20,
        "stops": ["\n"],
        "keeps": "end",
        "scoring": {"tokenize": "char"},
        "metrics": ["bleu", "chrf"],
    },
    {"kind": "language-modelling", "files": {"test": "story.txt"}, "asks": "next"},
    {
        "kind": "classification",
        "files": {"train": "more.jsonl", "test": "rows.jsonl"},
        "labels": ["no", "yes"],
    },
)
_QUIZ = "question,a,b,c,right,topic\nWhat is ice?,water,milk,silk,A,animals\nIce?,water,sand,iron,A,things\n"


@cache
def _packaged() -> dict[str, Any]:
    texts = {
        name: importlib.resources.files("recipes").joinpath(f"{name}.yaml").read_text("utf-8")
        for name in (*packaged_recipes(), TEMPLATE)
    }
    return {name: parse_yaml(text, lambda *_: "").data for name, text in texts.items()}


def _patterns(recipe: dict[str, Any]) -> Iterator[str]:
    named = [recipe.get("corpus") or {}, *(recipe.get("tasks") or {}).values()]
    for files in (one.get("files") for one in named):
        parts = files.values() if isinstance(files, dict) else [files or []]
        for part in parts:
            yield from [part] if isinstance(part, str) else part


def write_recipe(rng: random.Random, folder: Path) -> None:
    """`recipe.yaml`, damaged as data or as text, and the files that its recipe names."""
    name = rng.choice(sorted(_packaged()))
    recipe = dict(_packaged()[name])
    if rng.random() < 0.4:  # a section of another recipe's
        other = _packaged()[rng.choice(sorted(_packaged()))]
        section = rng.choice(sorted(other))
        recipe[section] = other[section]
    for pattern in _patterns(recipe):
        path = folder / pattern.replace("*", "one")
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [json.dumps({**_ROW, "label": number % 2, "text": f"text {number}"}) for number in range(6)]
        text = _STORY if ".txt" in path.name else "\n".join(rows)
        path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    (folder / "recipe.yaml").write_bytes(_spelt(rng, recipe))


def write_task(rng: random.Random, folder: Path) -> None:
    """`task.yaml`, damaged, beside whole rows."""
    (folder / "quiz.csv").write_text(_QUIZ)
    for name, word in (("rows", "so"), ("more", "more")):
        told = [{"sentence": f"{word} {n}", "text": f"{word} {n}", "en": f"{word} {n}"} for n in range(4)]
        rows = [json.dumps({**_ROW, "label": n % 2, **one}) for n, one in enumerate(told)]
        (folder / f"{name}.jsonl").write_text("\n".join(rows))
    (folder / "story.txt").write_text(_STORY)
    (folder / "task.yaml").write_bytes(_spelt(rng, rng.choice(TASKS)))


def _spelt(rng: random.Random, value: Any) -> bytes:
    """Data as YAML, damaged before it is spelt, after, or both."""
    way = rng.choice(("near", "near", "near", "near", "data", "data", "text", "bytes", "both", "bomb"))
    if way == "near":
        value = nudge(rng, value)
    elif way in ("data", "both"):
        value = damage(rng, value)
    try:
        text = dump_yaml(value)
    except (RecursionError, OverflowError):
        text = json.dumps(value)
    if way in ("text", "both"):
        text = damage_text(rng, text)
    if way == "bomb":
        text = alias_bomb(rng) + text if rng.random() < 0.5 else text + "tasks: {x: *a}\n" + alias_bomb(rng)
    data = text.encode("utf-8", "surrogatepass")
    return damage_bytes(rng, data) if way == "bytes" else data


def plan_recipe(folder: Path) -> None:
    """What `stepladder plan` does before it prints."""
    make_plan(load_recipe(str(folder / "recipe.yaml")))


def write_overrides(rng: random.Random, folder: Path) -> None:
    """`overrides.json`: a recipe's name and settings as a shell would give them."""
    name = rng.choice(("smoke", "quickstart", "isoflop-mini", "gpt2-family", rng.choice(NAMES)))
    recipe = _packaged().get(name, {})
    keys = ["name", "budget.tokens", "ladder.rungs", "training.learning_rate", "corpus.source", "x.y", "data"]
    keys += [f"{section}.{key}" for section, held in recipe.items() if isinstance(held, dict) for key in held]
    given = []
    for _ in range(rng.randint(1, 3)):
        values = (
            str(rng.choice(NUMBERS[:-4])),
            rng.choice(TEXTS),
            rng.choice(NAMES),
            "[1, 2]",
            "{a: 1}",
            "null",
        )
        given.append(f"{rng.choice(keys)}={rng.choice(values)}")
    if rng.random() < 0.4:
        given[-1] = damage_text(rng, given[-1])
    (folder / "overrides.json").write_text(json.dumps([name, given]))


def plan_overrides(folder: Path) -> None:
    """A packaged recipe, or none, with settings from the command line."""
    name, given = json.loads((folder / "overrides.json").read_text())
    make_plan(load_recipe(name, given))


def find_task_file(folder: Path) -> None:
    """`stepladder eval --task task.yaml` until a model would be loaded: the task, and its rows written."""
    find_task(str(folder / "task.yaml")).rows(folder / "out")


# Pieces that prompts are written with, and pieces that a stranger would write.
_JINJA = (
    "{{ a }}",
    "{{ b }}",
    "{{ row['c d'] }}",
    "{% if n %}yes{% endif %}",
    "{{ a | upper }}",
    "{{ a * 10 }}",
    "Q: ",
    "{% for x in c %}",
    "{% for x in a * 1000 %}",
    "{% endfor %}",
    "{{ x }}",
    "{{ a * 1000000000 }}",
    "{% set a = a ~ a ~ a %}",
    "{% set n = n * n %}",
    "{{ 9 ** 9 ** 9 }}",
    "{{ a.__class__.__mro__ }}",
    "{{ a.format(b) }}",
    "{{ '%9999999999d' % n }}",
    "{{ a | center(1000000000) }}",
    "{{ a.ljust(10000000000) }}",
    "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}",
    "{{ c | batch(1000000000, 'x') | list }}",
    "{{ a.replace('', 'b' * 1000000) }}",
    "{% include 'x' %}",
    "{{ namespace() }}",
    "{{ [1] | slice(100000000) | list }}",
    "{{ c | join(a) }}",
    "{% for x in c recursive %}{{ loop(c) }}{% endfor %}",
    "{{ ('{:' ~ '9' * 9 ~ '}').format(n) }}",
    "{{ cycler.__init__.__globals__ }}",
    "{{ a | attr('__class__') }}",
    "{{ row }}",
    "{{ a | indent(100000000) }}",
    "{{ c | tojson(indent=100000000) }}",
    "{{ a.encode().decode('unicode_escape') }}",
    "{{ (['x' * 1000000] * 300) | join | length }}",
    "{{ ['x' * 1000000] * 10000 }}",
    "{% set a = 'x' * 1000000 %}",
    "{{ [a, a, a, a, a, a, a, a] | tojson | length }}",
    "{{ [a[1:], a[1:], a ~ a ~ a ~ a] }}",
    "{{ ([0] * 100000) | map('default', a, true) | map('upper') | join }}",
    "{{ '%s' * 300 % (a, a, a) }}",
    "{{ c | map('replace', 'x', a) | join(a) }}",
    "{% block y %}{{ self.y() ~ self.y() }}{% endblock %}",
)


def write_template(rng: random.Random, folder: Path) -> None:
    """`template.txt`, of pieces in any order."""
    text = "".join(rng.choice(_JINJA) for _ in range(rng.randint(1, 12)))
    opened = text.count("{% for") - text.count("{% endfor")
    text += "{% endfor %}" * max(0, opened)
    (folder / "template.txt").write_text(damage_text(rng, text, 1) if rng.random() < 0.2 else text, "utf-8")


def render_template(folder: Path) -> None:
    """What a prompt's template makes of a row, if it is one."""
    template = (folder / "template.txt").read_text("utf-8")
    if wrong := find_mistake(template):
        raise InputError(wrong)
    render(
        template, {"a": "some words", "b": "more", "c d": 1, "c": ["x", "y"] * 20, "n": 7, "x": 1}, "row 1"
    )
