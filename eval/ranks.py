"""Several processes answer rows together: each its share, and all of them know every answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from eval.files import InputError

T = TypeVar("T")

# What answering rows ends in for bad rows, models or too little memory; a mistake of this program ends all.
_FAILURES = (ValueError, RuntimeError, MemoryError)


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

    def gather(self, answer: Callable[[], list[Any]]) -> list[Any]:
        """Everybody's answers to their shares, in the order of the rows. All processes call it.

        What one of them raises is raised in all: the others would wait for it, or take what it answers next
        for answers to these.
        """
        if self.world == 1:
            return answer()
        from torch import distributed

        answers: list[Any] = []
        failure: Exception | None = None
        try:
            answers = answer()
        except _FAILURES as error:
            failure = error
        found: list[Any] = [None] * self.world
        distributed.all_gather_object(found, (answers, failure and str(failure)))
        if failure is not None:
            raise failure
        for rank, (_, said) in enumerate(found):
            if said is not None:
                raise InputError(f"process {rank}: {said}")
        parts = [part for part, _ in found]
        total = sum(map(len, parts))
        return [parts[index % self.world][index // self.world] for index in range(total)]


def join_ranks() -> Ranks:
    """The group of the processes that a launcher started, over NCCL on GPUs, over gloo on processors.

    Asserts that the group is as large as the launcher says, for accelerate can fall back to one process.
    """
    import atexit
    import os

    wanted = int(os.environ.get("WORLD_SIZE", "1"))
    if wanted == 1:
        return Ranks()
    import torch
    from accelerate import PartialState

    state = PartialState(cpu=not torch.cuda.is_available())
    atexit.register(state.destroy_process_group)  # else gloo's threads may abort a process that ends well
    assert state.num_processes == wanted, f"{state.num_processes} processes where {wanted} were started"
    return Ranks(state.process_index, state.num_processes)
