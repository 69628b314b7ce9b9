"""How two ranks end together: a training that fails alike in both is that stage's; a bug of one ends both."""

from __future__ import annotations

import json
import socket
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch

from pipelines import stages
from pipelines.executors import ranks as executor
from pipelines.executors.scheduling import Watcher
from pipelines.plan import Plan, Stage
from pipelines.stages import Job, LoopSettings, StageFailed, Tell
from pipelines.stepping import Stepper
from pipelines.store import ERROR, RunFolder
from pipelines.train import Diverged
from tests.pipelines.tiny import be_rank, how, train_tiny

pytestmark = pytest.mark.slow  # processes that start torch and meet


def _pretrain(job: Job, tell: Tell) -> dict[str, Any]:
    """Stands for a training stage; what goes wrong is in its name."""
    name, backward = job.stage.name, Stepper._backward
    if name == "bug":
        if job.rank == 0:
            raise RuntimeError("a bug of the first rank")
        torch.distributed.barrier()
    if name == "not-finite" and job.rank == 1:  # the other rank's own loss is fine

        def not_finite(stepper: Stepper, batch: Any, step: int, scored: float) -> torch.Tensor:
            return backward(stepper, batch, step, scored) * (float("nan") if step == 1 else 1.0)

        Stepper._backward = not_finite  # type: ignore[method-assign]
    try:
        guessing = {"highest_loss_nats": 0.0} if name == "guessing" else {}
        return train_tiny(job.folder, how=how(steps=3), **guessing)[1]
    except Diverged as error:
        raise StageFailed(str(error)) from error
    finally:
        Stepper._backward = backward  # type: ignore[method-assign]


def _rank(rank: int, port: int, folder: Path, names: list[str]) -> None:
    be_rank(rank, port)
    executor.PATIENCE = timedelta(seconds=20)
    stages.STAGES["pretrain"] = _pretrain
    made = tuple(
        Stage(kind="pretrain", name=name, settings={}, inputs=(), version=1, key="k") for name in names
    )
    plan, run = Plan(recipe="tiny", base=folder, stages=made), RunFolder(folder)
    if rank == 0:
        outcomes = executor.run_stages(plan, run, LoopSettings(), Watcher(print, print, print, print))
        ends = {outcome.stage: [outcome.status, outcome.reason] for outcome in outcomes.values()}
        (folder / "ends.json").write_text(json.dumps(ends), encoding="utf-8")
    else:
        executor.follow_stages(plan, run, LoopSettings())
    torch.distributed.destroy_process_group()


def _launch(folder: Path, names: list[str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(_rank, (port, folder, names), nprocs=2)


def test_a_training_that_diverges_fails_on_every_rank_and_the_next_stage_goes_on(tmp_path: Path) -> None:
    _launch(tmp_path, ["not-finite", "guessing", "good"])
    ends = json.loads((tmp_path / "ends.json").read_text(encoding="utf-8"))
    status, reasons = zip(*ends.values(), strict=True)
    assert status == ("failed", "failed", "done")
    assert "step 2 of 3: loss nan" in reasons[0]
    assert "no better than guessing" in reasons[1]


def test_a_bug_of_the_first_rank_ends_both(tmp_path: Path) -> None:
    with pytest.raises(torch.multiprocessing.ProcessRaisedException, match="a bug of the first rank"):
        _launch(tmp_path, ["bug", "good"])
    assert "a bug of the first rank" in (tmp_path / "stages" / "pretrain-bug-k" / ERROR).read_text()
