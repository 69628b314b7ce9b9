"""Take out of a training text what an evaluation set has, too.

After GPT-3's appendix C (Brown 2020), which cuts 200 characters around a shared n-gram and gives up texts
that fall into more than ten pieces. Here a short text goes as a whole, and a long one loses the paragraphs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from eval.contamination import Index, Overlap, find_overlaps

SHORT_WORDS = 200  # a text of fewer is left out as a whole
LONGEST_PARAGRAPH = 2000  # characters; of a longer one only the surroundings are cut
SURROUNDINGS = 200  # characters on either side
MOST_CUTS = 10
SMALLEST_REST = 0.5  # of the characters


def decontaminate(text: str, index: Index) -> tuple[str | None, str]:
    """(the text without shared paragraphs, or None to leave it out; what was shared first or "")."""
    overlaps = find_overlaps(text, index)
    if not overlaps:
        return text, ""
    shared = text[overlaps[0].start : overlaps[0].end]
    cuts = _cuts(text, overlaps)
    rest = len(text) - sum(end - start for start, end in cuts)
    if len(text.split()) < SHORT_WORDS or len(cuts) > MOST_CUTS or rest < SMALLEST_REST * len(text):
        return None, shared
    kept, place = [], 0
    for start, end in cuts:
        kept.append(text[place:start])
        place = end
    left = "".join([*kept, text[place:]]).strip("\n")
    return (left + "\n" if left.strip() else None), shared


def _cuts(text: str, overlaps: Sequence[Overlap]) -> list[tuple[int, int]]:
    """What to take out, in order; stretches that touch are joined."""
    cuts: list[tuple[int, int]] = []
    for start, end in _paragraphs(text):
        for overlap in overlaps:
            if overlap.start >= end or overlap.end <= start:
                continue
            cut = (start, end)
            if end - start > LONGEST_PARAGRAPH:
                cut = (max(start, overlap.start - SURROUNDINGS), min(end, overlap.end + SURROUNDINGS))
            if cuts and cut[0] <= cuts[-1][1]:
                cuts[-1] = (cuts[-1][0], max(cut[1], cuts[-1][1]))
            else:
                cuts.append(cut)
    return cuts


def _paragraphs(text: str) -> Iterator[tuple[int, int]]:
    """(start, end) of each run of lines between blank lines; of each line, where there are no blank lines."""
    lines = text.splitlines(keepends=True)
    by_line = all(line.strip() for line in lines)
    start = end = 0
    for line in lines:
        end += len(line)
        if by_line or not line.strip():
            yield start, end
            start = end
    if start < end:
        yield start, end
