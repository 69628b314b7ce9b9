"""`events.jsonl` alone tells the state of a run: after a real run, cut anywhere, followed as it grows."""

from __future__ import annotations

import io
import json
from collections import deque
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from pipelines import stages
from pipelines.events import EVENTS, EventFile, RunState, parse_events, replay
from pipelines.executors.scheduling import Ended, Needs, run_stages
from pipelines.plan import Plan, Stage
from pipelines.progress import RunView
from pipelines.recording import Record
from pipelines.stages import Job, LoopSettings, StageFailed, run_stage
from pipelines.store import RunFolder, read_manifest


def _stage(name: str, *inputs: str, key: str | None = None) -> Stage:
    return Stage(kind="prepare", name=name, settings={}, inputs=inputs, version=1, key=key or name)


PLAN = Plan(
    recipe="tiny",
    base=Path(),
    stages=(_stage("good"), _stage("dies"), _stage("diverges"), _stage("after", "prepare-diverges")),
)


class Backend:
    """Runs stages in this process, one at a time; the first attempt at `dies` ends in a death."""

    def __init__(self) -> None:
        self.jobs: deque[Job] = deque()
        self.died = False

    def room(self, needs: Needs) -> bool:
        return not self.jobs

    def start(self, job: Job, needs: Needs) -> None:
        self.jobs.append(job)

    def wait(self, seconds: float) -> list[Ended]:
        job = self.jobs.popleft()
        if job.stage.name == "dies" and not self.died:
            self.died = True
            return [Ended(job.stage.id, None, "killed by signal 9")]
        return [Ended(job.stage.id, run_stage(job, lambda message: None))]

    def stop(self, stage: str) -> None:
        raise AssertionError("nothing is stopped here")

    kill = stop


def _run(folder: Path, plan: Plan = PLAN) -> RunFolder:
    """What `stepladder run` does with a plan, with real stages, manifests and events, in this process."""
    run = RunFolder(folder)
    run.claim(plan, "name: tiny\n")
    record = Record(run)
    record.planned(plan)
    record.found(plan)
    run.record("run-started", stages=len(plan.stages), done=0, jobs=1, executor="local", host="here", pid=1)
    with RunView(Console(file=io.StringIO()), total=len(plan.stages), done=0) as view:
        outcomes = run_stages(plan, run, Backend(), LoopSettings(), 1, record.watcher(plan, view))
    run.record("run-ended", failed=[o.stage for o in outcomes.values() if o.status == "failed"])
    return run


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    def works(job: Job, tell: stages.Tell) -> dict[str, Any]:
        (job.folder / "made").write_text(job.stage.name)
        return {}

    def diverges(job: Job, tell: stages.Tell) -> dict[str, Any]:
        raise StageFailed("diverged: the loss is no number at step 7")

    for name in ("good", "dies", "after", "more"):
        monkeypatch.setitem(stages.PREPARE, name, works)
    monkeypatch.setitem(stages.PREPARE, "diverges", diverges)
    return _run(tmp_path / "run")


def _manifests(run: RunFolder, plan: Plan) -> dict[str, float]:
    """The finished stages and their seconds, by the manifests."""
    found = {stage.id: read_manifest(run.folder(stage)) for stage in plan.stages}
    return {name: manifest["seconds"] for name, manifest in found.items() if manifest is not None}


def _done(state: RunState) -> dict[str, float | None]:
    """The finished stages of the last plan and their seconds, by the events."""
    told = [state.find(*planned) for planned in state.planned or ()]
    return {stage.stage: stage.seconds for stage in told if stage is not None and stage.state == "done"}


def _read(run: RunFolder) -> RunState:
    return replay(EventFile(run.root / "events.jsonl").new()[0])


