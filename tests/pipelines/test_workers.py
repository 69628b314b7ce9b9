"""`training.workers`: whose stages it speaks of, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from eval.files import InputError
from pipelines.plan import make_plan
from pipelines.stages import LoopSettings
from pipelines.workers import check_workers, workers_of
from tests.pipelines.recipes import GOOD, complaint, load


def test_a_rung_s_trainings_have_its_workers_and_other_stages_one(tmp_path: Path) -> None:
    loaded = load(tmp_path)
    plan = make_plan(loaded)
    smallest, largest = (stage.name.partition("-")[0] for stage in plan.stages if stage.kind == "pretrain")
    loop = LoopSettings(workers={largest: 4})
    of = {stage.id: workers_of(stage, loop) for stage in plan.stages}
    assert {name for name, count in of.items() if count == 4} == {
        f"pretrain-{largest}-s0",
        f"finetune-{largest}-s0-code-to-docstring",
        f"finetune-{largest}-s0-module-classification",
    }
    assert set(of.values()) == {1, 4}
    everywhere = {stage.kind: workers_of(stage, LoopSettings(workers=2)) for stage in plan.stages}
    assert everywhere == {"prepare": 1, "pretrain": 2, "finetune": 2, "evaluate": 1}
    check_workers(plan, loop, "ray")
    check_workers(plan, LoopSettings(workers={smallest: 1}), "local")


def test_one_rung_s_name_may_begin_another_s(tmp_path: Path) -> None:
    plan = make_plan(load(tmp_path))
    stage = next(stage for stage in plan.stages if stage.kind == "pretrain")
    other = stage.__class__(**vars(stage) | {"name": "bert-small-s0"})
    assert workers_of(other, LoopSettings(workers={"bert": 2})) == 1
    assert workers_of(other, LoopSettings(workers={"bert-small": 2})) == 2


def test_workers_change_no_key(tmp_path: Path) -> None:
    keys = [
        [stage.key for stage in make_plan(load(tmp_path, GOOD, *more)).stages]
        for more in ((), ("training.workers=2",))
    ]
    assert keys[0] == keys[1]


def test_only_ray_starts_several_and_only_for_rungs_there_are(tmp_path: Path) -> None:
    plan = make_plan(load(tmp_path))
    with pytest.raises(
        InputError, match=r"asks for 2 processes; start them with --executor ray, or .* torchrun"
    ):
        check_workers(plan, LoopSettings(workers=2), "local")
    rungs = ", ".join(stage.name.partition("-")[0] for stage in plan.stages if stage.kind == "pretrain")
    with pytest.raises(
        InputError, match=f"training.workers: the ladder has no rung '1b'; there are {rungs}$"
    ):
        check_workers(plan, LoopSettings(workers={"1b": 2}), "ray")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("0", "12:3: training.workers: must be at least 1, got 0"),
        ("many", "12:3: training.workers: must be a whole number, got the text 'many'"),
        ("{13k: 0}", "training.workers.13k: must be at least 1, got 0"),
    ],
)
def test_what_is_no_number_of_workers_is_refused(value: str, said: str, tmp_path: Path) -> None:
    text = GOOD.replace("3e-4\n", f"3e-4\n  workers: {value}\n")
    assert said in complaint(tmp_path, text)
