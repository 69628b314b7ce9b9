"""The Ray backend without a cluster: what a stage asks for, what its end means, what is refused."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from eval.files import InputError
from pipelines.executors import ray_worker
from pipelines.executors.ray import Nodes, Ray, death
from pipelines.executors.ray_cluster import _reach, connect
from pipelines.executors.ray_worker import BEGUN, TOLD, GroupDied
from pipelines.executors.scheduling import Needs
from pipelines.plan import Plan, Stage
from pipelines.stages import Job, Message, Outcome

NODE = {"Alive": True, "Resources": {"CPU": 32.0, "GPU": 8.0, "memory": 64e9}}
GONE = NODE | {"Alive": False}
PLAIN = {"Alive": True, "Resources": {"CPU": 4.0, "memory": 8e9}}


def _pretrain(name: str, size: float) -> Stage:
    settings = {"params": {"non_embedding": size}}
    return Stage(kind="pretrain", name=name, settings=settings, inputs=(), version=1, key="k")


def _plan(*sizes: float) -> Plan:
    stages = tuple(_pretrain(f"{size:.0f}-s0", size) for size in sizes)
    return Plan(recipe="tiny", base=Path(), stages=stages)


def test_a_gpu_comes_with_its_share_of_the_node_s_cores() -> None:
    nodes = Nodes.of([NODE, NODE, GONE])
    assert (nodes.cores, nodes.gpus) == (64, 16)
    threads = nodes.threads(_plan(1e9), jobs=None)
    assert threads == 4
    asked = nodes.resources(Needs(cores=threads, memory_bytes=10**9, gpus=1, workers=8))
    assert asked == {"CPU": 4, "GPU": 1, "memory": 10**9}
    assert nodes.hold([{"GPU": 8}, {"GPU": 8}])
    assert not nodes.hold([{"GPU": 8}, {"GPU": 8}, {"GPU": 1}])


def test_without_gpus_small_rungs_share_the_cores_and_a_large_one_has_a_node() -> None:
    nodes = Nodes.of([PLAIN, PLAIN])
    assert nodes.threads(_plan(*range(1, 9)), jobs=None) == 1
    assert nodes.threads(_plan(1e9), jobs=None) == 4, "a stage never spans nodes, unless it has workers"
    assert nodes.threads(_plan(1e9), jobs=4) == 2
    asked = nodes.resources(Needs(cores=99, memory_bytes=10**12, gpus=1))
    assert asked == {"CPU": 4, "memory": 8 * 10**9}, "an estimate asks for no more than a node has"


class RayTaskError(Exception):
    def __init__(self, cause: Exception) -> None:
        super().__init__("a page of Ray's")
        self.cause = cause


class WorkerCrashedError(Exception):
    pass


def test_what_a_task_s_end_means() -> None:
    assert "killed" in death(WorkerCrashedError("a page"))
    assert death(RayTaskError(GroupDied("rank 1 died: X"))) == "rank 1 died: X"
    assert death(RayTaskError(KeyError("x"))) == "KeyError: 'x'"
    with pytest.raises(InputError, match=r"^corpus: is empty$"):
        death(RayTaskError(InputError("corpus: is empty")))
    with pytest.raises(InputError, match="install the same stepladder"):
        death(RayTaskError(ModuleNotFoundError("No module named 'pipelines'")))


def test_what_the_failures_of_a_group_mean(tmp_path: Path) -> None:
    job = _job(tmp_path)
    closed = RuntimeError("gloo: Connection closed by peer [127.0.0.1]:1")
    actor_died = type("ActorDiedError", (Exception,), {"__module__": "ray.exceptions"})("The actor died")
    with pytest.raises(InputError, match="no space"):
        ray_worker._judge(job, {0: InputError("no space"), 1: closed}, 1.0)
    with pytest.raises(GroupDied, match="rank 1: its process was killed, or its node was lost"):
        ray_worker._judge(job, {0: closed, 1: actor_died}, 1.0)
    failed = ray_worker._judge(job, {0: closed, 1: ValueError("a bug\nof two lines")}, 1.0)
    assert (failed.status, failed.reason) == ("failed", "rank 1: ValueError: a bug")


def _job(run: Path) -> Job:
    stage = _pretrain("1-s0", 1)
    folder = run / "stages" / stage.folder
    folder.mkdir(parents=True, exist_ok=True)
    return Job(stage, "tiny", run, folder, {}, threads=1)


class _NoRay:
    """Stands for Ray: a future that the test settles."""

    def __init__(self) -> None:
        from concurrent.futures import Future

        self.future: Future[Outcome] = Future()
        self.cancelled = 0

    def options(self, **asked: Any) -> _NoRay:
        self.asked = asked
        return self

    def remote(self, *_: Any) -> Any:
        return SimpleNamespace(future=lambda: self.future)

    def nodes(self) -> list[dict[str, Any]]:
        return [PLAIN]

    def cancel(self, ref: Any, force: bool) -> None:
        self.cancelled += 1


def _backend(run: Path, told: list[Message]) -> tuple[Ray, _NoRay]:
    backend, ray = Ray(None, None, _plan(1), run / ".ray", told.append), _NoRay()
    backend._ray = backend._run_task = ray
    return backend, ray


def test_a_stage_is_heard_as_it_works_and_does_not_hang_while_it_waits(tmp_path: Path) -> None:
    told: list[Message] = []
    backend, ray = _backend(tmp_path, told)
    job = _job(tmp_path)
    backend.start(job, Needs(cores=1, memory_bytes=None, gpus=0))
    assert ray.asked == {"name": "pretrain-1-s0", "num_cpus": 1, "num_gpus": 0}
    backend.kill(job.stage.id)
    assert ray.cancelled == 0, "it has not begun: there is nothing that could hang"

    (tmp_path / ".owner.json").write_text("{}")
    say = ray_worker._begin(job)
    say(Message(job.stage.id, "warning", {"text": "w"}))
    with (job.folder / TOLD).open("a") as file:
        file.write('{"what": "half')
    assert backend.wait(0) == []
    assert told == [Message(job.stage.id, "warning", {"text": "w"})]
    backend.kill(job.stage.id)
    assert ray.cancelled == 1

    outcome = Outcome(job.stage.id, "done", 1.0)
    ray.future.set_result(outcome)
    (ended,) = backend.wait(5)
    assert ended.outcome == outcome
    assert not (job.folder / TOLD).exists()


def test_a_user_s_mistake_in_a_stage_is_told_and_the_stage_is_over(tmp_path: Path) -> None:
    backend, ray = _backend(tmp_path, [])
    job = _job(tmp_path)
    backend.start(job, Needs(cores=1, memory_bytes=None, gpus=0))
    ray.future.set_exception(RayTaskError(InputError("corpus: is empty")))
    (ended,) = backend.wait(5)
    assert (ended.outcome, str(ended.error)) == (None, "corpus: is empty")
    backend.stop(job.stage.id)
    backend.kill(job.stage.id)  # as the scheduler ends all it knows to run
    assert ray.cancelled == 0


def test_a_stage_takes_room_and_one_too_large_says_what_it_waits_for(tmp_path: Path) -> None:
    told: list[Message] = []
    backend, _ = _backend(tmp_path, told)
    needs = Needs(cores=3, memory_bytes=None, gpus=0)
    assert backend.room(needs)
    backend.start(_job(tmp_path), needs)
    assert not backend.room(needs)
    assert backend.room(replace(needs, cores=1))
    assert told == []
    backend._run_group = backend._run_task
    backend.start(_job(tmp_path), replace(needs, workers=2))
    assert "waits for nodes: it takes 6 CPU, more than the cluster has now" in told[0].values["text"]


def test_a_node_that_does_not_share_the_run_folder_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_worker, "SHARED_S", 0.0)
    job = _job(tmp_path)
    with pytest.raises(InputError, match="must lie on a file system that all nodes of the cluster share"):
        ray_worker._begin(job)
    assert not (job.folder / TOLD).exists()
    (tmp_path / ".owner.json").write_text("{}")  # the driver's, seen from here
    ray_worker._begin(job)
    assert json.loads((job.folder / TOLD).read_text())["what"] == BEGUN


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"needs Ray; pip install 'stepladder\[ray\]'"):
        connect(None)


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs Ray")
@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("ray://head:10001", "give the head's own address as host:port"),
        ("127.0.0.1:1", "nothing answers at"),
        ("nonsense", "is no address"),
    ],
)
def test_an_address_where_no_cluster_is_ends_in_a_line(address: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        _reach(address)
    assert str(caught.value).startswith(f"--address {address}: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_stage_waits_for_a_node_like_the_one_that_was_lost() -> None:
    """It does not make do with what is left: a rung that is to train on a GPU would take weeks without."""
    big = {"Alive": True, "Resources": {"CPU": 8, "GPU": 4, "memory": 1e9}}
    small = {"Alive": True, "Resources": {"CPU": 2, "memory": 1e9}}
    needs = Needs(cores=4, memory_bytes=None, gpus=1)
    left = Nodes.of([big | {"Alive": False}, small]).after(Nodes.of([big, small]))
    assert left.resources(needs) == {"CPU": 4, "GPU": 1}
    assert not left.hold([left.resources(needs)])