def test_the_events_of_a_run_tell_what_its_manifests_say(tiny: RunFolder) -> None:
    state = _read(tiny)
    assert _done(state) == _manifests(tiny, PLAN)
    assert set(_done(state)) == {"prepare-good", "prepare-dies"}
    states = {name.removeprefix("prepare-"): stage for (name, _), stage in _told(state).items()}
    assert states["diverges"].state == states["after"].state == "failed"
    assert states["diverges"].reason == "diverged: the loss is no number at step 7"
    assert states["after"].reason == "needs prepare-diverges, which failed"
    assert (states["dies"].attempt, len(states["dies"].retries)) == (2, 1)
    assert "killed by signal 9" in states["dies"].retries[0]
    assert state.run is not None
    assert (state.run.state, state.run.host, state.run.jobs) == ("ended", "here", 1)


def _told(state: RunState) -> dict[tuple[str, str], Any]:
    return {planned: state.find(*planned) for planned in state.planned or ()}


def test_another_plan_and_back_again_finds_what_was_done_before(tiny: RunFolder) -> None:
    other = Plan(recipe="tiny", base=Path(), stages=(_stage("good", key="new"), _stage("more")))
    before = _done(_read(tiny))
    _run(tiny.root, other)
    assert _done(_read(tiny)) == _manifests(tiny, other)
    _run(tiny.root)
    assert _done(_read(tiny)) == before == _manifests(tiny, PLAN)


def test_lost_events_are_told_again_by_the_next_run(tiny: RunFolder) -> None:
    (tiny.root / "events.jsonl").unlink()
    _run(tiny.root)
    assert _done(_read(tiny)) == _manifests(tiny, PLAN)


