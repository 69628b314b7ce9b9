"""Recipes: what is read, and that every mistake is one line with its place, the value and what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from eval.files import InputError
from pipelines.recipe import Recipe
from pipelines.recipe_file import LoadedRecipe, load_recipe, packaged_recipes, schema, template

GOOD = """\
name: tiny
corpus: {source: python-stdlib}
tokenizer: {train: bpe, vocab_size: 512}
context: 64
ladder:
  rungs:
    shapes: [1x32, 2x32]
budget:
  tokens: 60e3
training:
  learning_rate: 3e-4
finetune:
  - task: code-to-docstring
    epochs: 1
  - task: module-classification
"""


def write(folder: Path, text: str | bytes) -> str:
    path = folder / "recipe.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
    return str(path)


def complaint(folder: Path, text: str | bytes, *overrides: str) -> str:
    """The error that a recipe gets, with `recipe.yaml` for its path; always one line."""
    path = write(folder, text)
    with pytest.raises(InputError) as caught:
        load_recipe(path, overrides)
    line = str(caught.value)
    assert "\n" not in line
    return line.replace(path, "recipe.yaml")


def load(folder: Path, text: str = GOOD, *overrides: str) -> LoadedRecipe:
    return load_recipe(write(folder, text), overrides)


# What is read


def test_numbers_are_numbers_however_yaml_writes_them(tmp_path: Path) -> None:
    recipe = load(tmp_path).recipe
    assert (recipe.budget.tokens, recipe.training.learning_rate) == (60_000, 3e-4)
    assert load(tmp_path, GOOD.replace("60e3", "60_000")).recipe.budget.tokens == 60_000
    assert load(tmp_path, GOOD.replace("60e3", "+6.0E+4")).recipe.budget.tokens == 60_000


def test_text_that_yaml_1_1_took_for_something_else_stays_text(tmp_path: Path) -> None:
    for name in ("no", "on", "3e-4-ladder"):
        assert load(tmp_path, GOOD.replace("name: tiny", f"name: {name}")).recipe.name == name


def test_a_recipe_never_changes(tmp_path: Path) -> None:
    recipe = load(tmp_path).recipe
    with pytest.raises(ValueError, match="frozen"):
        recipe.context = 128  # type: ignore[misc]
    with pytest.raises(ValueError, match="frozen"):
        recipe.training.clip = 2.0  # type: ignore[misc]


def test_relative_files_are_looked_up_beside_the_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load(tmp_path).base == tmp_path
    monkeypatch.chdir(tmp_path)
    assert load_recipe("quickstart").base == tmp_path
    assert load_recipe("quickstart").path is None


def test_one_seed_number_stands_for_all_rungs_and_a_list_for_each(tmp_path: Path) -> None:
    def seeds(value: str) -> list[int]:
        recipe = load(tmp_path, GOOD, f"ladder.seeds={value}").recipe
        return [len(rung.seeds) for rung in recipe.ladder.named_rungs()]

    assert seeds("2") == [2, 2]
    assert seeds("[3, 1]") == [3, 1]


def test_bounded_aliases_are_welcome(tmp_path: Path) -> None:
    text = GOOD.replace("shapes: [1x32, 2x32]", "shapes: &sizes [1x32, 2x32]").replace(
        "  - task: module-classification\n",
        "  - {task: module-classification, max_rows: &rows 7, max_tokens: *rows}\n",
    )
    assert load(tmp_path, text).recipe.finetune[1].max_tokens == 7


def test_a_byte_order_mark_is_no_matter(tmp_path: Path) -> None:
    assert load_recipe(write(tmp_path, b"\xef\xbb\xbf" + GOOD.encode())).recipe.name == "tiny"


# Overrides


def test_overrides_replace_values_and_are_kept_in_the_text(tmp_path: Path) -> None:
    overrides = (
        "training.learning_rate=1e-2",
        "finetune.1.max_rows=9",
        "eval.bootstrap=50",
        "corpus={files: [a.txt]}",
    )
    loaded = load(tmp_path, GOOD, *overrides)
    recipe = loaded.recipe
    assert (recipe.training.learning_rate, recipe.finetune[1].max_rows, recipe.eval.bootstrap) == (
        1e-2,
        9,
        50,
    )
    assert (recipe.corpus.source, recipe.corpus.files) == (None, ("a.txt",))
    assert recipe.finetune[0].epochs == 1
    (tmp_path / "again").mkdir()
    assert load(tmp_path / "again", loaded.text).recipe == recipe


def test_without_overrides_the_text_is_the_files_own(tmp_path: Path) -> None:
    assert load(tmp_path, f"# why\n{GOOD}").text == f"# why\n{GOOD}"


def test_null_takes_an_alternative_out(tmp_path: Path) -> None:
    budget = load(tmp_path, GOOD, "budget.tokens=null", "budget.tokens_per_param=20").recipe.budget
    assert (budget.tokens, budget.tokens_per_param) == (None, 20)


@pytest.mark.parametrize(
    ("override", "advice"),
    [
        ("training.lr=3", "training.lr: unknown key; did you mean 'learning_rate'?"),
        (
            "training.learning_rate='3e-4'",
            "must be a number, got the text '3e-4'; write it without quotes: 3e-4",
        ),
        ("finetune.1.epoch=2", "finetune.1.epoch: unknown key; did you mean 'epochs'?"),
        ("finetune.2.task=x", "finetune.2 does not exist (finetune is a list of 2, counted from 0)"),
        ("finetune.first.task=x", "finetune.first does not exist"),
        ("name.x=3", "name has no keys; set it as a whole"),
        ("name.x.y=3", "name.x does not exist (no keys)"),
        ("training.learning_rate", "is no override; write key=value"),
        ("=3", "is no override; write key=value"),
        ("training..lr=3", "is no override; write key=value"),
        ("corpus=[1", "not YAML: expected ',' or ']'"),
        (
            "budget.flops=1e12",
            "give exactly one of tokens, tokens_per_param, flops; tokens is given too (null",
        ),
    ],
)
def test_a_bad_override_is_said_to_come_from_the_command_line(
    tmp_path: Path, override: str, advice: str
) -> None:
    line = complaint(tmp_path, GOOD, override)
    assert line.startswith(f"command line: {override}: ")
    assert advice in line


# Places and advice


@pytest.mark.parametrize(
    ("old", "new", "place", "advice"),
    [
        ("context: 64", "contxt: 64", "4:1: contxt", "unknown key; did you mean 'context'?"),
        ("learning_rate: 3e-4", "learning_rate_: 3e-4",
         "11:3: training.learning_rate_", "did you mean 'learning_rate'?"),
        ("    epochs: 1", "    epoch: 1", "14:5: finetune.0.epoch", "did you mean 'epochs'?"),
        ("vocab_size: 512}", "vocab_sise: 512}", "3:25: tokenizer.vocab_sise", "did you mean 'vocab_size'?"),
        ("context: 64", "context: 64\nvocab_size: 9",
         "5:1: vocab_size", "it belongs in tokenizer.vocab_size"),
        ("context: 64", "context: 64\n<<: {a: 1}", "5:1: <<", "unknown key; choose from name, family"),
        ("context: 64", "context: 64.5", "4:1: context", "must be a whole number, got 64.5"),
        ("context: 64", "context: true", "4:1: context", "must be a whole number, got true"),
        ("context: 64", "context: '64'", "4:1: context", "got the text '64'; write it without quotes: 64"),
        ("context: 64", "context: 0", "4:1: context", "must be at least 8, got 0"),
        ("context: 64", "context: .inf", "4:1: context", "must be a whole number, got inf"),
        ("3e-4", "'3e-4'",
         "11:3: training.learning_rate", "must be a number, got the text '3e-4'; write it without"),
        ("3e-4", ".nan", "11:3: training.learning_rate", "must be a finite number, got nan"),
        ("3e-4", "-1", "11:3: training.learning_rate", "must be more than 0, got -1"),
        ("3e-4", "[1]", "11:3: training.learning_rate", "must be a number, got the list [1]"),
        ("60e3", "60e60", "9:3: budget.tokens", "must be a whole number, got 6e+61"),
        ("60e3", "1e15\n  flops: 3", "10:3: budget.flops", "tokens is given too (null takes it out)"),
        ("  tokens: 60e3", "  {}",
         "8:1: budget", "give exactly one of tokens, tokens_per_param, flops; none is given"),
        ("{source: python-stdlib}", "{}",
         "2:1: corpus", "give exactly one of source, files, hub; none is given"),
        ("{source: python-stdlib}", "{files: []}", "2:10: corpus.files", "is empty"),
        ("{source: python-stdlib}", "{source: python}",
         "2:10: corpus.source", "did you mean 'python-stdlib'?"),
        ("{source: python-stdlib}", "{source: python-stdlib, config: x}",
         "2:33: corpus.config", "only a hub corpus"),
        ("{source: python-stdlib}", "books",
         "2:1: corpus", "must be a mapping of keys to values, got the text 'books'"),
        ("train: bpe, ", "train: bpe, pretrained: gpt2, ",
         "3:25: tokenizer.pretrained", "train is given too"),
        (", vocab_size: 512", "", "3:1: tokenizer", "add vocab_size: 2048"),
        ("vocab_size: 512", "vocab_size: 100", "3:25: tokenizer.vocab_size", "must be at least 258, got 100"),
        ("2x32]", "2x33]", "7:20: ladder.rungs.shapes.1", "not a multiple of head size 32; write 2x32"),
        ("2x32]", "1x32]", "7:20: ladder.rungs.shapes.1", "gives 12,768 parameters after a rung of 12,768"),
        ("2x32]", "two]",
         "7:20: ladder.rungs.shapes.1", "'two' is not a shape; write layers x width, such as 2x64"),
        ("shapes: [1x32, 2x32]", "non_embedding: [1, 1e6]",
         "7:21: ladder.rungs.non_embedding.0", "nearest: 1x32"),
        ("shapes: [1x32, 2x32]", "non_embedding: [13e3, big]",
         "7:27: ladder.rungs.non_embedding.1", "got the text 'big'"),
        ("shapes: [1x32, 2x32]", "{}",
         "6:3: ladder.rungs", "give exactly one of non_embedding, shapes; none"),
        ("task: module-classification", "task: modul",
         "15:5: finetune.1.task", "is no task to fine-tune on; choose from"),
        ("task: module-classification", "task: code-to-docstring",
         "15:5: finetune.1.task", "listed twice; remove one"),
        ("- task: module-classification", "- 3",
         "15:5: finetune.1", "must be a mapping of keys to values, got 3"),
        ("    epochs: 1", "    max_tokens: 65",
         "14:5: finetune.0.max_tokens", "more than the models' context, 64"),
        ("    epochs: 1", "    max_tokens: 40",
         "14:5: finetune.0.max_tokens", "too short for code-to-docstring"),
        ("learning_rate: 3e-4", "batch_tokens: 100",
         "11:3: training.batch_tokens", "not a multiple of the context, 64; write 128"),
        ("learning_rate: 3e-4", "rule: fixed",
         "10:1: training", "rule 'fixed' chooses nothing; add learning_rate"),
        ("learning_rate: 3e-4", "rule: olmo", "11:3: training.rule", "did you mean 'olmo-ladder'?"),
        ("name: tiny", "name: Tiny!",
         "1:1: name", "'Tiny!' does not fit; use small letters, digits and dashes"),
        ("name: tiny", "name: 2024",
         "1:1: name", "must be text (in quotes, if it looks like something else), got 2024"),
        ("name: tiny\n", "", "recipe.yaml: name", "is missing; add it"),
        ("context: 64", "family: bert",
         "4:1: family", "bert with causal-lm is not built yet; use gpt2 with causal-lm"),
        ("context: 64", "objective: masked-lm", "4:1: objective", "not built yet; use gpt2 with causal-lm"),
        ("context: 64", "eval: {tasks: [bleu]}",
         "4:16: eval.tasks.0", "'bleu' is no task; choose from perplexity"),
        ("context: 64", "eval: {max_items: '3'}",
         "4:8: eval.max_items", "must be a whole number, got the text '3'"),
        ("context: 64", "eval: {contxt: 3}", "4:8: eval.contxt", "did you mean 'context'?"),
        ("context: 64", "report: {x: [size]}", "4:14: report.x.0", "'size' is not one of the choices"),
        ("context: 64", "report: {x: [flops, flops]}", "4:10: report.x", "list each axis once"),
        ("context: 64", "report: {holdout: 2}",
         "4:10: report.holdout", "hides 2 of 2 rungs; keep some to fit"),
        ("ladder:\n", "ladder:\n  seeds: [1, 2, 3]\n", "6:3: ladder.seeds", "has 3 numbers for 2 rungs"),
        ("ladder:\n", "ladder:\n  seeds: [1, x]\n",
         "6:14: ladder.seeds.1", "must be a whole number, got the text 'x'"),
        ("ladder:\n", "ladder:\n  seeds: many\n",
         "6:3: ladder.seeds", "must be a whole number, got the text 'many'"),
    ],
)  # fmt: skip
def test_a_mistake_is_shown_where_it_stands_with_what_to_do(
    tmp_path: Path, old: str, new: str, place: str, advice: str
) -> None:
    assert old in GOOD
    line = complaint(tmp_path, GOOD.replace(old, new, 1))
    if not place.startswith("recipe.yaml"):
        place = f"recipe.yaml:{place}"
    assert line.startswith(f"{place}: ")
    assert advice in line


def test_the_misspelling_is_shown_before_what_it_leaves_missing(tmp_path: Path) -> None:
    line = complaint(tmp_path, GOOD.replace("budget:", "bugdet:"))
    assert line == "recipe.yaml:8:1: bugdet: unknown key; did you mean 'budget'? (and 1 more)"


def test_a_task_that_is_measured_must_be_fine_tuned_when_it_was_asked_for(tmp_path: Path) -> None:
    without = GOOD[: GOOD.index("finetune:")]
    assert load(tmp_path, without).recipe.finetune == ()
    line = complaint(tmp_path, without + "eval: {tasks: [perplexity, code-to-docstring]}\n")
    assert line.startswith("recipe.yaml:12:28: eval.tasks.1: code-to-docstring is not fine-tuned; add {task:")


def test_flops_need_a_vocabulary_whose_size_is_known(tmp_path: Path) -> None:
    text = GOOD.replace("{train: bpe, vocab_size: 512}", "{pretrained: gpt2}").replace(
        "tokens: 60e3", "flops: 1e12"
    )
    assert "recipe.yaml:9:3: budget.flops: needs the vocabulary's size" in complaint(tmp_path, text)


# Files that are no recipe


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "recipe.yaml: is empty; `stepladder init` writes a recipe to start from"),
        ("# nothing but a comment\n", "recipe.yaml: is empty"),
        ("- a\n- b\n", "recipe.yaml:1:1: is not a recipe; write `key: value` lines"),
        ("just words", "recipe.yaml:1:1: is not a recipe"),
        (GOOD + "context: 32\n",
         "recipe.yaml:16:1: context: given a second time (first at recipe.yaml:4:1); remove one"),
        (GOOD + "    epochs: 1\n    epochs: 2\n", "recipe.yaml:17:5: finetune.1.epochs: given a second time"),
        ("name: a\n\tcontext: 3\n", "recipe.yaml:2:1: not YAML: a tab; indent with spaces"),
        ("name: a: b\n", "recipe.yaml:1:8: not YAML: a second ': ' in one value; put the value in quotes"),
        ("name: [a\nb: c\n", "recipe.yaml:2:2: not YAML: expected ',' or ']'"),
        ("name: a\n---\nname: b\n", "recipe.yaml:2:1: not YAML: but found another document"),
        ("name: *nobody\n", "recipe.yaml:1:7: not YAML: found undefined alias 'nobody'"),
        ("name: !!python/object/apply:os.getcwd []\n", "recipe.yaml:1:1: name: must be text"),
        ("name: !!python/name:os.getcwd x\n",
         "recipe.yaml:1:7: tag 'tag:yaml.org,2002:python/name:os.getcwd' does not"),
        ("context: !!int many\n",
         "recipe.yaml:1:10: tag 'tag:yaml.org,2002:int' does not fit here; remove the tag"),
        ("1: x\n", "recipe.yaml:1:1: a key must be text; write a field's name"),
        ("? [a, b]\n: c\n", "recipe.yaml:1:3: a key must be text"),
        ("name: a\x00b\n", "recipe.yaml:1:8: not YAML: character U+0000; remove it"),
        ("x: " + "[" * 5000, "recipe.yaml:1:23: not YAML: nested too deeply"),
        ("a: &a [*a]\n", "aliases (*) write out too much; spell the values out"),
        (b"name: caf\xe9\n", "recipe.yaml:1: byte 9 (0xe9) is not UTF-8; save it as UTF-8"),
    ],
)  # fmt: skip
def test_what_is_no_recipe_is_refused_in_one_line(tmp_path: Path, text: str | bytes, message: str) -> None:
    assert message in complaint(tmp_path, text)


def test_an_alias_bomb_is_refused_before_it_goes_off(tmp_path: Path) -> None:
    """Ten levels of nine copies: a few hundred bytes that would write out three thousand million values."""
    lines = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    lines += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]" for level in range(1, 10)]
    assert "aliases (*) write out too much" in complaint(tmp_path, "\n".join(lines))


def test_a_missing_recipe_names_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^quikstart: no such recipe file.*did you mean 'quickstart'\?$"):
        load_recipe("quikstart")
    with pytest.raises(InputError, match=r"^conf/smok\.yaml: no such recipe file.*did you mean 'smoke'\?$"):
        load_recipe("conf/smok.yaml")
    with pytest.raises(InputError, match=r"name a file, or choose from quickstart, smoke$"):
        load_recipe(str(tmp_path / "zzz.yaml"))


def test_a_folder_is_no_recipe_but_does_not_hide_a_packaged_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="is a folder; name a recipe file in it"):
        load_recipe(str(tmp_path))
    (tmp_path / "quickstart").mkdir()
    monkeypatch.chdir(tmp_path)
    assert load_recipe("quickstart").recipe.name == "quickstart"
    (tmp_path / "smoke").write_text(GOOD, encoding="utf-8")
    assert load_recipe("smoke").recipe.name == "tiny"


# What comes with Stepladder


def test_every_packaged_recipe_loads_under_its_own_name() -> None:
    assert packaged_recipes() == ["quickstart", "smoke"]
    for name in packaged_recipes():
        assert load_recipe(name).recipe.name == name


def test_the_quickstart_is_the_ladder_that_the_readme_promises() -> None:
    rungs = load_recipe("quickstart").recipe.ladder.named_rungs()
    assert [len(rung.seeds) for rung in rungs] == [2, 2, 2, 1, 1, 1, 1]
    assert (rungs[0].name, rungs[-1].name) == ("r1-13k", "r7-992k")


def test_the_template_is_a_recipe_that_shows_every_section(tmp_path: Path) -> None:
    loaded = load(tmp_path, template())
    assert loaded.recipe.model_fields_set >= set(Recipe.model_fields) - {"family", "objective"}


def test_what_the_template_comments_out_are_real_keys(tmp_path: Path) -> None:
    """Every `# key: value` stands where that key belongs: without its comment sign no key is unknown."""
    lines = template().splitlines()
    commented = [
        number
        for number, line in enumerate(lines)
        if line.startswith("  ") and line.lstrip().startswith("# ")
    ]
    assert len(commented) > 10
    for number in commented:
        changed = lines.copy()
        changed[number] = changed[number].replace("# ", "", 1)
        problem = ""
        try:
            load(tmp_path, "\n".join(changed))
        except InputError as error:  # an alternative beside the one that is given
            problem = str(error)
        assert "unknown key" not in problem
        assert "not YAML" not in problem


def test_the_schema_accepts_and_refuses_what_editors_show() -> None:
    made = schema()
    text = json.dumps(made)
    assert made["additionalProperties"] is False
    assert made["properties"]["context"]["description"] == "Tokens a model sees at once."
    assert {"required": ["source"]} in made["$defs"]["Corpus"]["oneOf"]
    assert set(made["required"]) == {"name", "corpus", "tokenizer", "ladder", "budget"}
    for name in ("EvalSettings", "ReportSettings", "Finetune", "Training"):
        assert f'"#/$defs/{name}"' in text


def _undescribed(made: dict[str, Any]) -> list[str]:
    return [
        f"{title}.{name}"
        for title, section in [("Recipe", made), *made["$defs"].items()]
        for name, field in section.get("properties", {}).items()
        if "description" not in field
    ]


def test_every_field_of_the_schema_is_described() -> None:
    assert _undescribed(schema()) == []


def test_stored_text_is_yaml_that_other_tools_read(tmp_path: Path) -> None:
    loaded = load(tmp_path, GOOD, "training.learning_rate=1e-5")
    assert yaml.safe_load(loaded.text)["training"]["learning_rate"] == 1e-5
    assert loaded.text.splitlines()[0].endswith("with training.learning_rate=1e-5")
