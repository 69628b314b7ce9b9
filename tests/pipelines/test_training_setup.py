"""What a machine decides for a stage is decided once, kept for its resumption, and anew when asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from pipelines import compiling, training_setup
from pipelines.finetuning_stage import _choose
from pipelines.planned import Stage
from pipelines.stages import Job, LoopSettings, StageFailed
from pipelines.training_setup import Training, train_model
from tests.pipelines.tiny import how, tiny_data, tiny_model


def _train(folder: Path, **loop: Any) -> dict[str, Any]:
    settings = {"precision": "auto", "seed": 0}
    stage = Stage(kind="pretrain", name="x", settings=settings, inputs=(), version=1, key="0")
    job = Job(stage, "tiny", folder, folder, {}, threads=1, loop=LoopSettings(**loop))
    training = Training(
        objective="causal-lm",
        batches=tiny_data(),
        how=how(),
        folder=folder,
        highest_loss_nats=1e9,
        padded=False,
        options={},
    )
    facts, _ = train_model(job, lambda message: None, tiny_model(), training)
    return facts


def _decisions(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "decisions.json").read_text())


def test_decisions_are_kept_and_made_anew_where_the_recipe_asks_for_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def decide(*_: Any, micro_tokens: int, **__: Any) -> compiling.Decision:
        asked.append(micro_tokens)
        return compiling.Decision(False, f"probe {len(asked)}", 1.0, None, None)

    monkeypatch.setattr(training_setup, "decide_compile", decide)
    monkeypatch.setattr(training_setup, "native_precision", lambda: "bf16")
    first = _train(tmp_path)
    assert (first["precision"], first["compile_reason"]) == ("bf16", "probe 1")

    # another machine, another load: a resumed stage does as it began
    monkeypatch.setattr(training_setup, "native_precision", lambda: "fp32")
    again = _train(tmp_path)
    assert (again["precision"], again["compile_reason"], again["threads"]) == ("bf16", "probe 1", 1)
    assert asked == [4096]

    smaller = _train(tmp_path, micro_tokens=32)  # what a message about memory advises
    assert (smaller["micro_tokens"], smaller["precision"]) == (32, "bf16")
    assert _decisions(tmp_path)["micro_tokens"] == 32
    assert asked == [4096, 32]
    assert _train(tmp_path, micro_tokens=32)["compile_reason"] == "probe 2"
    assert torch.get_num_threads() == 1


def test_a_rate_that_diverges_is_left_out_and_all_of_them_are_a_failure() -> None:
    worked = {"validation_loss_nats": 0.5, "stage_flops": 7, "learning_rate": 1e-4}
    worse = {"validation_loss_nats": 0.6, "stage_flops": 11, "learning_rate": 5e-5}
    diverged = {"validation_loss_nats": None, "missing": {"validation_loss_nats": "diverged: step 3"}}
    chosen = _choose({3e-4: diverged, 1e-4: worked, 5e-5: worse, 3e-5: diverged})
    assert (chosen["learning_rate"], chosen["search_flops"]) == (1e-4, 11)
    assert [trial["validation_loss_nats"] for trial in chosen["rates_tried"]] == [None, 0.5, 0.6, None]
    with pytest.raises(StageFailed, match=r"no learning rate of 1 worked: 0.0003: diverged: step 3"):
        _choose({3e-4: diverged})
