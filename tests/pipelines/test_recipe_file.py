"""Recipe files: found, overridden from the command line, refused in one line when they are no recipe."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from eval.files import InputError
from pipelines.recipe import Recipe
from pipelines.recipe_file import load_recipe, packaged_recipes, template
from tests.pipelines.recipes import GOOD, complaint, load

# Overrides


def test_overrides_replace_values_and_are_kept_in_the_text(tmp_path: Path) -> None:
    overrides = (
        "training.learning_rate=1e-2",
        "finetune.1.max_rows=9",
        "eval.bootstrap=50",
        "corpus={source: python-stdlib, max_bytes: 4e6}",
    )
    loaded = load(tmp_path, GOOD, *overrides)
    recipe = loaded.recipe
    assert (recipe.training.learning_rate, recipe.finetune[1].max_rows, recipe.eval.bootstrap) == (
        1e-2,
        9,
        50,
    )
    assert (recipe.corpus.source, recipe.corpus.max_bytes) == ("python-stdlib", 4_000_000)
    assert recipe.finetune[0].epochs == 1
    (tmp_path / "again").mkdir()
    assert load(tmp_path / "again", loaded.text).recipe == recipe


def test_without_overrides_the_text_is_the_files_own(tmp_path: Path) -> None:
    assert load(tmp_path, f"# why\n{GOOD}").text == f"# why\n{GOOD}"


def test_an_override_cannot_smuggle_lines_into_the_stored_recipe(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^command line: 'name=a\\ncontext: 8': is no override"):
        load(tmp_path, GOOD, "name=a\ncontext: 8")


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
        ("finetune.2.task=x", "finetune is a list of 2; write a number from 0 for '2'"),
        ("finetune.first.task=x", "finetune is a list of 2; write a number from 0 for 'first'"),
        ("name.x=3", "name has no keys; set it as a whole"),
        ("name.x.y=3", "name has no keys; set it as a whole"),
        ("training.5=3", "training.5: unknown key; choose from rule, tune, mup_base_width"),
        ("finetune.²=3", "finetune is a list of 2; write a number from 0 for '²'"),
        ("training.learning_rate", "is no override; write key=value"),
        ("=3", "is no override; write key=value"),
        ("training..lr=3", "is no override; write key=value"),
        ("corpus=[1", "not YAML: expected ',' or ']'"),
        (
            "budget.flops=1e12",
            "give exactly one of tokens, tokens_per_param, flops, isoflop; tokens is given too (null",
        ),
    ],
)
def test_a_bad_override_is_said_to_come_from_the_command_line(
    tmp_path: Path, override: str, advice: str
) -> None:
    line = complaint(tmp_path, GOOD, override)
    assert line.startswith(f"command line: {override}: ")
    assert advice in line


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
    with pytest.raises(InputError, match=r"choose from bert-miniatures, .*, quickstart, smoke$"):
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
    assert {"quickstart", "smoke", "gpt2-prose", "bert-sst2", "isoflop-mini"} <= set(packaged_recipes())
    for name in packaged_recipes():
        assert load_recipe(name).recipe.name == name


def test_the_quickstart_is_the_ladder_that_the_readme_promises() -> None:
    rungs = load_recipe("quickstart").recipe.ladder.named_rungs()
    assert [len(rung.seeds) for rung in rungs] == [2, 2, 2, 1, 1, 1, 1]
    assert (rungs[0].name, rungs[-1].name) == ("13k", "1m")


def test_the_template_is_a_recipe_that_shows_every_section(tmp_path: Path) -> None:
    loaded = load(tmp_path, template())
    unset = {"data", "objective", "tasks", "finetune"}
    assert loaded.recipe.model_fields_set >= set(Recipe.model_fields) - unset


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


def test_stored_text_is_yaml_that_other_tools_read(tmp_path: Path) -> None:
    loaded = load(tmp_path, GOOD, "training.learning_rate=1e-5")
    assert yaml.safe_load(loaded.text)["training"]["learning_rate"] == 1e-5
    assert loaded.text.splitlines()[0].endswith("with training.learning_rate=1e-5")


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("lables: [a, b]", "tasks.mine.lables: unknown key; did you mean 'labels'?"),
        ("holdout: 1", "tasks.mine.holdout: unknown key; it belongs in report.holdout"),
    ],
)
def test_an_unknown_key_of_an_own_task_is_a_mistake_and_not_a_crash(
    tmp_path: Path, keys: str, said: str
) -> None:
    task = f"tasks:\n  mine: {{kind: classification, files: {{test: a.csv}}, {keys}}}\n"
    assert complaint(tmp_path, GOOD + task).endswith(said)


def test_a_key_that_own_tasks_have_is_sent_there(tmp_path: Path) -> None:
    assert complaint(tmp_path, GOOD + "verbalizers: {a: b}\n").endswith(
        "verbalizers: unknown key; it belongs in tasks.NAME.verbalizers"
    )
