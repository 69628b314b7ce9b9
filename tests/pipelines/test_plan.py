"""Plans: the stages of a recipe, and keys that change exactly where the work does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from eval.files import InputError, hash_file
from pipelines import planned
from pipelines.costs import plan_costs
from pipelines.flops import training_flops_per_token
from pipelines.hardware import parse_machine
from pipelines.ladder import Shape
from pipelines.plan import Plan, Stage, make_plan
from pipelines.plan_view import plan_summary, plan_table, print_plan
from pipelines.rates import Terms
from pipelines.recipe_file import load_recipe

RECIPE = """\
name: tiny
corpus: {source: python-stdlib}
tokenizer: {train: bpe, vocab_size: 512}
context: 64
ladder:
  rungs: {shapes: [1x32, 2x32]}
  seeds: [2, 1]
budget: {tokens: 10_000}
training: {batch_tokens: 1024}
finetune:
  - {task: code-to-docstring}
  - {task: module-classification}
"""
HEAVY = (
    "torch",
    "transformers",
    "tokenizers",
    "datasets",
    "evaluate",
    "accelerate",
    "scipy",
    "pandas",
    "altair",
)


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe beside what stands for the standard library, whose own fingerprint takes a second."""
    library = tmp_path / "library.py"
    library.write_text('"""It was a dark and stormy night."""\n', encoding="utf-8")
    monkeypatch.setattr("pipelines.corpus.stdlib_fingerprint", lambda: hash_file(library))
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


def plan(recipe: Path, *overrides: str) -> Plan:
    return make_plan(load_recipe(str(recipe), overrides))


def redone(before: Plan, after: Plan) -> set[str]:
    """The stages of `after` whose artefact `before` does not have."""
    return {stage.id for stage in after.stages} - {
        stage.id for stage in after.stages if stage.folder in {old.folder for old in before.stages}
    }


def stage_ids(made: Plan, *kinds: str) -> set[str]:
    return {stage.id for stage in made.stages if stage.kind in kinds}


def test_the_stages_of_a_recipe(recipe: Path) -> None:
    run = ["pretrain-{}", "evaluate-{}-perplexity"]
    for task in ("code-to-docstring", "module-classification"):
        run += [f"finetune-{{}}-{task}", f"evaluate-{{}}-{task}"]
    prepared = ["corpus", "tokens", "code-to-docstring", "module-classification"]
    assert [stage.id for stage in plan(recipe).stages] == [
        *(f"prepare-{name}" for name in prepared),
        *(stage.format("13k-s0") for stage in run[:2]),
        *(stage.format("13k-s1") for stage in run[:2]),
        *(stage.format("13k-s0") for stage in run[2:]),  # one seed of a rung is fine-tuned
        *(stage.format("25k-s0") for stage in run),
    ]


def test_stages_follow_their_inputs(recipe: Path) -> None:
    made = plan(recipe)
    assert made.stage("prepare-tokens").inputs == ("prepare-corpus",)
    assert made.stage("pretrain-13k-s0").inputs == ("prepare-tokens",)
    assert made.stage("evaluate-13k-s0-perplexity").inputs == ("pretrain-13k-s0", "prepare-corpus")
    tuned = "finetune-25k-s0-code-to-docstring"
    assert made.stage(tuned).inputs == ("pretrain-25k-s0", "prepare-code-to-docstring")
    assert made.stage("evaluate-25k-s0-code-to-docstring").inputs == (tuned, "prepare-code-to-docstring")
    seen: set[str] = set()
    for stage in made.stages:
        assert set(stage.inputs) <= seen
        seen.add(stage.id)
    assert len(seen) == len(made.stages) == len({stage.folder for stage in made.stages})


def test_only_what_is_asked_for_is_planned(recipe: Path) -> None:
    made = plan(recipe, "finetune=[]")
    assert stage_ids(made, "finetune") == set()
    assert {stage.settings["task"] for stage in made.stages if stage.kind == "evaluate"} == {"perplexity"}
    made = plan(recipe, "eval.tasks=[module-classification]", "finetune.0.seeds=2")
    assert {stage.settings["task"] for stage in made.stages if stage.kind == "evaluate"} == {
        "module-classification"
    }
    assert "finetune-13k-s1-code-to-docstring" in stage_ids(made, "finetune")


@pytest.mark.parametrize(
    "override",
    [
        "training.checkpoint_every_s=1",
        "training.log_every_tokens=9",
        "report.bootstrap=100",
        "report.x=[tokens]",
        "eval.batch_tokens=64",
        "name=other",
        "training.learning_rate=null",
    ],
)
def test_what_changes_no_content_redoes_nothing(recipe: Path, override: str) -> None:
    assert redone(plan(recipe), plan(recipe, override)) == set()


