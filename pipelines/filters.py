"""Leave out texts that say too little or repeat themselves, and mask addresses of people and machines."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Sequence

MIN_CHARS = 32  # a document of fewer teaches nothing but its end
# Share of a text's characters that may stand in lines, and of its words in runs of ten, that were there
# before. Rae 2021 (Gopher, table A1) takes 0.20 and 0.10 for web pages. Source code repeats itself more: in
# CPython's library the largest shares are 0.34 and 0.49, in 59 books of prose 0.01 and 0.02.
MAX_REPETITION = 0.6
RUN_WORDS = 10
FEWEST_WORDS = 100  # of fewer words, a refrain or a table's lines would be a large share
MOST_WORDS = 200_000  # that are looked at for runs: a book, so that a giant text needs no giant table
# Odd multipliers, so that the same words in another order are another run: powers of one, modulo 2^64.
FACTORS = [pow(0x9E3779B97F4A7C15, power, 2**64) - 2**63 for power in range(1, RUN_WORDS + 1)]

MASKS = ("email", "ip")
# Placeholders as in Li 2023 (StarCoder, section 3.4).
EMAIL, IP = "<EMAIL>", "<IP_ADDRESS>"
_EMAIL = re.compile(
    r"(?<![\w.+-])[A-Za-z0-9][\w.+%-]{0,63}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,24}(?![\w-])",
    re.ASCII,
)
_IP4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)", re.ASCII)
# At least three colons: `x[1::2]` is an address, too.
_IP6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){3,7}[0-9A-Fa-f]{0,4}(?![\w:]|\.\d)", re.ASCII)


def find_fault(text: str, min_chars: int, max_repetition: float | None) -> str | None:
    """Why a cleaned text is to be left out: 'empty or too short', 'repeats itself', or None."""
    if len(text) < min_chars or not text:
        return "empty or too short"
    if max_repetition is not None and repetition(text) > max_repetition:
        return "repeats itself"
    return None


def repetition(text: str) -> float:
    """The larger of two shares (0 to 1); 0 for texts of fewer than 100 words.

    Of characters in lines (but for their margins) that stood earlier in the text, and of words within a run
    of ten that did.
    """
    words = text.split()
    if len(words) < FEWEST_WORDS:
        return 0.0
    return max(_repeated_lines(text), _repeated_runs(words))


def mask(text: str, kinds: Sequence[str]) -> tuple[str, dict[str, int]]:
    """The text with addresses of the `kinds` (of `MASKS`) replaced, and how many of each were.

    Of internet addresses only public ones: those of a private network or a loop tell of nobody.
    """
    counts = {}
    for kind in kinds:
        text, counts[kind] = _MASKERS[kind](text)
    return text, counts


def _repeated_lines(text: str) -> float:
    seen: set[str] = set()
    whole = again = 0
    for line in text.split("\n"):
        line = line.strip()
        whole += len(line)
        if line in seen:
            again += len(line)
        else:
            seen.add(line)
    return again / whole


def _repeated_runs(words: list[str]) -> float:
    """Share of words that lie in a run of ten words which stood before, overlapping runs counted once."""
    import numpy as np

    words = words[:MOST_WORDS]
    numbers = np.fromiter(map(hash, words), dtype=np.int64, count=len(words))
    windows = np.lib.stride_tricks.sliding_window_view(numbers, RUN_WORDS)
    runs = (windows * FACTORS).sum(axis=1)  # modulo 2^64, the wrap-around intended
    distinct, first = np.unique(runs, return_index=True)
    if len(distinct) == len(runs):
        return 0.0
    covered = end = 0
    for start in np.setdiff1d(np.arange(len(runs)), first, assume_unique=True).tolist():
        covered += start + RUN_WORDS - max(start, end)
        end = start + RUN_WORDS
    return covered / len(words)


def _mask_email(text: str) -> tuple[str, int]:
    return _EMAIL.subn(EMAIL, text) if "@" in text else (text, 0)


def _mask_ip(text: str) -> tuple[str, int]:
    count = 0

    def replace(match: re.Match[str]) -> str:
        nonlocal count
        try:
            public = ipaddress.ip_address(match[0]).is_global
        except ValueError:  # 999.1.1.1, a time of day
            return match[0]
        count += public
        return IP if public else match[0]

    for pattern in (_IP4, _IP6):
        text = pattern.sub(replace, text)
    return text, count


_MASKERS: dict[str, Callable[[str], tuple[str, int]]] = {"email": _mask_email, "ip": _mask_ip}
