"""Of a DeepSpeed file only what shares out is passed through; the rest is refused in a line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from eval.files import InputError
from pipelines.deepspeed_file import read_deepspeed
from pipelines.plan import make_plan
from tests.pipelines.recipes import GOOD, load


def _zero(**changes: Any) -> dict[str, Any]:
    return {"zero_optimization": {"stage": 2} | changes}


def test_what_is_left_open_is_left_out_and_the_rest_is_passed_through(tmp_path: Path) -> None:
    file = tmp_path / "zero.json"
    asked = _zero(
        reduce_bucket_size="auto", overlap_comm=True, offload_optimizer={"device": "none"}, stage=1
    ) | {
        "train_batch_size": "auto",
        "gradient_accumulation_steps": 1,
        "gradient_clipping": "auto",
        "bf16": {"enabled": "auto"},
        "fp16": {"enabled": False, "loss_scale": 0},
        "steps_per_print": 10,
    }
    file.write_text(json.dumps(asked), encoding="utf-8")
    assert read_deepspeed(file) == {
        "zero_optimization": {"stage": 1, "overlap_comm": True},
        "steps_per_print": 10,
    }


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("{", ": not JSON"),
        ([1], ": is no JSON object"),
        ({}, ": zero_optimization.stage: None does not work here; write 1 or 2"),
        (_zero(stage=0), ": zero_optimization.stage: 0 does not work here; write 1 or 2"),
        (_zero(stage=True), ": zero_optimization.stage: True does not work here"),
        (_zero(stage=[2]), ": zero_optimization.stage: [2] does not work here"),
        (_zero(stage=3), "write 1 or 2, or training.sharding: fsdp instead of this file"),
        (_zero(offload_optimizer={"device": "cpu"}), ": zero_optimization.offload_optimizer: is not passed"),
        (_zero(zero_quantized_gradients=True), ": zero_optimization.zero_quantized_gradients: is not passed"),
        (
            _zero() | {"optimizer": {"type": "Adam"}},
            ": optimizer: training.optimizer says this; remove it here",
        ),
        (_zero() | {"scheduler": {"type": "WarmupLR"}}, ": scheduler: training.schedule says this"),
        (_zero() | {"train_batch_size": 64}, ": train_batch_size: training.batch_tokens says this"),
        (
            _zero() | {"gradient_accumulation_steps": 4},
            ": gradient_accumulation_steps: training.micro_tokens",
        ),
        (_zero() | {"gradient_clipping": 1.0}, ": gradient_clipping: training.clip says this"),
        (_zero() | {"fp16": {"enabled": True}}, ": fp16: training.precision says this"),
        (_zero() | {"bf16": {"enabled": True}}, ": bf16: training.precision says this"),
        (_zero() | {"curriculum_learning": {}}, ": curriculum_learning: is not passed through; remove it"),
    ],
)
def test_what_is_not_passed_through_is_one_line(tmp_path: Path, config: Any, said: str) -> None:
    file = tmp_path / "zero.json"
    file.write_text(config if isinstance(config, str) else json.dumps(config), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_deepspeed(file)
    assert str(caught.value).startswith(f"training.deepspeed: {file}: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^training\.deepspeed: .*zero\.json: "):
        read_deepspeed(tmp_path / "zero.json")


def test_a_rung_that_leaves_nothing_to_go_on_from_is_another_stage(tmp_path: Path) -> None:
    """Else a longer budget, planned without DeepSpeed, would look for its state in vain."""
    plain, zero = (
        {stage.id: stage for stage in make_plan(load(tmp_path, GOOD, *overrides)).stages}
        for overrides in ((), ("training.deepspeed=zero.json",))
    )
    assert plain.keys() == zero.keys()
    changed = {name for name, stage in plain.items() if stage.key != zero[name].key}
    assert {name for name in plain if name.startswith("pretrain-")} <= changed
    assert not any(name.startswith("prepare-") for name in changed)
