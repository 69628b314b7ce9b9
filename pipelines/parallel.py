"""Map a function over batches on all cores, with the results in order whatever finishes first."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from eval.files import InputError

T = TypeVar("T")
R = TypeVar("R")

ALONE = 16  # batches that this process does itself before it starts others, which takes a second or two
AHEAD = 2  # batches a process that may wait to be taken: more would only hold memory
WATCH_S = 0.5


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_in_order(
    function: Callable[[T], R], batches: Iterable[T], processes: int, alone: int = ALONE
) -> Iterator[R]:
    """`function` of each batch, in the order of the batches; the same whatever the number of `processes`.

    Work of no more than `alone` batches is done here, as all is with one process. The processes are
    spawned, so `function` is one of a module (or a `partial` of it), and they end with this one. Raises
    what `function` raises, and `InputError` when a process dies (mostly for want of memory).
    """
    batches = iter(batches)
    first = list(itertools.islice(batches, alone + 1 if processes > 1 else 0))
    if processes <= 1 or len(first) <= alone:
        yield from map(function, itertools.chain(first, batches))
        return
    pool = ProcessPoolExecutor(
        processes, multiprocessing.get_context("spawn"), _start, (os.getpid(), function)
    )
    waiting: deque[Future[R]] = deque()
    try:
        for batch in itertools.chain(first, batches):
            waiting.append(pool.submit(_apply, batch))
            if len(waiting) >= processes * (1 + AHEAD):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise InputError(
            "corpus: a process of the preparation was killed, mostly for want of memory; "
            "free some, or name fewer files"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_function: Callable[[Any], Any] | None = None  # of this process; sent once, for it may hold a large index


def _start(parent: int, function: Callable[[Any], Any]) -> None:
    global _function
    _function = function
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    """End this process when its parent is gone: a killed run leaves nobody working."""
    while os.getppid() == parent:
        time.sleep(WATCH_S)
    os._exit(1)


def _apply(batch: Any) -> Any:
    assert _function is not None
    return _function(batch)
