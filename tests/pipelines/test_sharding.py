"""Two ranks that share a model out (FSDP2, here over gloo) train, resume, stop early and save as one does."""

from __future__ import annotations

import json
import socket
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.utils import DistributedType
from safetensors.torch import load_file
from torch.distributed.fsdp import FSDPModule
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from pipelines import ranks
from pipelines.batches import Example, Pairs
from pipelines.early_stopping import Validation
from pipelines.fast import tune_for_training
from pipelines.lora import merge_lora, wrap_lora
from pipelines.models import load_for, save_model
from pipelines.objectives import objective
from pipelines.train import train
from pipelines.training_setup import leave_model
from tests.pipelines.tiny import CONTEXT, Nothing, be_rank, how, make_run, tiny_data, tiny_model, train_tiny

pytestmark = pytest.mark.slow  # processes that start torch and meet

LABELS = ["a", "b", "c"]
LOADERS: dict[str, Any] = {
    "gpt2": AutoModelForCausalLM,
    "bert": AutoModelForSequenceClassification,
    "lora": AutoModelForSequenceClassification,
}
CASES = [case for case in sorted(LOADERS) if case != "lora" or find_spec("peft")]  # peft is an extra


def _model(case: str, folder: Path) -> tuple[Any, str]:
    """From scratch; with a new head; with a new head and low-rank additions."""
    if case == "gpt2":
        return tiny_model(), "causal-lm"
    model = load_for("classification", folder / f"base-{case}", LABELS, seed=0)
    return (wrap_lora(model, r=3, alpha=6.0, dropout=0.0) if case == "lora" else model), "classification"


def _settings(case: str, folder: Path) -> dict[str, Any]:
    """GPT-2 by AdamW; the others so fast that the best weights are not the last, and have to be put back."""
    rows = [Example(tuple(range(5 + i, 9 + i + i % 5)), i % 3) for i in range(17)]
    data: Any = Pairs(rows, 5, CONTEXT, pad_id=1, seed=1, objective="classification")
    rule = replace(how(learning_rate=0.3), optimizer="sgd", clip=1e9)
    if case == "gpt2":
        data, rule = tiny_data(batch_size=4), how()
    return {
        "folder": folder,
        "batches": data,
        "how": rule,
        "micro_tokens": 32,
        "checkpoint_every_s": 0.0,
        "validation": Validation(data, steps=2, every_steps=2),
    }


def _accelerator() -> Any:
    """Accelerate shards on GPUs only; what it calls there does so on processors too."""
    accelerator = ranks.make_accelerator("fp32")
    accelerator.state.fsdp_plugin = ranks.fsdp_plugin()
    accelerator.state.distributed_type = DistributedType.FSDP
    assert accelerator.is_fsdp2
    return accelerator


def _train(case: str, folder: Path, work: Path, rank: int) -> dict[str, Any]:
    model, name = _model(case, folder)
    module = objective(name, tune_for_training(model, on_cpu=True), torch.float32)
    work.mkdir(parents=True, exist_ok=True)
    facts = train(module, make_run(**_settings(case, work)), _accelerator())
    units = [type(one).__name__ for one in module.modules() if isinstance(one, FSDPModule)]
    if case == "lora":
        model = merge_lora(model)
    leave_model(model, Nothing(), work / "model", rank)
    return facts | {"units": units}


def _rank(rank: int, port: int, folder: Path) -> None:
    be_rank(rank, port)
    for case in CASES:
        facts = _train(case, folder, folder / case, rank)
        (folder / f"facts-{case}-{rank}.json").write_text(json.dumps(facts), encoding="utf-8")
        torch.distributed.barrier()
        if rank == 0:  # and once more from the middle
            for path in sorted((folder / case).glob("checkpoints/step-*"))[1:]:
                path.rename(path.with_name(f"not-{path.name}"))
            (folder / case / "model").rename(folder / f"first-{case}")
        torch.distributed.barrier()
        _train(case, folder, folder / case, rank)
        torch.distributed.barrier()
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where two ranks trained and saved each case, and did so again from the last but one step."""
    folder = tmp_path_factory.mktemp("sharded")
    for case, family in (("bert", "bert"), ("lora", "gpt2")):
        save_model(tiny_model(family=family), Nothing(), folder / f"base-{case}")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(_rank, (port, folder), nprocs=2)
    return folder


@pytest.mark.parametrize("case", CASES)
def test_two_ranks_that_shard_leave_the_model_that_one_leaves(
    case: str, sharded: Path, tmp_path: Path
) -> None:
    model, name = _model(case, sharded)
    settings = _settings(case, tmp_path)
    _, facts = train_tiny(model=model, name=name, **settings)
    model = merge_lora(model) if case == "lora" else model
    save_model(model, Nothing(), tmp_path / "model")

    theirs = json.loads((sharded / f"facts-{case}-0.json").read_text(encoding="utf-8"))
    assert theirs["best_validation"]["value"] == pytest.approx(facts["best_validation"]["value"], rel=1e-4)
    assert theirs["step"] == facts["step"]
    assert case == "gpt2" or theirs["step"] < theirs["trained_steps"], "else nothing was put back"
    assert theirs["final_loss_nats"] == pytest.approx(facts["final_loss_nats"], rel=1e-4)
    first, again = sharded / f"first-{case}", sharded / case / "model"
    _same_layout(first, tmp_path / "model")
    found, resumed, expected = (_weights(folder) for folder in (first, again, tmp_path / "model"))
    assert found.keys() == expected.keys(), "tied weights are written once, and nothing of peft's"
    assert all(torch.equal(value, resumed[key]) for key, value in found.items())
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=1e-3, atol=1e-5)
    _, info = LOADERS[case].from_pretrained(first, output_loading_info=True)
    assert not any(info.values()), info


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    weights = load_file(folder / "model.safetensors")
    for key, value in weights.items():
        if key.endswith("c_attn.bias"):  # keys' biases have no gradient but noise, which AdamW makes steps of
            value[len(value) // 3 : 2 * len(value) // 3] = 0.0
    return weights


def _same_layout(folder: Path, other: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {path.name for path in other.iterdir()}
    one, two = (json.loads((path / "config.json").read_text(encoding="utf-8")) for path in (folder, other))
    assert one == two


def test_a_block_is_a_unit(sharded: Path) -> None:
    """As one unit the model would lie whole on every GPU at each step."""
    units = {case: json.loads((sharded / f"facts-{case}-0.json").read_text())["units"] for case in CASES}
    assert units["gpt2"] == ["FSDPPackedToken", "FSDPGPT2Block", "FSDPGPT2Block"]
    assert units["bert"][1:] == ["FSDPBertLayer"] * 2
    assert units.get("lora", units["gpt2"])[1:] == ["FSDPGPT2Block"] * 2
