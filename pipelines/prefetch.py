"""What the next step needs is made while the model works on this one."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, TypeVar

T = TypeVar("T")


class Prefetched(Generic[T]):
    """What `make` makes of each step, one made ahead in a thread; the same as without it.

    Use as a context manager: the thread ends with it.
    """

    def __init__(self, make: Callable[[int], T], steps: int) -> None:
        self._make, self._steps = make, steps
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches")
        self._ahead: tuple[int, Future[T]] | None = None

    def get(self, step: int) -> T:
        """What optimiser step `step` needs."""
        ahead, self._ahead = self._ahead, None
        found = ahead[1].result() if ahead and ahead[0] == step else self._make(step)
        if step + 1 < self._steps:
            self._ahead = (step + 1, self._pool.submit(self._make, step + 1))
        return found

    def __enter__(self) -> Prefetched[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