@settings(max_examples=60, deadline=None)
@given(cut=st.floats(0, 1), again=st.floats(0, 1))
def test_a_file_that_kills_cut_short_never_tells_of_what_was_not_done(
    cut: float, again: float, history: bytes
) -> None:
    prefix = history[: round(cut * len(history))]
    _assert_not_ahead(prefix)
    # the next run ends the torn line and goes on; it may be killed, too
    rest = history[len(prefix) :].partition(b"\n")[2]
    _assert_not_ahead(prefix + b"\n" + rest[: round(again * len(rest))])


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The events of a run over three stages that was stopped, found one broken and went on."""
    run = RunFolder(tmp_path_factory.mktemp("history"))
    names = ["a", "b", "ü"]
    run.record("planned", stages=[{"id": f"x-{name}", "folder": f"x-{name}-k"} for name in names])
    run.record("run-started", stages=3, done=0, jobs=1, host="one", pid=1)
    for name in names[:2]:
        run.record("stage-started", stage=f"x-{name}", key="k", attempt=1)
        run.record("stage-done", stage=f"x-{name}", key="k", seconds=1.5)
    run.record("stage-started", stage="x-ü", key="k", attempt=1)
    run.record("stage-stopped", stage="x-ü", key="k")
    run.record("run-stopped", reason="stopped by SIGTERM")
    run.record("stage-broken", stage="x-a", reason="model: does not have the hash it was written with")
    run.record("run-started", stages=3, done=1, jobs=1, host="two", pid=2)
    for name in ("a", "ü"):
        run.record("stage-started", stage=f"x-{name}", key="k", attempt=1)
        run.record("stage-resumed", stage=f"x-{name}", step=4)
        run.record("stage-retried", stage=f"x-{name}", reason="killed by signal 9")
        run.record("stage-started", stage=f"x-{name}", key="k", attempt=2)
        run.record("stage-done", stage=f"x-{name}", key="k", seconds=2.5)
    run.record("run-ended", failed=[])
    return (run.root / "events.jsonl").read_bytes()


def _assert_not_ahead(data: bytes) -> None:
    """Done is no more than what a whole line says is done, with no later line that takes it back."""
    last: dict[str, str] = {}
    for line in data.split(b"\n")[:-1]:
        if line.endswith(b"}") and line.startswith(b'{"time"') and line.count(b'"time"') == 1:
            text = line.decode()
            if '"stage": "' in text:
                last[text.split('"stage": "')[1].split('"')[0]] = text
    done = {stage for stage, text in last.items() if '"event": "stage-done"' in text}
    state = replay(parse_events(data[: data.rfind(b"\n") + 1]))
    assert {stage.stage for stage in state.artefacts.values() if stage.state == "done"} == done


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "folder"]), inner),
    max_leaves=8,
)
_names = st.sampled_from([*EVENTS, "unknown", 3, None])
_fields = st.sampled_from(["stage", "key", "stages", "seconds", "reason", "attempt", "pid", "jobs", "step"])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(_names, st.dictionaries(_fields, _values | st.just("a")))))
def test_events_of_any_shape_give_a_state_without_negative_or_endless_seconds(
    told: list[tuple[Any, dict[str, Any]]],
) -> None:
    state = replay({"event": name, **fields} for name, fields in told)
    for stage in state.artefacts.values():
        assert stage.seconds is None or 0 <= stage.seconds < float("inf")


@given(st.binary())
def test_bytes_of_any_kind_are_read(data: bytes) -> None:
    replay(parse_events(data))


def test_deep_and_long_lines_are_passed_over() -> None:
    deep, long = b"[" * 100_000, b'{"event": ' + b"9" * 10_000 + b"}"
    events = parse_events(b"\n".join([deep, long, b"[]", b"", b'{"event": "run-ended"}', b""]))
    assert events == [{"event": "run-ended"}]


def test_clocks_that_jump_change_no_state(history: bytes) -> None:
    events = parse_events(history)
    jumping = [event | {"time": f"20{40 - index:02}-01-01T00:00:00Z"} for index, event in enumerate(events)]
    told, jumped = replay(events), replay(jumping)
    assert told.artefacts == jumped.artefacts
    assert (told.run and told.run.host, jumped.run and jumped.run.since) == ("two", "2030-01-01T00:00:00Z")


def test_the_newest_is_told_by_the_order_of_lines(history: bytes) -> None:
    stages_ = replay(parse_events(history)).artefacts.values()
    assert [stage.stage for stage in sorted(stages_, key=lambda stage: stage.order)] == ["x-b", "x-a", "x-ü"]


@settings(max_examples=30, deadline=None)
@given(cuts=st.lists(st.integers(0, 4000)))
def test_a_growing_file_is_read_once_and_whole(
    cuts: list[int], history: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("grows") / "events.jsonl"
    file, events = EventFile(path), []
    assert file.new() == ([], False)
    written = 0
    for cut in [*sorted(cuts), len(history)]:
        with path.open("ab") as out:
            out.write(history[written : max(written, cut)])
        written = max(written, cut)
        new, anew = file.new()
        assert not anew
        events += new
    assert events == parse_events(history)


def test_a_file_that_became_shorter_or_another_is_read_from_the_beginning(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text('{"event": "a"}\n{"event": "b"}\n')
    file = EventFile(path)
    assert file.new() == ([{"event": "a"}, {"event": "b"}], False)
    path.write_text('{"event": "c"}\n')
    assert file.new() == ([{"event": "c"}], True)
    (tmp_path / "other").write_text('{"event": "d"}\n{"event": "e"}\n{"event": "f"}\n')
    (tmp_path / "other").replace(path)
    assert [event["event"] for event in file.new()[0]] == ["d", "e", "f"]
    path.unlink()
    assert file.new() == ([], True)


def test_a_stage_that_a_new_run_has_not_come_to_waits() -> None:
    told = [
        {"event": "stage-started", "stage": "a"},
        {"event": "stage-failed", "stage": "b", "reason": "no memory"},
        {"event": "stage-done", "stage": "c", "seconds": -1},
        {"event": "run-started"},
    ]
    state = replay(json.loads(json.dumps(told)))
    assert {name: stage.state for name, stage in state.artefacts.items()} == {
        "a": "waiting",
        "b": "waiting",
        "c": "done",
    }
    assert state.artefacts["c"].seconds is None