@pytest.mark.parametrize(
    ("override", "kinds"),
    [
        ("corpus.test_fraction=0.1", ("prepare", "pretrain", "finetune", "evaluate")),
        ("training.learning_rate=1e-4", ("pretrain", "finetune", "evaluate")),
        ("training.precision=fp32", ("pretrain", "finetune", "evaluate")),
        ("budget.tokens=20_000", ("pretrain", "finetune", "evaluate")),
        ("eval.max_items=5", ("evaluate",)),
        ("eval.split=validation", ("evaluate",)),
    ],
)
def test_a_changed_setting_redoes_what_depends_on_it(
    recipe: Path, override: str, kinds: tuple[str, ...]
) -> None:
    after = plan(recipe, override)
    assert redone(plan(recipe), after) == stage_ids(after, *kinds)


@pytest.mark.parametrize(
    ("override", "touched"),
    [
        ("finetune.0.epochs=9",
         lambda stage: stage.kind != "prepare" and stage.id.endswith("code-to-docstring")),
        ("eval.stride=7", lambda stage: stage.kind == "evaluate" and stage.id.endswith("perplexity")),
        ("eval.samples=7", lambda stage: stage.kind == "evaluate" and not stage.id.endswith("perplexity")),
        ("tokenizer.vocab_size=600", lambda stage: stage.id == "prepare-tokens" or stage.kind != "prepare"),
        ("context=128", lambda stage: stage.id == "prepare-tokens" or stage.kind != "prepare"),
        ("ladder={rungs: {shapes: [1x32, 3x32]}, seeds: [2, 1]}", lambda stage: "-38k-" in stage.id),
        ("ladder={rungs: {shapes: [1x32, 2x32, 3x32]}, seeds: [2, 1, 1]}",
         lambda stage: "-38k-" in stage.id),
        ("ladder.seeds=[2, 2]", lambda stage: "-25k-s1" in stage.id),
    ],
)  # fmt: skip
def test_a_changed_part_redoes_that_part_alone(
    recipe: Path, override: str, touched: Callable[[Stage], bool]
) -> None:
    after = plan(recipe, override)
    assert redone(plan(recipe), after) == {stage.id for stage in after.stages if touched(stage)}


