"""Plans of more than one length, of swept rates, of models that exist and of a reader's own tasks."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from eval.files import InputError
from pipelines.plan import Plan, make_plan
from pipelines.planned import make_stage
from pipelines.recipe_file import load_recipe
from pipelines.store import RunFolder, write_manifest
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


def safetensors(**shapes: tuple[int, ...]) -> bytes:
    """A file of that format with zeros of these shapes."""
    header: dict[str, Any] = {}
    end = 0
    for name, shape in shapes.items():
        begin, end = end, end + 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(end)


def model(folder: Path, tokens: int = 300, weights: bytes | None = None, **config: Any) -> Path:
    """A folder that looks like a saved model to a plan, which loads nothing."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    width = config.get("n_embd") or config["hidden_size"]
    table = "transformer.wte.weight" if "n_embd" in config else "bert.embeddings.word_embeddings.weight"
    whole = safetensors(**{table: (config["vocab_size"], width)})
    (folder / "model.safetensors").write_bytes(whole if weights is None else weights)
    vocabulary = {"model": {"vocab": {f"t{n}": n for n in range(tokens)}}}
    (folder / "tokenizer.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text('{"eos_token": "t0"}', encoding="utf-8")
    return folder


def existing(recipe: Path, budget: str = "") -> None:
    """Make the recipe one of models that exist."""
    text = RECIPE.replace("tokenizer: {train: bpe, vocab_size: 300}\n", "")
    recipe.write_text(text.replace("budget: {tokens: 40960}\n", budget), encoding="utf-8")


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
    existing(recipe)
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
def test_a_model_that_does_not_fit_is_one_line(recipe: Path, config: dict[str, Any], said: str) -> None:
    model(recipe.parent / "other", **config)
    existing(recipe)
    with pytest.raises(InputError, match=said) as caught:
        plan(recipe, "ladder={rungs: {pretrained: [other]}}", "report.holdout=0")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        (b"garbage", "model.safetensors is no whole safetensors file"),
        (safetensors(a=(4, 4))[:-1], "model.safetensors is no whole safetensors file"),
        (
            safetensors(**{"wte.weight": (301, 32)}),
            r"wte.weight is \[301, 32\], by its config.json \[300, 32\]",
        ),
    ],
)
def test_weights_that_will_not_load_are_seen_before_anything_is_prepared(
    recipe: Path, weights: bytes, said: str
) -> None:
    model(recipe.parent / "other", weights=weights, **GPT2)
    existing(recipe)
    with pytest.raises(InputError, match=said):
        plan(recipe, "ladder={rungs: {pretrained: [other]}}", "report.holdout=0")


def test_models_that_exist_are_loaded_before_their_data_is_prepared(recipe: Path) -> None:
    model(recipe.parent / "one", **GPT2)
    existing(recipe, "budget: {tokens: 20480}\n")
    made = plan(recipe, "ladder={rungs: {pretrained: [one]}}", "report.holdout=0")
    assert [stage.kind for stage in made.stages[:2]] == ["fetch", "prepare"]


def test_models_of_different_tokenizers_are_measured_but_not_trained_on_one_stream(recipe: Path) -> None:
    model(recipe.parent / "h16", **GPT2)
    model(recipe.parent / "h32", tokens=299, **GPT2 | {"n_layer": 3})
    existing(recipe)
    ladder = "ladder={rungs: {pretrained: [h16, h32]}}"
    assert plan(recipe, ladder).find("evaluate-h32-s0-perplexity") is not None
    with pytest.raises(InputError, match="h16 and h32 have different tokenizers"):
        plan(recipe, ladder, "budget={tokens: 20480}")


def test_branches_of_a_model_that_exists_all_build_on_it(recipe: Path) -> None:
    model(recipe.parent / "one", **GPT2)
    existing(recipe)
    made = plan(
        recipe, "ladder={rungs: {pretrained: [one]}}", "budget={tokens: [20480, 40960]}", "report.holdout=0"
    )
    assert made.stage("pretrain-one-s0").inputs == ("prepare-tokens", "fetch-one-s0-before")
    assert made.stage("pretrain-one-s0-41k").inputs == (
        "prepare-tokens", "pretrain-one-s0", "fetch-one-s0-before",
    )  # fmt: skip


def test_a_run_to_go_on_from_brings_its_rungs_and_what_is_known_of_them(recipe: Path) -> None:
    run = recipe.parent / "runs" / "old"
    stages = []
    for seed in (0, 1):
        settings = {"rung": "25k", "seed": seed, "params": {}, "vocab_size": None, "tokens": 1}
        stage = make_stage("fetch", f"25k-s{seed}", settings)
        model(run / "stages" / stage.folder / "model", **GPT2)
        facts = {"tokens": 4096, "unique_tokens": 4096, "flops": 7, "annealed": False}
        write_manifest(stage, run / "stages" / stage.folder, facts, 1.0)
        stages.append({"id": stage.id, "folder": stage.folder, "kind": "fetch"})
    (run / "plan.json").write_text(json.dumps({"recipe": "old", "stages": stages}), encoding="utf-8")
    assert RunFolder(run).recipe_name() == "old"
    existing(recipe)
    made = plan(recipe, "ladder={rungs: {init_from: runs/old}}", "report.holdout=0")
    fetched = [stage for stage in made.stages if stage.kind == "fetch"]
    assert [stage.name for stage in fetched] == ["25k-s0", "25k-s1"]
    assert fetched[0].settings["before"]["annealed"] is False
    with pytest.raises(InputError, match=r"report\.holdout: hides 1 of 1 rungs; keep some to fit"):
        plan(recipe, "ladder={rungs: {init_from: runs/old}}")


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
