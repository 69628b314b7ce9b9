"""The probe: which rungs, what two speeds say of a core, and a real one kept for later plans."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from eval.files import InputError
from pipelines import estimate, probe
from pipelines.plan import Plan, make_plan
from tests.pipelines.recipes import load

RECIPE = """\
name: tiny
corpus: {files: [text.txt]}
tokenizer: {train: bpe, vocab_size: 300}
context: 32
ladder: {rungs: {shapes: [1x16, 1x32, 2x32, 4x256]}, head_size: 16}
budget: {tokens: 10_240}
training: {rule: small-ladder, batch_tokens: 256}
report: {holdout: 1}
"""


@pytest.fixture(autouse=True)
def _unprobed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    estimate.calibration.cache_clear()


def plan(folder: Path, *overrides: str) -> Plan:
    (folder / "text.txt").write_text("It was a bright cold day in April.", encoding="utf-8")
    return make_plan(load(folder, RECIPE, *overrides))


def chosen(made: Plan) -> list[str]:
    return [stage.settings["rung"] for stage in probe.choose_stages(made)]


def test_the_smallest_and_the_middle_rung_are_probed(tmp_path: Path) -> None:
    assert chosen(plan(tmp_path)) == ["3.3k", "25k"]
    assert chosen(plan(tmp_path, "ladder.rungs={shapes: [1x16]}", "report.holdout=0")) == ["3.3k"]


def test_rungs_too_large_for_a_processor_are_left_out_or_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "LARGEST", 40_000)
    assert chosen(plan(tmp_path)) == ["3.3k", "13k"]
    monkeypatch.setattr(probe, "LARGEST", 4_000)
    with pytest.raises(
        InputError, match=r"--probe: the smallest rung has 8,624 parameters; .* at most 4,000"
    ):
        probe.choose_stages(plan(tmp_path))


def test_two_speeds_give_back_the_core_that_made_them() -> None:
    core = estimate.Calibration(2e-5, 5e10, "")
    points = [(f, core.seconds_per_token + f / core.flops_per_second) for f in (1e6, 4e7)]
    per_token, per_second = probe.solve(points)
    assert (per_token, per_second) == (pytest.approx(2e-5), pytest.approx(5e10))


def test_speeds_that_no_core_has_are_held_to_one_that_can_be() -> None:
    faster_when_larger = probe.solve([(1e6, 1e-4), (4e7, 5e-5)])
    assert faster_when_larger == (0.0, pytest.approx(4e7 / 5e-5))
    steep = probe.solve([(1e6, 1e-6), (4e7, 1e-2)])
    assert steep == (0.0, pytest.approx(4e7 / 1e-2))
    built_in = estimate.BUILT_IN
    one = probe.solve([(1e6, 3 * (built_in.seconds_per_token + 1e6 / built_in.flops_per_second))])
    assert one == (
        pytest.approx(3 * built_in.seconds_per_token),
        pytest.approx(built_in.flops_per_second / 3),
    )


@pytest.mark.slow
def test_a_real_probe_is_kept_and_read_by_the_next_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "choose_jobs", lambda plan: 1)
    made = plan(tmp_path)
    kept = probe.probe_plan(made)
    assert json.loads(estimate.probe_path().read_text(encoding="utf-8")) == kept
    assert [each["rung"] for each in kept["measured"]] == ["3.3k", "25k"]
    assert all(each["tokens_per_second"] > 0 and each["steps"] >= 3 for each in kept["measured"])
    found = estimate.calibration()
    assert (found.seconds_per_token, found.flops_per_second) == (
        kept["seconds_per_token"],
        kept["flops_per_second"],
    )
    # what was measured is what the plan now says of the same rungs
    largest = kept["measured"][1]
    again = plan(tmp_path).stage("pretrain-25k-s0")
    core_seconds = (again.seconds_estimate - estimate.START_SECONDS) * estimate.usable_cores() / again.tokens
    assert kept["threads"] / largest["tokens_per_second"] == pytest.approx(core_seconds, rel=0.01)


def test_a_large_batch_is_probed_by_a_part_of_it(tmp_path: Path) -> None:
    from pipelines.micro_batch import CPU_TOKENS
    from pipelines.probe_worker import PARTS, make_steps

    (stage,) = probe.choose_stages(
        plan(
            tmp_path,
            "ladder.rungs={shapes: [1x16]}",
            "report.holdout=0",
            "training.batch_tokens=2097152",
            "budget.tokens=20_971_520",
        )
    )
    settings = {name: stage.settings[name] for name in probe.COPIED} | {"threads": 1}
    assert settings["hyper"]["batch_tokens"] == 2_097_152
    step, tokens, _ = make_steps(settings)
    assert tokens == PARTS * CPU_TOKENS
    step(0)


def test_a_training_that_cannot_be_done_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe.sys, "executable", "/bin/false")
    with pytest.raises(InputError, match=r"--probe: the training stopped \(nothing was said\)") as caught:
        probe.probe_plan(plan(tmp_path))
    assert "\n" not in str(caught.value)
    assert not estimate.probe_path().exists()


def test_a_recipe_that_pretrains_nothing_has_nothing_to_probe() -> None:
    with pytest.raises(InputError, match="there is nothing to measure"):
        probe.choose_stages(Plan(recipe="x", base=Path(), stages=()))
