"""Find texts that share long n-grams with an evaluation set, after GPT-3's appendix C (Brown 2020).

An n-gram is n consecutive words, lower-cased and without punctuation. For an evaluation set n is the number
of words of its texts at the fifth percentile, at least 8 and at most 13. An n-gram that stands in more than
ten of the texts to be checked is a common phrase and tells nothing; a text with another one is contaminated.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from eval.ngrams import WORD, gram_hashes, word_hashes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FEWEST_WORDS, MOST_WORDS = 8, 13
LENGTH_PERCENTILE = 5
MOST_COMMON = 10  # texts that may share an n-gram before it counts as a common phrase
EXAMPLES = 5
LONGEST_EXAMPLE = 100  # characters, in facts
# Fields of a row that say what it is rather than what it asks or answers.
NAMES = frozenset(("id", "label", "labels", "group", "subset", "tags", "value"))


@dataclass(frozen=True)
class Index:
    """The n-grams of evaluation sets: for each n the sorted 64-bit hashes of all of them."""

    grams: Mapping[int, NDArray[np.uint64]]

    @property
    def size(self) -> int:
        """How many different n-grams it holds."""
        return sum(map(len, self.grams.values()))

    def without(self, common: Mapping[int, NDArray[np.uint64]]) -> Index:
        """The index less some of its n-grams."""
        import numpy as np

        return Index({n: np.setdiff1d(grams, common.get(n, [])) for n, grams in self.grams.items()})


@dataclass(frozen=True)
class Overlap:
    """A stretch of a text that an evaluation set has, too: characters `start` to `end` (exclusive)."""

    start: int
    end: int


@dataclass(frozen=True)
class Report:
    """How many of the rows share an n-gram with an index, and which for example."""

    rows: int
    contaminated: int
    examples: tuple[tuple[str, str], ...]  # (id, the first shared words)
    ids: frozenset[str] = frozenset()  # of all that are contaminated

    def facts(self) -> dict[str, Any]:
        """As a manifest holds it: `count` rows `of` all, with a few examples."""
        examples = [f"{name}: {shorten(words, LONGEST_EXAMPLE)}" for name, words in self.examples]
        return {"count": self.contaminated, "of": self.rows, "examples": examples}


def index_sets(sets: Iterable[Iterable[str]], n: int | None = None) -> Index:
    """The index of several evaluation sets, each with its own n unless `n` is given.

    Texts shorter than their set's n have no n-gram: nothing is found by them.
    """
    import numpy as np

    parts: defaultdict[int, list[NDArray[np.uint64]]] = defaultdict(list)
    for texts in sets:
        hashed = [words for words in map(word_hashes, texts) if len(words)]
        if hashed:
            chosen = n or gram_words([len(words) for words in hashed])
            parts[chosen] += [gram_hashes(words, chosen) for words in hashed]
    return Index({n: np.unique(np.concatenate(grams)) for n, grams in sorted(parts.items())})


def gram_words(lengths: Sequence[int]) -> int:
    """The n for an evaluation set whose texts have `lengths` words."""
    import numpy as np

    fifth = int(np.percentile(lengths, LENGTH_PERCENTILE, method="lower"))
    return min(max(fifth, FEWEST_WORDS), MOST_WORDS)


def row_texts(row: Mapping[str, Any]) -> Iterator[str]:
    """The texts of a task's row: of every field but its names and labels; a list of words is one text."""
    for field, value in row.items():
        if field in NAMES:
            continue
        if isinstance(value, str):
            yield value
        elif field == "words" and isinstance(value, list):
            yield " ".join(map(str, value))
        elif field in ("references", "choices") and isinstance(value, list):
            yield from (text for text in value if isinstance(text, str))


def shared_grams(text: str, index: Index) -> dict[int, NDArray[np.uint64]]:
    """For each n of the index its n-grams that stand in the text, sorted; {} for none."""
    import numpy as np

    words = word_hashes(text)
    found = {}
    for n, grams in index.grams.items():
        own = np.unique(gram_hashes(words, n))
        shared = own[_isin(own, grams)]
        if len(shared):
            found[n] = shared
    return found


