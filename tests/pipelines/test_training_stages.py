"""A model that exists, trained on at several lengths: it is the one that is loaded, counted and branched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from eval.files import read_sealed, write_sealed
from pipelines.flops import training_flops_per_token
from pipelines.ladder import Shape
from pipelines.plan import Plan, make_plan
from pipelines.recipe_file import load_recipe
from pipelines.stages import Job, LoopSettings, run_stage
from pipelines.store import RunFolder
from pipelines.tokenizer import train_tokenizer
from tests.pipelines.recipes import write

POSITIONS, CONTEXT, ROWS, IDS = 32, 16, 310, 300
RECIPE = """\
name: on
corpus: {files: [text.jsonl], near_duplicates: false}
context: 16
ladder: {rungs: {pretrained: [mine]}}
budget: {tokens: [1024, 2048]}
training: {rule: small-ladder, batch_tokens: 256, precision: fp32, compile: "off"}
report: {holdout: 0}
"""


def _model(folder: Path, texts: list[str]) -> None:
    """More positions than the recipe's context, and more rows than its tokenizer has ids."""
    tokenizer = train_tokenizer(iter(texts), IDS, POSITIONS)
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=ROWS, n_positions=POSITIONS, n_layer=1, n_embd=16, n_head=2, bos_token_id=0, eos_token_id=0
    )
    GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _run(recipe: Path, out: Path, *overrides: str) -> tuple[Plan, dict[str, dict[str, Any]]]:
    """Bring the plan's stages but the evaluations to an end, here; the facts of each."""
    loaded = load_recipe(str(recipe), overrides)
    plan, run = make_plan(loaded), RunFolder(out)
    run.claim(plan, loaded.text)
    facts = {}
    for stage in (stage for stage in plan.stages if stage.kind != "evaluate"):
        inputs = {name: run.folder(plan.stage(name)) for name in stage.inputs}
        loop = LoopSettings.of(loaded)
        job = Job(stage, plan.recipe, plan.base, run.folder(stage), inputs, threads=1, loop=loop)
        outcome = run_stage(job, lambda message: None)
        assert outcome.status == "done", outcome.reason
        manifest = run.manifest(stage)
        assert manifest is not None
        facts[stage.id] = manifest["facts"]
    return plan, facts


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("on")
    texts = [f"row {n}: " + " ".join(f"{n * k % 97} and {k}" for k in range(40)) for n in range(60)]
    (folder / "text.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    _model(folder / "mine", texts)
    write(folder, RECIPE)
    return folder


def test_every_branch_goes_on_from_the_model_that_exists(folder: Path) -> None:
    recipe, out = folder / "recipe.yaml", folder / "runs" / "on"
    plan, facts = _run(recipe, out)
    first, second = (facts[f"pretrain-mine-s0{end}"] for end in ("", "-2k"))
    model = AutoModelForCausalLM.from_pretrained(folder / "mine")
    flops = training_flops_per_token(Shape(1, 16, 2), ROWS, CONTEXT)
    for told, tokens, stage_tokens in ((first, 1024, 1024), (second, 2048, 1280)):
        assert told["params"]["total"] == sum(parameter.numel() for parameter in model.parameters())
        assert told["flops_per_token"] == flops
        assert told["start_tokens"] == tokens - stage_tokens
        assert told["stage_flops"] == stage_tokens * flops
        assert (told["tokens"], told["flops"]) == (None, None), "nobody knows what the model saw before"
    longest = RunFolder(out).folder(plan.stage("pretrain-mine-s0-2k"))
    assert AutoModelForCausalLM.from_pretrained(longest / "model").config.n_positions == POSITIONS

    on = ("name=further", "ladder={rungs: {init_from: runs/on}}")
    planned = make_plan(load_recipe(str(recipe), on)).stage("fetch-mine-s0-before")
    assert planned.settings["model"] == str(longest / "model"), "trained longest, though nobody could count"

    # and on from that run: the counts go on from its longest model's, for every branch
    old = first | {"tokens": 5000, "unique_tokens": 4000, "flops": 9, "annealed": False}
    manifest = longest / "manifest.json"
    told = read_sealed(manifest)
    write_sealed(manifest, told | {"facts": told["facts"] | old})
    _, facts = _run(recipe, folder / "runs" / "further", *on)
    fetched = facts["fetch-mine-s0-before"]
    assert (fetched["tokens"], fetched["flops"], fetched["annealed"]) == (5000, 9, False)
    for name, tokens in (("pretrain-mine-s0", 1024), ("pretrain-mine-s0-2k", 2048)):
        assert facts[name]["tokens"] == 5000 + tokens
        assert facts[name]["flops"] == 9 + tokens * flops
        assert facts[name]["annealed"] is True
