"""Keep a library's chatter from people's terminals: log lines, bars, and what its child processes say."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Without warnings of `logging`, and without anything on standard error: Python's, and the descriptor."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    sys.stderr.flush()
    told = os.dup(2)  # a child process writes to the descriptor, whatever sys.stderr is
    try:
        with Path(os.devnull).open("w", encoding="utf-8") as nowhere, contextlib.redirect_stderr(nowhere):
            os.dup2(nowhere.fileno(), 2)
            yield
    finally:
        os.dup2(told, 2)
        os.close(told)
        logging.disable(before)
