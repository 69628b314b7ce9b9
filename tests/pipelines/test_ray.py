"""Stages on a Ray cluster of two nodes: the same results as on this machine, whatever is killed meanwhile."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from eval.results import read_results, same
from tests.test_run import assert_same_results, events, start, stepladder, write_recipe

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.slow  # a cluster, and trainings on it

RECIPE = """
name: tiny
corpus: {files: [text.jsonl]}
tokenizer: {train: bpe, vocab_size: 300}
context: 32
ladder: {rungs: {shapes: [1x16, 1x32]}, head_size: 16}
budget: {tokens: 160e3} # some seconds, so that there is something to interrupt
training: {rule: small-ladder, batch_tokens: 256, checkpoint_every_s: 0.3}
eval: {tasks: [perplexity], bootstrap: 100, max_items: 5}
report: {bootstrap: 100}
"""
LARGE = "13k"


class TwoNodes:
    """Two nodes of one core each, on this machine, and a head that runs no stages."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self.size = {"object_store_memory": 80 * 2**20}
        head = self.size | {"num_cpus": 0, "include_dashboard": False}
        self.cluster = Cluster(initialize_head=True, head_node_args=head)
        self.nodes = [self.cluster.add_node(num_cpus=1, **self.size) for _ in range(2)]

    def lose_node_of(self, pid: int) -> None:
        """End all of the node that a process runs on at once, as a machine that loses its power."""
        (node,) = [node for node in self.nodes if raylet_of(node).pid == psutil.Process(pid).ppid()]
        for process in (raylet_of(node), *raylet_of(node).children(recursive=True)):
            process.kill()
        self.nodes.remove(node)

    def renew(self) -> None:
        """A node in the place of one that was lost."""
        while len(self.nodes) < 2:
            self.nodes.append(self.cluster.add_node(num_cpus=1, **self.size))

    def processes(self) -> list[psutil.Process]:
        return [child for node in self.nodes for child in raylet_of(node).children()]


def raylet_of(node: Any) -> psutil.Process:
    """Ray's own process of a node; the processes that work are its children."""
    return psutil.Process(node.all_processes["raylet"][0].process.pid)


@pytest.fixture(scope="module")
def nodes() -> Iterator[TwoNodes]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # ports on loopback
        patch.setattr(ray._private.ray_constants, "ENABLE_RAY_CLUSTER", False)
        patch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
        patch.delenv("RAY_ADDRESS", raising=False)
        made = TwoNodes()
        patch.setenv("RAY_ADDRESS", made.cluster.address)
        yield made
        made.cluster.shutdown()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recipe, run by processes of this machine."""
    folder = tmp_path_factory.mktemp("undisturbed")
    write_recipe(folder, RECIPE)
    done = stepladder("run", "tiny.yaml", "--jobs", "2", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def without(undisturbed: Path, folder: Path, *rungs: str) -> Path:
    """A copy of the run as it is before some rungs are trained; returns its run folder."""
    shutil.copytree(undisturbed, folder, dirs_exist_ok=True)
    run = folder / "runs" / "tiny"
    for rung in rungs:
        for kind in ("pretrain", "evaluate"):
            (stage,) = run.glob(f"stages/{kind}-{rung}-*")
            shutil.rmtree(stage)
    return run


started: list[Any] = []


@pytest.fixture(autouse=True)
def _nobody_left() -> Iterator[None]:
    yield
    for process in started:
        process.kill()
    started.clear()


def on_ray(cwd: Path, *more: object) -> Any:
    started.append(start("run", "tiny.yaml", "--executor", "ray", *more, cwd=cwd))
    return started[-1]


def finish(process: Any) -> None:
    out, err = process.communicate(timeout=900)
    assert process.returncode == 0, err
    assert "report:" in out
    assert not err, "Ray's own pages about who died are not the reader's"


def assert_same_models(one: Path, other: Path) -> None:
    """To the bit: all ran with one thread."""
    models = sorted(path.relative_to(one) for path in one.glob("stages/pretrain-*/model/model.safetensors"))
    assert models
    for model in models:
        assert (one / model).read_bytes() == (other / model).read_bytes(), model


def assert_undisturbed(undisturbed: Path, run: Path) -> None:
    assert_same_results(undisturbed / "runs" / "tiny", run)
    assert_same_models(undisturbed / "runs" / "tiny", run)


def wait_for(seen: Callable[[], Any]) -> Any:
    """What `seen` returns once it is something."""
    until = time.monotonic() + 600
    while not (found := seen()):
        assert time.monotonic() < until, "nothing came"
        time.sleep(0.02)
    return found


def in_training(run: Path, rung: str) -> tuple[int, int]:
    """Wait for a rung's second checkpoint; the process that trains it, and the steps of the last one."""

    def seen() -> tuple[int, int] | None:
        for folder in run.glob(f"stages/pretrain-{rung}-*"):
            steps = sorted(int(path.name.rpartition("-")[2]) for path in folder.glob("checkpoints/step-*"))
            if len(steps) > 1 and (folder / ".live.json").exists():
                return json.loads((folder / ".live.json").read_text())["pid"], steps[-1]
        return None

    return wait_for(seen)


