"""DeepSpeed's ZeRO, here over gloo on processors, moves the weights as the plain loop does."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from pipelines import ranks
from pipelines.fast import tune_for_training
from pipelines.objectives import objective
from pipelines.train import train
from pipelines.training_setup import DTYPES, leave_model
from tests.pipelines.cases import pairs
from tests.pipelines.tiny import Nothing, how, make_run, tiny_data, tiny_model

pytest.importorskip("deepspeed")
pytestmark = pytest.mark.slow  # processes that start torch and meet

# gradients above the clip and far below it; parts of two rows, so that a step has two or three
CASES: dict[str, dict[str, Any]] = {
    "adamw": {"how": replace(how(), clip=0.05), "batches": tiny_data(batch_size=10)},
    "sgd": {
        "how": replace(how(learning_rate=0.02), optimizer="sgd", clip=1e9),
        "batches": pairs(batch_size=5),
        "name": "conditional-generation",
    },
    "bf16": {
        "how": replace(how(learning_rate=0.02), optimizer="sgd", clip=1e9),
        "batches": tiny_data(batch_size=10),
        "precision": "bf16",
    },
    "clipped": {
        "how": replace(how(learning_rate=0.5), optimizer="sgd", clip=0.01),
        "batches": pairs(batch_size=5),
        "name": "conditional-generation",
    },
}
FILES: dict[int, dict[str, Any]] = {
    1: {"zero_optimization": {"stage": 1}},
    2: {  # as accelerate's documentation has it
        "train_micro_batch_size_per_gpu": "auto",
        "gradient_accumulation_steps": "auto",
        "gradient_clipping": "auto",
        "bf16": {"enabled": "auto"},
        "zero_optimization": {
            "stage": 2,
            "reduce_bucket_size": "auto",
            "contiguous_gradients": True,
            "overlap_comm": True,
            "offload_optimizer": {"device": "none"},
        },
    },
}


def _fit(case: str, folder: Path, file: Path | None = None) -> tuple[Any, dict[str, Any]]:
    """Train under DeepSpeed, or by the plain loop; the model, and the facts with what was warned of."""
    settings = {"micro_tokens": 32, "checkpoint_every_s": 0.0} | CASES[case]
    name, precision = settings.pop("name", "causal-lm"), settings.pop("precision", "fp32")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "log.jsonl").write_text('{"step": 1}\n', encoding="utf-8")  # an attempt that was interrupted
    model, warned = tiny_model(), []
    module = objective(name, tune_for_training(model, on_cpu=True), DTYPES[precision])
    accelerator = ranks.make_accelerator(precision, deepspeed=file)
    run = make_run(folder, zero=file is not None, on_warning=warned.append, **settings)
    facts = train(module, run, accelerator) | {"warned": warned}
    if file is not None:
        engine = accelerator.deepspeed_engine_wrapped.engine
        facts |= {"engine_steps": engine.global_steps, "stage": engine.zero_optimization_stage()}
        facts |= {"bf16": engine.torch_autocast_enabled()}
    return model, facts


def _rank(rank: int, world: int, port: int, folder: Path) -> None:
    if world > 1:
        os.environ |= {
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(world),
            "LOCAL_WORLD_SIZE": str(world),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
        }
    torch.set_num_threads(1)
    for case in CASES:
        for stage in FILES:
            work = folder / f"{case}-{stage}"
            model, facts = _fit(case, work, folder / f"zero-{stage}.json")
            leave_model(model, Nothing(), work / "model", rank)
            (work / f"facts-{rank}.json").write_text(json.dumps(facts), encoding="utf-8")
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module", params=[1, 2])
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where one process, or two, trained and saved each case under each stage."""
    folder = tmp_path_factory.mktemp(f"world-{request.param}")
    for stage, config in FILES.items():
        (folder / f"zero-{stage}.json").write_text(json.dumps(config), encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(_rank, (request.param, port, folder), nprocs=request.param)
    return folder


@pytest.mark.parametrize("stage", FILES)
@pytest.mark.parametrize("case", CASES)
def test_zero_trains_as_the_plain_loop_does(case: str, stage: int, trained: Path, tmp_path: Path) -> None:
    model, facts = _fit(case, tmp_path)
    leave_model(model, Nothing(), tmp_path / "model", rank=0)
    work = trained / f"{case}-{stage}"
    theirs = json.loads((work / "facts-0.json").read_text(encoding="utf-8"))
    assert theirs["engine_steps"] == facts["step"], "a step for each batch, not for each part"
    assert (theirs["stage"], theirs["bf16"]) == (stage, case == "bf16")
    loose = 20 if case == "bf16" else 1  # other parts, other roundings
    assert theirs["final_loss_nats"] == pytest.approx(facts["final_loss_nats"], rel=1e-4 * loose)
    norms, expected_norms = (_norms(folder) for folder in (work, tmp_path))
    assert norms == pytest.approx(expected_norms, rel=1e-3 * loose)
    assert (min(norms) > CASES[case]["how"].clip) == (case in ("adamw", "clipped"))
    found, expected = (load_file(folder / "model" / "model.safetensors") for folder in (work, tmp_path))
    assert found.keys() == expected.keys(), "tied weights are written once"
    for key, value in expected.items():
        assert found[key].dtype == torch.float32
        close = {"rtol": 1e-3 * loose, "atol": 1e-5 * loose}
        torch.testing.assert_close(_used(key, found[key]), _used(key, value), **close)


def _norms(folder: Path) -> list[float]:
    return [json.loads(line)["gradient_norm"] for line in (folder / "log.jsonl").read_text().splitlines()]


def _used(key: str, value: torch.Tensor) -> torch.Tensor:
    """Keys' biases have no gradient but noise, which AdamW makes steps of."""
    if key.endswith("c_attn.bias"):
        value = value.clone()
        value[len(value) // 3 : 2 * len(value) // 3] = 0.0
    return value


def test_the_folder_loads_in_plain_transformers(trained: Path) -> None:
    for stage in FILES:
        folder = trained / f"adamw-{stage}" / "model"
        _, info = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
        assert not any(info.values()), info


def test_no_checkpoint_is_left_and_that_is_said_once(trained: Path) -> None:
    for stage in FILES:
        folder = trained / f"adamw-{stage}"
        assert not (folder / "checkpoints").exists()
        (said,) = json.loads((folder / "facts-0.json").read_text(encoding="utf-8"))["warned"]
        assert said.startswith("under DeepSpeed no checkpoints are kept")
