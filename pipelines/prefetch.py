"""The next batch is made while the model works on this one."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

from pipelines.batches import Batch, Batches


class Prefetched:
    """Batches by step, one made ahead in a thread; the same batches as without it.

    Use as a context manager: the thread ends with it.
    """

    def __init__(self, batches: Batches, steps: int) -> None:
        self._batches, self._steps = batches, steps
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches")
        self._ahead: tuple[int, Future[Batch]] | None = None

    def batch(self, step: int) -> Batch:
        """The batch of optimiser step `step`."""
        ahead, self._ahead = self._ahead, None
        batch = ahead[1].result() if ahead and ahead[0] == step else self._batches.batch(step)
        if step + 1 < self._steps:
            self._ahead = (step + 1, self._pool.submit(self._batches.batch, step + 1))
        return batch

    def __enter__(self) -> Prefetched:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
