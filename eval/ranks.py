"""Several processes answer rows together: each its share, and all of them know every answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Ranks:
    """This process's number among how many; one alone unless a launcher such as `torchrun` started more."""

    rank: int = 0
    world: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes files."""
        return self.rank == 0

    def share(self, rows: Sequence[T]) -> list[T]:
        """What this process answers of `rows`: every world-th."""
        return list(rows[self.rank :: self.world])

    def gather(self, answers: list[Any]) -> list[Any]:
        """Everybody's answers to their shares, in the order of the rows. All processes call it."""
        if self.world == 1:
            return answers
        from torch import distributed

        parts: list[Any] = [None] * self.world
        distributed.all_gather_object(parts, answers)
        total = sum(map(len, parts))
        return [parts[index % self.world][index // self.world] for index in range(total)]


def join_ranks() -> Ranks:
    """The group of the processes that a launcher started, over NCCL on GPUs, over gloo on processors.

    Asserts that the group is as large as the launcher says, for accelerate can fall back to one process.
    """
    import os

    wanted = int(os.environ.get("WORLD_SIZE", "1"))
    if wanted == 1:
        return Ranks()
    import torch
    from accelerate import PartialState

    state = PartialState(cpu=not torch.cuda.is_available())
    assert state.num_processes == wanted, f"{state.num_processes} processes where {wanted} were started"
    return Ranks(state.process_index, state.num_processes)