def resumed(run: Path, rung: str) -> list[int]:
    """The steps from which a rung's training went on."""
    return [
        event["step"]
        for event in events(run)
        if event["event"] == "stage-resumed" and event["stage"] == f"pretrain-{rung}-s0"
    ]


def retried(run: Path) -> dict[str, str]:
    return {event["stage"]: event["reason"] for event in events(run) if event["event"] == "stage-retried"}


def test_two_nodes_give_the_results_of_one_machine(
    undisturbed: Path, nodes: TwoNodes, tmp_path: Path
) -> None:
    write_recipe(tmp_path, RECIPE)
    finish(on_ray(tmp_path))
    run = tmp_path / "runs" / "tiny"
    assert_undisturbed(undisturbed, run)
    (began,) = [event for event in events(run) if event["event"] == "run-started"]
    assert began["executor"] == "ray"
    assert not list(run.rglob(".told.jsonl"))


def test_a_killed_worker_costs_what_came_after_its_last_checkpoint(
    undisturbed: Path, nodes: TwoNodes, tmp_path: Path
) -> None:
    run = without(undisturbed, tmp_path, LARGE)
    process = on_ray(tmp_path)
    pid, step = in_training(run, LARGE)
    os.kill(pid, signal.SIGKILL)
    finish(process)
    assert_undisturbed(undisturbed, run)
    assert "its process was killed, or its node was lost" in retried(run)[f"pretrain-{LARGE}-s0"]
    (went_on,) = resumed(run, LARGE)
    assert went_on >= step


def test_a_lost_node_s_stage_goes_on_on_the_other(undisturbed: Path, nodes: TwoNodes, tmp_path: Path) -> None:
    run = without(undisturbed, tmp_path, LARGE)
    process = on_ray(tmp_path)
    pid, step = in_training(run, LARGE)
    nodes.lose_node_of(pid)
    finish(process)
    nodes.renew()
    assert_undisturbed(undisturbed, run)
    assert set(retried(run)) == {f"pretrain-{LARGE}-s0"}
    (went_on,) = resumed(run, LARGE)
    assert went_on >= step


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_driver_that_ended_is_started_again_with_the_same_command(
    number: signal.Signals, undisturbed: Path, nodes: TwoNodes, tmp_path: Path
) -> None:
    run = without(undisturbed, tmp_path, LARGE)
    process = on_ray(tmp_path)
    pid, step = in_training(run, LARGE)
    process.send_signal(number)
    _, err = process.communicate(timeout=120)
    if number == signal.SIGTERM:
        assert process.returncode == 75, err
        assert "the same command goes on from the last checkpoint" in err
    wait_for(lambda: not psutil.pid_exists(pid))  # nobody goes on writing for a driver that is gone
    kept = [int(path.name.rpartition("-")[2]) for path in run.glob("stages/pretrain-*/checkpoints/step-*")]
    assert max(kept) >= step
    finish(on_ray(tmp_path))
    assert_undisturbed(undisturbed, run)
    assert resumed(run, LARGE) == [max(kept)]


def test_two_workers_of_a_rung_end_like_one_though_one_is_killed(
    undisturbed: Path, nodes: TwoNodes, tmp_path: Path
) -> None:
    run = without(undisturbed, tmp_path, LARGE)
    process = on_ray(tmp_path, f"training.workers={{{LARGE}: 2}}")
    first, step = in_training(run, LARGE)
    ranks = [one.pid for one in nodes.processes() if "TrainWorker" in one.name() + " ".join(one.cmdline())]
    assert len(ranks) == 2
    os.kill(next(pid for pid in ranks if pid != first), signal.SIGKILL)
    finish(process)
    assert resumed(run, LARGE)[0] >= step
    (manifest,) = run.glob(f"stages/pretrain-{LARGE}-*/manifest.json")
    assert json.loads(manifest.read_text())["facts"]["ranks"] == 2
    alone = read_results(undisturbed / "runs" / "tiny" / "results.jsonl")
    together = read_results(run / "results.jsonl")
    assert len(alone) == len(together)
    for a, b in zip(alone, together, strict=True):
        assert b.value == pytest.approx(a.value, rel=1e-4), (a, b)
        assert same(a, b) or a.rung == LARGE


def test_a_user_s_mistake_is_the_line_that_one_machine_says(nodes: TwoNodes, tmp_path: Path) -> None:
    write_recipe(tmp_path, RECIPE)
    (tmp_path / "text.jsonl").write_text('{"text": "a"}\nnot JSON\n')
    here = stepladder("run", "tiny.yaml", "--out", "here", cwd=tmp_path)
    process = on_ray(tmp_path)
    _, err = process.communicate(timeout=900)
    assert (process.returncode, err) == (here.returncode, here.stderr)
    assert here.returncode == 2
    assert err.count("\n") == 1
