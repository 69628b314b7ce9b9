"""Two ranks over gloo train as one does at the same global batch; launchers are believed, and checked."""

from __future__ import annotations

import json
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import accelerate
import pytest
import torch
from safetensors.torch import load_file, save_file

from eval.files import InputError
from pipelines import ranks
from pipelines.batches import Example, Pairs
from pipelines.executors import ranks as executor
from pipelines.fused_loss import IGNORED
from tests.pipelines.tiny import CONTEXT, be_rank, how, tiny_data, train_tiny, weights


def _data(name: str) -> Any:
    if name == "causal-lm":
        return tiny_data(batch_size=4)
    # five rows a step, the last step two: uneven shares, and answers of uneven length
    targets = [(IGNORED,) * (1 + i % 3) + tuple(range(6 + i % 3, 9 + i % 5)) for i in range(17)]
    examples = [Example(tuple(range(5, 9 + i % 5)), (*targets[i],)[: 4 + i % 5]) for i in range(17)]
    return Pairs(examples, 5, CONTEXT, pad_id=1, seed=1)


def _settings(folder: Path, name: str) -> dict[str, Any]:
    # plain gradient descent, not clipped: both AdamW's first steps and clipping hide a wrong factor
    return {
        "folder": folder,
        "name": name,
        "data": _data(name),
        "how": replace(how(learning_rate=0.02), optimizer="sgd", clip=1e9),
        "micro_tokens": 32,
        "checkpoint_every_s": 0.0,
    }


def _rank(rank: int, port: int, folder: Path, name: str) -> None:
    be_rank(rank, port)
    model, facts = train_tiny(**_settings(folder, name))
    save_file(weights(model), folder / f"rank-{rank}.safetensors")
    (folder / f"facts-{rank}.json").write_text(json.dumps(facts), encoding="utf-8")
    torch.distributed.destroy_process_group()


def _logged(folder: Path, name: str) -> list[float]:
    return [json.loads(line)[name] for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    "name", ["conditional-generation", pytest.param("causal-lm", marks=pytest.mark.slow)]
)
def test_two_ranks_train_as_one(name: str, tmp_path: Path) -> None:
    one, facts = train_tiny(**_settings(tmp_path / "one", name))
    together = tmp_path / "two"
    together.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(_rank, (port, together, name), nprocs=2)

    first, second = (load_file(together / f"rank-{rank}.safetensors") for rank in (0, 1))
    for key, value in weights(one).items():
        assert torch.equal(first[key], second[key]), key
        torch.testing.assert_close(first[key], value, rtol=1e-4, atol=1e-6)
    for what in ("loss_nats", "gradient_norm"):
        assert _logged(together, what) == pytest.approx(_logged(tmp_path / "one", what), rel=1e-5), what
    theirs = json.loads((together / "facts-0.json").read_text(encoding="utf-8"))
    assert (theirs["ranks"], theirs["tokens"], theirs["scored_tokens"]) == (
        2,
        facts["tokens"],
        facts["scored_tokens"],
    )
    checkpoint = together / "checkpoints" / "step-00000011"
    assert checkpoint.is_dir()

    # one process goes on from what two left, to the same end
    for path in sorted(together.glob("checkpoints/step-*"))[1:]:
        path.rename(path.with_name(f"not-{path.name}"))
    resumed, _ = train_tiny(**_settings(together, name))
    for key, value in weights(one).items():
        torch.testing.assert_close(weights(resumed)[key], value, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("world", [1, 2, 3])
def test_every_row_is_in_one_part_of_one_rank(world: int) -> None:
    batch = {"input_ids": torch.arange(5).repeat_interleave(8).reshape(5, 8)}
    shares = [ranks.parts_of(batch, 16, rank, world) for rank in range(world)]
    assert len({len(share) for share in shares}) == 1, "collective operations need equally many parts"
    rows = [int(row[0]) for share in shares for part, counts in share if counts for row in part["input_ids"]]
    assert sorted(rows) == list(range(5))
    assert all(part["input_ids"].numel() <= 16 for share in shares for part, _ in share)


def test_a_world_that_did_not_form_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "world_size", lambda: 2)
    with pytest.raises(AssertionError, match=r"accelerate runs 1 processes, the launcher started 2"):
        ranks.make_accelerator("fp32")


@pytest.mark.parametrize("enter", ["run_stages", "follow_stages"])
def test_more_ranks_than_gpus_is_one_line_before_they_form_a_group(
    enter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(accelerate, "PartialState", lambda **how: pytest.fail("a group was formed"))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    nothing: Any = None
    others = [nothing] * (3 if enter == "run_stages" else 2)
    monkeypatch.setattr(executor, "stop_on_sigterm", lambda: None)
    with pytest.raises(InputError, match=r"4 processes for 1 GPUs; use --nproc-per-node 1"):
        getattr(executor, enter)(nothing, *others)