def test_changed_text_redoes_everything_and_a_raised_version_its_kind(
    recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = plan(recipe)
    (recipe.parent / "library.py").write_text('"""It was a bright cold day in April."""\n', encoding="utf-8")
    changed = plan(recipe)
    assert redone(before, changed) == {stage.id for stage in changed.stages}
    monkeypatch.setitem(planned.VERSIONS, "finetune", planned.VERSIONS["finetune"] + 1)
    raised = plan(recipe)
    tuned = {stage.id for stage in raised.stages if stage.kind == "evaluate" and "perplexity" not in stage.id}
    assert redone(changed, raised) == stage_ids(raised, "finetune") | tuned


def test_missing_text_is_a_mistake_and_not_a_crash(recipe: Path) -> None:
    with pytest.raises(InputError, match="nowhere"):
        plan(recipe, "corpus={files: [nowhere/*.txt]}", "finetune=[]")


def test_settings_are_json_and_say_what_a_run_costs(recipe: Path) -> None:
    made = plan(recipe)
    for stage in made.stages:
        assert json.loads(json.dumps(stage.settings, allow_nan=False)) == stage.settings
    stage = made.stage("pretrain-25k-s0")
    settings = stage.settings
    assert settings["params"] == {
        "total": 25_472 + 512 * 32 + 64 * 32,
        "non_embedding": 25_472,
        "matmul": 41_856,
    }
    assert settings["flops_per_token"] == training_flops_per_token(Shape(2, 32, 1), 512, 64)
    assert (settings["hyper"]["steps"], stage.tokens) == (10, 10_240)
    assert stage.flops == settings["flops"] == 10_240 * settings["flops_per_token"]
    assert stage.memory_bytes is not None
    assert stage.memory_bytes > 16 * settings["params"]["total"]


def test_fine_tuning_starts_at_a_third_of_the_pretraining_rate_unless_told(recipe: Path) -> None:
    made = plan(recipe, "training.learning_rate=0.03", "finetune.1.learning_rate=0.5")
    rates = [made.stage(f"finetune-13k-s0-{task}").settings["learning_rates"] for task in
             ("code-to-docstring", "module-classification")]  # fmt: skip
    assert rates == [[pytest.approx(0.01)], [0.5]]
    assert made.stage("finetune-13k-s0-code-to-docstring").settings["max_tokens"] == 64


def test_a_pretrained_tokenizer_leaves_its_counts_open(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unread = recipe.parent / "unread"
    unread.mkdir()
    (unread / "tokenizer.model").write_bytes(b"of a format that planning does not read")
    made = plan(recipe, "tokenizer={pretrained: unread}")
    stage = made.stage("pretrain-13k-s0")
    assert stage.settings["params"] == {"total": None, "non_embedding": 12_768, "matmul": None}
    assert (stage.flops, stage.seconds_estimate, stage.memory_bytes) == (None, None, None)
    assert plan_table(made)[0]["FLOPs"] == "?"
    costs = plan_costs(
        made, load_recipe(str(recipe)).recipe, Terms(machine=parse_machine("h100")), recipe.parent
    )
    print_plan(made, costs)
    assert "? FLOPs" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"budget\.isoflop: needs the vocabulary's size"):
        plan(recipe, "tokenizer={pretrained: unread}", "budget={isoflop: [1e9, 2e9]}")


def test_a_tokenizer_in_a_folder_is_known_by_its_content(recipe: Path) -> None:
    folder = recipe.parent / "mine"
    folder.mkdir()
    (folder / "tokenizer_config.json").write_text('{"eos_token": "a"}', encoding="utf-8")
    (folder / "tokenizer.json").write_text('{"model": {"vocab": {"a": 0}}}', encoding="utf-8")
    before = plan(recipe, "tokenizer={pretrained: mine}")
    assert before.stage("prepare-tokens").settings["pretrained"] == str(folder.resolve())
    (folder / "tokenizer.json").write_text('{"model": {"vocab": {"b": 0}}}', encoding="utf-8")
    assert "prepare-tokens" in redone(before, plan(recipe, "tokenizer={pretrained: mine}"))


def test_a_tokenizer_below_the_home_is_found_there(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = recipe.parent / "home" / "tok"
    folder.mkdir(parents=True)
    (folder / "tokenizer_config.json").write_text('{"eos_token": "a"}', encoding="utf-8")
    (folder / "tokenizer.json").write_text('{"model": {"vocab": {"a": 0}}}', encoding="utf-8")
    monkeypatch.setenv("HOME", str(recipe.parent / "home"))
    made = plan(recipe, "tokenizer={pretrained: ~/tok}")
    assert made.stage("prepare-tokens").settings["pretrained"] == str(folder.resolve())
    assert made.stage("pretrain-13k-s0").settings["vocab_size"] == 1


def test_a_tokenizer_that_is_nowhere_or_of_the_other_kind_is_one_line_at_once(recipe: Path) -> None:
    with pytest.raises(
        InputError, match=r"tokenizer\.pretrained: no-such/x: no such folder, and not on the hub"
    ):
        plan(recipe, "tokenizer={pretrained: no-such/x}")
    bert = recipe.parent / "bert"
    bert.mkdir()
    (bert / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"bert: masks tokens, as a BERT's does, which is not for causal-lm"):
        plan(recipe, "tokenizer={pretrained: bert}")


@pytest.mark.parametrize(
    "overrides",
    [
        ("budget={tokens: 10_000}", "training.warmup_tokens=10_000"),
        ("budget={tokens_per_param: 0.5}", "training.warmup_tokens=7_000"),
        ("budget={flops: 1e9}", "training.warmup_tokens=60_000"),
        ("budget={isoflop: [1e9, 1e12]}", "training.warmup_tokens=60_000"),
    ],
)
def test_a_warmup_ends_before_the_shortest_training_whatever_the_budget(
    recipe: Path, overrides: tuple[str, ...]
) -> None:
    with pytest.raises(
        InputError, match=r"training\.warmup_tokens: .* is not less than the .* of 13k; lower it"
    ):
        plan(recipe, *overrides)
    plan(recipe, overrides[0], "training.warmup_tokens=10")


def test_a_slip_in_a_budget_is_one_line_and_not_a_plan_of_a_million_years(recipe: Path) -> None:
    with pytest.raises(InputError, match=r"budget: gives 13k .* tokens, more than 1e\+15; lower it"):
        plan(recipe, "budget={flops: 1e30}")


def test_the_table_has_a_row_a_rung_and_the_summary_adds_up(recipe: Path) -> None:
    made = plan(recipe)
    rows = plan_table(made)
    assert [(row["rung"], row["shape"], row["seeds"], row["non-emb."]) for row in rows] == [
        ("13k", "1x32", "2", "12,768"),
        ("25k", "2x32", "1", "25,472"),
    ]
    flops = sum(stage.flops or 0 for stage in made.stages)
    assert f"3 pretrainings: 31k tokens, {flops:.2e} FLOPs" in plan_summary(made)


def run_python(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ | environment
    )
    return done.stdout


def test_planning_imports_nothing_heavy() -> None:
    found = run_python(
        "import sys\n"
        "import pipelines.cli\n"
        "from pipelines.recipe_file import schema, template\n"
        "sys.argv[1:] = ['plan', 'quickstart', '--hardware', '8xh100']\n"
        "pipelines.cli.main(), schema(), template()\n"
        f"print('heavy:', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    assert "1m" in found
    assert found.endswith("heavy: []\n")


def test_keys_are_the_same_in_every_process(recipe: Path) -> None:
    code = (
        "import pipelines.corpus; from eval.files import hash_file\n"
        f"pipelines.corpus.stdlib_fingerprint = lambda: hash_file({str(recipe.parent / 'library.py')!r})\n"
        "from pipelines.plan import make_plan; from pipelines.recipe_file import load_recipe\n"
        f"print(*[stage.folder for stage in make_plan(load_recipe({str(recipe)!r})).stages])"
    )
    here = " ".join(stage.folder for stage in plan(recipe).stages)
    assert {run_python(code, PYTHONHASHSEED=seed).strip() for seed in ("1", "2")} == {here}
