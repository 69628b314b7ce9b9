"""Plans of more than one length, of swept rates, of models that exist and of a reader's own tasks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from eval.files import InputError
from pipelines.plan import Plan, make_plan
from pipelines.recipe_file import load_recipe
from tests.pipelines.recipes import write

RECIPE = """\
name: tiny
corpus: {files: [text.txt]}
tokenizer: {train: bpe, vocab_size: 300}
context: 64
ladder: {rungs: {shapes: [1x32, 2x32]}}
budget: {tokens: 40960}
training: {rule: small-ladder, batch_tokens: 1024}
"""
GPT2 = {"model_type": "gpt2", "n_layer": 2, "n_embd": 32, "n_head": 2, "n_positions": 64, "vocab_size": 300}
BERT = {
    "model_type": "bert",
    "num_hidden_layers": 1,
    "hidden_size": 16,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
    "vocab_size": 300,
}


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    (tmp_path / "text.txt").write_text("It was a bright cold day in April.\n", encoding="utf-8")
    for split in ("train", "test"):
        rows = [{"text": f"{split} {n}", "stars": n % 2} for n in range(4)]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / f"{split}.jsonl").write_text(lines, encoding="utf-8")
    return Path(write(tmp_path, RECIPE))


def plan(recipe: Path, *overrides: str) -> Plan:
    return make_plan(load_recipe(str(recipe), overrides))


def model(folder: Path, **config: object) -> Path:
    """A folder that looks like a saved model to a plan, which loads nothing."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "model.safetensors").write_bytes(b"weights of " + folder.name.encode())
    vocabulary = {"model": {"vocab": {f"t{n}": n for n in range(300)}}}
    (folder / "tokenizer.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text('{"eos_token": "t0"}', encoding="utf-8")
    return folder


def test_several_lengths_are_a_chain_and_one_more_leaves_the_others_alone(recipe: Path) -> None:
    two = plan(recipe, "budget.tokens=[20480, 40960]")
    longer = two.stage("pretrain-13k-s0-41k")
    assert longer.inputs == ("prepare-tokens", "pretrain-13k-s0")
    assert two.stage("evaluate-13k-s0-41k-perplexity").inputs[0] == longer.id
    three = plan(recipe, "budget.tokens=[20480, 40960, 81920]")
    assert {stage.folder for stage in two.stages} <= {stage.folder for stage in three.stages}
    # all of a chain share one stable part: whatever depends on tokens comes from the shortest
    hypers = [three.stage(f"pretrain-13k-s0{end}").settings["hyper"] for end in ("", "-41k", "-82k")]
    assert len({hyper["warmup_tokens"] for hyper in hypers}) == 1
    assert [hyper["tokens"] for hyper in hypers] == [20480, 40960, 81920]


def test_an_isoflop_grid_spends_each_budget_on_every_rung(recipe: Path) -> None:
    made = plan(recipe, "budget={isoflop: [1e10, 2e10]}")
    trained = [stage for stage in made.stages if stage.kind == "pretrain"]
    assert len(trained) == 4
    for stage, budget in zip(trained, [1e10, 2e10] * 2, strict=True):
        step = stage.settings["hyper"]["batch_tokens"] * stage.settings["flops_per_token"]
        assert budget <= stage.settings["flops"] < budget + step


def test_only_a_schedule_with_a_stable_part_can_be_annealed_at_several_lengths(recipe: Path) -> None:
    with pytest.raises(InputError, match=r"cosine cannot be annealed at several lengths"):
        plan(recipe, "budget.tokens=[20480, 40960]", "training.schedule=cosine")


def test_a_sweep_tries_every_factor_on_the_smallest_rungs_and_all_rungs_wait_for_it(recipe: Path) -> None:
    made = plan(recipe, "training.rule=tune", "training.tune={rungs: 1, factors: [0.5, 1, 2]}")
    swept = [stage for stage in made.stages if stage.kind == "sweep"]
    assert [stage.name for stage in swept] == ["13k-x0.5", "13k-x1", "13k-x2"]
    rates = [stage.settings["hyper"]["learning_rate"] for stage in swept]
    assert [rate / rates[1] for rate in rates] == [0.5, 1, 2]
    assert made.stage("tune-ladder").inputs == tuple(stage.id for stage in swept)
    assert made.stage("pretrain-25k-s0").inputs == ("prepare-tokens", "tune-ladder")


def test_auto_sweeps_only_where_that_costs_little_beside_the_ladder(recipe: Path) -> None:
    assert plan(recipe, "training.rule=auto").find("tune-ladder") is None
    tall = plan(recipe, "training.rule=auto", "ladder={rungs: {shapes: [1x32, 1x64, 4x256]}}")
    assert tall.find("tune-ladder") is not None
    given = plan(
        recipe,
        "training={rule: auto, learning_rate: 1e-3}",
        "ladder={rungs: {shapes: [1x32, 1x64, 4x256]}}",
    )
    assert given.find("tune-ladder") is None


def test_models_that_exist_make_a_ladder_sized_by_their_configurations(recipe: Path) -> None:
    model(recipe.parent / "big", **GPT2)
    model(recipe.parent / "small", **GPT2 | {"n_layer": 1})
    text = RECIPE.replace("tokenizer: {train: bpe, vocab_size: 300}\n", "").replace(
        "budget: {tokens: 40960}\n", ""
    )
    recipe.write_text(text, encoding="utf-8")
    made = plan(recipe, "ladder={rungs: {pretrained: [big, small]}}")
    fetched = [stage for stage in made.stages if stage.kind == "fetch"]
    assert [(stage.id, stage.settings["params"]["non_embedding"]) for stage in fetched] == [
        ("fetch-small-s0", 12_768),
        ("fetch-big-s0", 25_472),
    ]
    assert made.stage("evaluate-small-s0-perplexity").inputs == ("fetch-small-s0", "prepare-corpus")
    assert made.find("prepare-tokens") is None

    trained_on = plan(recipe, "ladder={rungs: {pretrained: [big, small]}}", "budget={tokens: 20480}")
    assert trained_on.stage("pretrain-big-s0").inputs == ("prepare-tokens", "fetch-big-s0-before")
    assert trained_on.find("evaluate-big-s0-before-perplexity") is not None


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (BERT, "is a bert, not a gpt2; set family: bert"),
        (GPT2 | {"model_type": "llama"}, "is a llama"),
        (GPT2 | {"auto_map": {"AutoModel": "x.Y"}}, "code of its own"),
        (GPT2 | {"n_positions": 32}, "has 32 positions, fewer than context: 64"),
        (GPT2 | {"vocab_size": 200}, "tokenizer has 300 ids, the model 200"),
    ],
)
def test_a_model_that_does_not_fit_is_one_line(recipe: Path, config: dict[str, object], said: str) -> None:
    model(recipe.parent / "other", **config)
    text = RECIPE.replace("tokenizer: {train: bpe, vocab_size: 300}\n", "").replace(
        "budget: {tokens: 40960}\n", ""
    )
    recipe.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=said) as caught:
        plan(recipe, "ladder={rungs: {pretrained: [other]}}", "report.holdout=0")
    assert "\n" not in str(caught.value)


def test_a_task_of_ones_own_is_prepared_learnt_and_measured(recipe: Path) -> None:
    task = "{kind: classification, files: {train: train.jsonl, test: test.jsonl}, columns: {label: stars}}"
    made = plan(recipe, f"tasks={{reviews: {task}}}", "finetune=[{task: reviews}]")
    assert made.stage("finetune-13k-s0-reviews").inputs == ("pretrain-13k-s0", "prepare-reviews")
    assert made.stage("evaluate-13k-s0-reviews").inputs == ("finetune-13k-s0-reviews", "prepare-reviews")
    assert made.stage("prepare-corpus").inputs == (
        "prepare-reviews",
    )  # whose test rows are kept out of the text
    shown = plan(
        recipe, f"tasks={{reviews: {task[:-1]}, metrics: [accuracy]}}}}", "finetune=[{task: reviews}]"
    )
    assert shown.stage("prepare-reviews").key == made.stage("prepare-reviews").key
    assert shown.stage("finetune-13k-s0-reviews").key == made.stage("finetune-13k-s0-reviews").key
    assert shown.stage("evaluate-13k-s0-reviews").key != made.stage("evaluate-13k-s0-reviews").key