def find_overlaps(text: str, index: Index) -> list[Overlap]:
    """The stretches of the text that lie in shared n-grams, in order, those that touch joined to one."""
    import numpy as np

    spans = [match.span() for match in WORD.finditer(text)]
    words = word_hashes(text)
    touched = np.zeros(len(words), dtype=bool)
    for n, grams in index.grams.items():
        for place in np.flatnonzero(_isin(gram_hashes(words, n), grams)):
            touched[place : place + n] = True
    edges = np.flatnonzero(np.diff(touched, prepend=False, append=False))
    return [Overlap(spans[a][0], spans[b - 1][1]) for a, b in edges.reshape(-1, 2).tolist()]


def common_grams(index: Index, counts: Mapping[int, NDArray[np.uint32]]) -> dict[int, NDArray[np.uint64]]:
    """The n-grams that more than ten texts have, from the number of texts that have each of the index's."""
    return {n: grams[counts[n] > MOST_COMMON] for n, grams in index.grams.items()}


def count_shared(
    index: Index, found: Iterable[Mapping[int, NDArray[np.uint64]]]
) -> dict[int, NDArray[np.uint32]]:
    """In how many texts each n-gram of the index stands, from the `shared_grams` of each text."""
    import numpy as np

    counts = {n: np.zeros(len(grams), dtype=np.uint32) for n, grams in index.grams.items()}
    for shared in found:
        for n, grams in shared.items():
            counts[n][np.searchsorted(index.grams[n], grams)] += 1
    return counts


def gather(found: Iterable[Mapping[int, NDArray[np.uint64]]]) -> Index:
    """The index of all n-grams that were found, from the `shared_grams` of each text."""
    import numpy as np

    parts: defaultdict[int, list[NDArray[np.uint64]]] = defaultdict(list)
    for shared in found:
        for n, grams in shared.items():
            parts[n].append(grams)
    return Index({n: np.unique(np.concatenate(grams)) for n, grams in sorted(parts.items())})


def compare(rows: Iterable[Mapping[str, Any]], against: Iterable[Mapping[str, Any]]) -> Report:
    """How many of an evaluation set's rows share an n-gram, of the set's own n, with rows `against` it.

    `rows` are gone through twice, those `against` once; memory holds none of them but what is found.
    Common phrases are those of more than ten of the rows on either side.
    """
    index = index_sets([[text for row in rows for text in row_texts(row)]])
    shared = (gather(shared_grams(text, index) for text in row_texts(row)) for row in against)
    found = [one.grams for one in shared if one.size]
    return check(rows, gather(found).without(common_grams(index, count_shared(index, found))))


def check_set(rows: Sequence[Mapping[str, Any]], index: Index) -> Report:
    """How many of an evaluation set's rows are contaminated, by the index's n-grams of the set's own n."""
    own = index_sets([[text for row in rows for text in row_texts(row)]])
    return check(rows, Index({n: index.grams[n] for n in own.grams if n in index.grams}))


def check(rows: Iterable[Mapping[str, Any]], index: Index) -> Report:
    """How many rows are contaminated; they pass once, those that overlap are kept to the end."""
    total = 0
    found: list[tuple[Mapping[str, Any], Index]] = []
    for row in rows:
        total += 1
        shared = gather(shared_grams(text, index) for text in row_texts(row))
        if shared.size:
            found.append((row, shared))
    rare = index.without(common_grams(index, count_shared(index, (shared.grams for _, shared in found))))
    hits: list[tuple[str, str]] = []
    for row, _ in found:
        text = next((text for text in row_texts(row) if shared_grams(text, rare)), None)
        if text is not None:
            hits.append((str(row["id"]), text))
    examples = []
    for name, text in hits[:EXAMPLES]:
        place = find_overlaps(text, rare)[0]
        examples.append((name, " ".join(text[place.start : place.end].split())))
    return Report(total, len(hits), tuple(examples), frozenset(name for name, _ in hits))


def _isin(values: NDArray[np.uint64], grams: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Which of `values` are in the sorted `grams`."""
    import numpy as np

    if not len(grams):
        return np.zeros(len(values), dtype=bool)
    places = np.minimum(np.searchsorted(grams, values), len(grams) - 1)
    return grams[places] == values
