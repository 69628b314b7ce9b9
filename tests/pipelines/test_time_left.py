"""The time left, against sums done by hand."""

from __future__ import annotations

from pipelines.time_left import Work, estimate_left


def _work(name: str, state: str = "waiting", estimate: float | None = 10.0, **more) -> Work:
    kind = name.partition("-")[0]
    return Work(stage=name, kind=kind, inputs=more.pop("inputs", ()), estimate=estimate, state=state, **more)


def test_estimates_are_scaled_by_what_finished_stages_of_a_kind_took() -> None:
    work = [
        _work("prepare-a", "done", 10.0, seconds=5.0),
        _work("pretrain-a", "done", 10.0, seconds=30.0),
        _work("pretrain-b", "done", 30.0, seconds=90.0),
        _work("pretrain-c", estimate=20.0),  # x3 as the others of its kind: 60
        _work("tune-a", estimate=8.0),  # no kin: x125/50 as all of them, 20
    ]
    left = estimate_left(work, jobs=1)
    assert left.seconds == 80.0
    assert left.stages == {"pretrain-c": 60.0, "tune-a": 20.0}
    assert left.how == "the plan's estimate, scaled by what 3 finished stages took"


def test_stages_side_by_side_take_their_share_but_a_chain_takes_its_length() -> None:
    apart = [_work(f"pretrain-{index}") for index in range(4)]
    assert estimate_left(apart, jobs=2).seconds == 20.0
    chain = [_work("pretrain-0")]
    chain += [_work(f"pretrain-{index}", inputs=(f"pretrain-{index - 1}",)) for index in range(1, 4)]
    assert estimate_left(chain, jobs=2).seconds == 40.0


def test_a_running_stage_says_itself_or_has_worked_already() -> None:
    work = [
        _work("pretrain-a", "running", left=3.0, seconds=1.0),
        _work("pretrain-b", "running", seconds=4.0),
        _work("pretrain-c", "running", seconds=400.0),  # longer than expected
    ]
    assert estimate_left(work, jobs=1).stages == {"pretrain-a": 3.0, "pretrain-b": 6.0, "pretrain-c": 0.0}


def test_what_failed_and_what_needs_it_takes_no_time() -> None:
    work = [
        _work("prepare-a", "failed"),
        _work("pretrain-a", inputs=("prepare-a",)),
        _work("evaluate-a", inputs=("pretrain-a",)),
        _work("pretrain-b"),
    ]
    assert estimate_left(work, jobs=1).stages == {"pretrain-b": 10.0}


def test_what_is_not_known_is_said() -> None:
    unknown = [_work("pretrain-a", estimate=None)]
    assert estimate_left(unknown, jobs=1).seconds is None
    assert estimate_left(unknown, jobs=1).how == "no stage that is left has an estimate"
    both = [*unknown, _work("pretrain-b")]
    assert estimate_left(both, jobs=1).seconds == 10.0
    assert estimate_left(both, jobs=1).how.endswith("; nothing is known yet of 1 more")
    kin = [*unknown, _work("pretrain-b", "done", estimate=None, seconds=7.0)]
    assert estimate_left(kin, jobs=1).seconds == 7.0
    done = [_work("pretrain-a", "done", seconds=1.0)]
    assert (estimate_left(done, jobs=1).seconds, estimate_left(done, jobs=1).how) == (0.0, "nothing is left")
    assert estimate_left([], jobs=0).seconds == 0.0
