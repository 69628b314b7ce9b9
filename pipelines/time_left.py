"""How long a run may still take: the plan's estimates, scaled by what finished stages really took."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Work:
    """A stage as far as time goes. `seconds`: what it took; `left`: what a running one says itself."""

    stage: str
    kind: str
    inputs: tuple[str, ...]
    estimate: float | None
    state: str
    seconds: float | None = None
    left: float | None = None


@dataclass(frozen=True, kw_only=True)
class TimeLeft:
    """An estimate; `seconds` is None where nothing is known, and `how` says why, or what it is made of.

    `stages`: seconds left by stage, of those that can be said.
    """

    seconds: float | None
    how: str
    stages: Mapping[str, float] = field(default_factory=dict)


def estimate_left(work: Sequence[Work], jobs: int) -> TimeLeft:
    """The time left of stages that stand after their inputs, with `jobs` side by side.

    No less than the longest chain of stages that need each other, nor than all of them shared out evenly.
    Failed stages, and those that need one, take no time.
    """
    took = _Took(work)
    left: dict[str, float] = {}
    chain: dict[str, float] = {}
    failed: set[str] = set()
    unknown = 0
    for stage in work:
        before = max((chain.get(name, 0.0) for name in stage.inputs), default=0.0)
        chain[stage.stage] = before
        if stage.state == "failed" or failed.intersection(stage.inputs):
            failed.add(stage.stage)
        elif stage.state != "done":
            seconds = _left(stage, took)
            if seconds is None:
                unknown += 1
                continue
            left[stage.stage] = seconds
            chain[stage.stage] = before + seconds
    if not left and unknown:
        return TimeLeft(seconds=None, how="no stage that is left has an estimate")
    if not left:
        return TimeLeft(seconds=0.0, how="nothing is left")
    total = max(sum(left.values()) / max(jobs, 1), max(chain.values(), default=0.0))
    how = took.words
    if unknown:
        how += f"; nothing is known yet of {unknown} more"
    return TimeLeft(seconds=total, how=how, stages=left)


def _left(stage: Work, took: _Took) -> float | None:
    if stage.left is not None:
        return stage.left
    expected = took.expect(stage)
    if expected is None or stage.state != "running":
        return expected
    return max(0.0, expected - (stage.seconds or 0.0))


class _Took:
    """What finished stages took beside their estimates, by kind."""

    def __init__(self, work: Sequence[Work]) -> None:
        self._took: defaultdict[str, list[float]] = defaultdict(list)
        self._pairs: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
        for stage in work:
            if stage.state == "done" and stage.seconds:
                self._took[stage.kind].append(stage.seconds)
                if stage.estimate:
                    self._pairs[stage.kind].append((stage.seconds, stage.estimate))
        pairs = [pair for kind in self._pairs.values() for pair in kind]
        self._all = _ratio(pairs)
        self._kinds = {kind: _ratio(of_kind) for kind, of_kind in self._pairs.items()}
        self.words = "the plan's estimate; nothing has finished yet that it could be compared with"
        if pairs:
            finished = "one finished stage" if len(pairs) == 1 else f"{len(pairs)} finished stages"
            self.words = f"the plan's estimate, scaled by what {finished} took"
        elif any(self._took.values()):
            self.words = "by what finished stages of the same kind took"

    def expect(self, stage: Work) -> float | None:
        """The seconds of a whole stage: its estimate scaled, else the mean of its finished kin."""
        if stage.estimate is not None:
            scale = self._kinds.get(stage.kind, self._all)
            return stage.estimate * (1.0 if scale is None else scale)
        kin = self._took.get(stage.kind)
        return sum(kin) / len(kin) if kin else None


def _ratio(pairs: Sequence[tuple[float, float]]) -> float | None:
    return sum(took for took, _ in pairs) / sum(guess for _, guess in pairs) if pairs else None
