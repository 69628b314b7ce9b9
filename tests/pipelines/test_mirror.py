"""A mirror holds whole artefacts or none of them, goes on after every stop, and comes back only unaltered."""

from __future__ import annotations

import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from eval.files import InputError, write_atomic, write_sealed
from pipelines.cli import app
from pipelines.executors.scheduling import Watcher
from pipelines.mirror import Mirror, Mirrored, mirror_run
from pipelines.mirror_index import INDEX
from pipelines.plan import Plan
from pipelines.planned import make_stage
from pipelines.remote import Remote, is_safe_name
from pipelines.restore import Restored, restore_run
from pipelines.run import RunSummary
from pipelines.stages import Outcome
from pipelines.store import read_manifest, verify_artefact, write_manifest
from tests.pipelines.mirrored import contents, make_run
from tests.test_run import stepladder, write_recipe

ROOT = Path(__file__).resolve().parent.parent.parent
PLACES = ("file", "memory", "s3")


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """An S3 server on loopback with a bucket `runs`; its address."""
    pytest.importorskip("s3fs", reason="s3fs is not installed (extra s3)")
    moto = pytest.importorskip("moto.server", reason="moto's server is not installed (extra dev)")
    import boto3

    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    address = "http://{}:{}".format(*server.get_host_and_port())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", address)
        patch.setenv("AWS_ACCESS_KEY_ID", "a-key-of-tests")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret-of-tests")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        boto3.client("s3").create_bucket(Bucket="runs")
        yield address
    server.stop()


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty place of the kind that the test is parametrized with, a file's when it is not."""
    kind = getattr(request, "param", "file")
    if kind == "file":
        return f"file://{tmp_path / 'bucket' / 'deep'}"
    if kind == "s3":
        request.getfixturevalue("s3")
    return f"{kind}://runs/{tmp_path.name}"


# each kind of place, and S3's server among the slow tests where it adds little to what the others show
mostly = pytest.mark.parametrize(
    "url", ["file", "memory", pytest.param("s3", marks=pytest.mark.slow)], indirect=True
)
everywhere = pytest.mark.parametrize("url", PLACES, indirect=True)


def remote(url: str) -> Remote:
    return Remote(url, pauses=(0.0, 0.0))


def mirror(run: Path, to: str | Remote, **options: Any) -> Mirrored:
    return mirror_run(run, remote(to) if isinstance(to, str) else to, lambda line: None, **options)


def restore(url: str, folder: Path) -> Restored:
    return restore_run(remote(url), folder, lambda line: None)


def spoil(url: str, name: str, change: Callable[[bytes], bytes]) -> None:
    """Alter a mirrored file behind the mirror's back."""
    place = remote(url)
    path = f"{place.root}/{name}"
    place.fs.pipe_file(path, change(place.fs.cat_file(path)))


def model_of(url: str, stage: str) -> str:
    """The mirrored name of a stage's weights."""
    names = remote(url).sizes("stages")
    return next(name for name in names if f"fetch-{stage}-" in name and name.endswith(".safetensors"))


def flipped(data: bytes) -> bytes:
    return data[:100] + bytes([data[100] ^ 1]) + data[101:]


@everywhere
def test_a_run_comes_back_as_it_was(url: str, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    done = mirror(run.root, url)
    assert done.complaint() is None
    here = contents(run.root)
    assert done.files == len(here)
    assert done.bytes == sum(map(len, here.values()))
    assert f"{len(here)} files sent" in done.line()

    found = restore(url, tmp_path / "back")
    assert (found.stages, found.expected, found.damaged, found.notes) == (3, 3, {}, [])
    assert contents(tmp_path / "back") == here
    assert [verify_artefact(folder) for folder in (tmp_path / "back" / "stages").iterdir()] == [None] * 3


@everywhere
def test_again_sends_nothing_and_fetches_nothing(url: str, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    first = mirror(run.root, url)
    again = mirror(run.root, url)
    assert (again.files, again.bytes, again.skipped) == (0, 0, first.files)
    restore(url, tmp_path / "back")
    found = restore(url, tmp_path / "back")
    assert (found.stages, found.files, found.skipped) == (0, 0, 3)


@mostly
def test_manifests_go_last_and_the_index_after_all(url: str, tmp_path: Path) -> None:
    run, place = make_run(tmp_path / "run"), remote(url)
    sent = spy(place)
    mirror(run.root, place)
    for folder in (run.root / "stages").iterdir():
        of_stage = [
            name for name in sent if name.startswith(f"stages/{folder.name}/") and "README" not in name
        ]
        assert len(of_stage) == 4
        assert of_stage[-1].endswith("/manifest.json")
    assert sent[-1] == INDEX
    assert set(sent[:3]) == {"recipe.yaml", "plan.json", INDEX}, "to go on with, should the run die"


class Watched:
    """A file system some of whose functions are others."""

    def __init__(self, fs: Any, **functions: Any) -> None:
        self.__dict__.update(functions, _fs=fs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._fs, name)


def spy(place: Remote, fail: Callable[[str], Exception | None] = lambda name: None) -> list[str]:
    """Note what is put, by its final name; raise what `fail` returns instead, for a name."""
    put, sent = place.fs.put_file, []

    def watched(path: str, to: str, **options: Any) -> None:
        name = to.removeprefix(place.root + "/").removesuffix(".part").replace("/.", "/").removeprefix(".")
        if error := fail(name):
            raise error
        put(path, to, **options)
        sent.append(name)

    place.fs = Watched(place.fs, put_file=watched)
    return sent


@everywhere
def test_an_upload_that_fails_leaves_no_manifest_and_costs_nothing_else(url: str, tmp_path: Path) -> None:
    run, place = make_run(tmp_path / "run"), remote(url)
    spy(
        place,
        lambda name: OSError("connection reset") if "fetch-b-" in name and "README" not in name else None,
    )
    done = mirror(run.root, place)
    assert list(done.failed) == [next(path.name for path in (run.root / "stages").glob("fetch-b-*"))]
    complaint = str(done.complaint())
    assert "connection reset" in complaint
    assert "the same command again sends what is missing" in complaint
    assert "\n" not in complaint
    names = remote(url).sizes()
    assert not [name for name in names if "fetch-b-" in name and name.endswith("manifest.json")]

    found = restore(url, tmp_path / "back")
    assert (found.stages, found.expected) == (2, 3)
    place = remote(url)
    sent = spy(place)
    assert mirror(run.root, place).complaint() is None
    assert {name.split("/")[1][:7] for name in sent if name.startswith("stages/")} == {"fetch-b"}
    assert restore(url, tmp_path / "back").stages == 1
    assert contents(tmp_path / "back") == contents(run.root)


def test_a_network_that_stumbles_is_tried_again(url: str, tmp_path: Path) -> None:
    run, place = make_run(tmp_path / "run"), remote(url)
    failures = iter([True, True])
    spy(place, lambda name: OSError("timed out") if "safetensors" in name and next(failures, False) else None)
    done = mirror(run.root, place)
    assert next(failures, None) is None, "both were met"
    assert done.complaint() is None
    assert contents(tmp_path / "bucket" / "deep").keys() == contents(run.root).keys() | {INDEX}


def test_a_network_that_comes_back_is_used_at_the_end(url: str, tmp_path: Path) -> None:
    run, place = make_run(tmp_path / "run"), Remote(url, pauses=())
    there = threading.Event()
    tries = spy(place, lambda name: None if there.is_set() else OSError("no route to host"))
    follower = Mirror(run, place)
    follower.begin()
    for folder in (run.root / "stages").iterdir():
        follower.add(folder.name)
    while follower._waiting.unfinished_tasks:
        time.sleep(0.01)
    assert tries == []
    there.set()
    assert follower.finish(lambda line: None).complaint() is None
    restore(url, tmp_path / "back")
    assert contents(tmp_path / "back") == contents(run.root)


def test_what_arrives_cut_short_is_sent_again(url: str, tmp_path: Path) -> None:
    run, place = make_run(tmp_path / "run"), remote(url)
    put, cut = place.fs.put_file, iter([True])

    def losing(path: str, to: str, **options: Any) -> None:
        put(path, to, **options)
        if to.endswith("safetensors.part") and next(cut, False):
            Path(to).write_bytes(Path(to).read_bytes()[:-1])

    place.fs = Watched(place.fs, put_file=losing)
    assert mirror(run.root, place).complaint() is None
    assert restore(url, tmp_path / "back").damaged == {}


def test_a_store_that_says_no_stops_before_anything_is_trained(url: str, tmp_path: Path) -> None:
    run, place = make_run(tmp_path / "run"), remote(url)
    tries: list[str] = []
    spy(place, lambda name: tries.append(name) or PermissionError("AccessDenied"))  # type: ignore[func-returns-value]
    with pytest.raises(InputError, match=r"recipe\.yaml: AccessDenied"):
        mirror(run.root, place)
    assert tries == ["recipe.yaml"], "trying again does not help"


def test_a_bucket_that_is_not_there_is_one_line(s3: str, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    with pytest.raises(InputError, match=r"no such place.*make the bucket or folder first"):
        mirror(run.root, "s3://nowhere/prefix")


def test_a_network_that_is_down_stops_no_run(
    s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free.getsockname()[1]}")
    run = make_run(tmp_path / "run", names=tuple("abcdefgh"))
    importlib.import_module("s3fs").S3FileSystem.clear_instance_cache()  # one of before is connected
    place = Remote("s3://runs/down", pauses=())
    done = mirror(run.root, place)
    importlib.import_module("s3fs").S3FileSystem.clear_instance_cache()
    assert len(done.failed) == 9, "eight stages and the run's own files"
    assert "a-secret-of-tests" not in str(done.failed)


@pytest.mark.parametrize(
    ("url", "mends"), [("s3", {}), ("file", {"verify": True}), ("memory", {"verify": True})], indirect=["url"]
)
def test_a_flipped_bit_is_named_and_kept_out_and_mended(
    url: str, mends: dict[str, bool], tmp_path: Path
) -> None:
    run = make_run(tmp_path / "run")
    mirror(run.root, url)
    name = model_of(url, "b")
    spoil(url, name, flipped)
    found = restore(url, tmp_path / "back")
    assert found.damaged == {
        name.split("/")[1]: f"{name}: its bytes do not have the hash they were stored with"
    }
    assert found.stages == 2
    assert not (tmp_path / "back" / "stages" / name.split("/")[1] / "manifest.json").exists()

    assert mirror(run.root, url, **mends).files == 1
    assert restore(url, tmp_path / "back").damaged == {}
    assert contents(tmp_path / "back") == contents(run.root)


@mostly
def test_a_file_cut_short_and_one_gone_are_mended(url: str, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    mirror(run.root, url)
    short, gone = model_of(url, "a"), model_of(url, "c")
    spoil(url, short, lambda data: data[:-1])
    remote(url).remove(gone)
    found = restore(url, tmp_path / "back")
    assert set(found.damaged.values()) == {
        f"{short}: has 76800 bytes, not 76801",
        f"{gone}: is not there",
    }
    assert mirror(run.root, url).files == 2
    assert restore(url, tmp_path / "back").stages == 2


@mostly
def test_an_altered_manifest_is_refused(url: str, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    mirror(run.root, url)
    name = model_of(url, "a").rpartition("/model/")[0] + "/manifest.json"
    spoil(url, name, lambda data: data.replace(b'"seconds": 1.0', b'"seconds": 2.0'))
    found = restore(url, tmp_path / "back")
    assert list(found.damaged.values()) == [f"{name}: altered, or not this stage's"]
    assert mirror(run.root, url).complaint() is None
    assert restore(url, tmp_path / "back").damaged == {}


def test_an_artefact_under_another_stages_name_is_refused(url: str, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    mirror(run.root, url)
    stages = tmp_path / "bucket" / "deep" / "stages"
    a, b = (next(stages.glob(f"fetch-{name}-*")) for name in "ab")
    a.rename(stages / "aside")
    b.rename(a)
    assert set(restore(url, tmp_path / "back").damaged) == {a.name, "aside"}


@mostly
def test_an_artefact_made_again_replaces_the_old_one_manifest_first(url: str, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    mirror(run.root, url)
    stage = make_stage("fetch", "a", {"model": "a"})
    write_atomic(run.folder(stage) / "model" / "model.safetensors", b"other weights")
    write_manifest(stage, run.folder(stage), {}, 2.0)
    place = remote(url)
    spy(place, lambda name: OSError("reset") if name.endswith("model.safetensors") else None)
    assert mirror(run.root, place).failed
    assert f"stages/{stage.folder}/manifest.json" not in remote(url).sizes()
    assert mirror(run.root, url).complaint() is None
    restore(url, tmp_path / "back")
    assert contents(tmp_path / "back") == contents(run.root)


def test_a_file_that_went_bad_here_is_not_sent(url: str, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    path = next((run.root / "stages").glob("fetch-a-*")) / "model" / "model.safetensors"
    path.write_bytes(flipped(path.read_bytes()))
    done = mirror(run.root, url)
    assert list(done.failed.values()) == [
        f"{path}: does not have the hash it was written with; run the recipe again"
    ]
    assert restore(url, tmp_path / "back").stages == 2


def test_what_is_not_finished_is_left_out(url: str, tmp_path: Path) -> None:
    run, told = make_run(tmp_path / "run"), []
    (next((run.root / "stages").glob("fetch-c-*")) / "manifest.json").unlink()
    done = mirror_run(run.root, remote(url), told.append)
    assert told[0] == "mirror: 2 of 3 stages are finished; the others are left out"
    assert done.complaint() is None
    assert not [name for name in remote(url).sizes() if "fetch-c-" in name]


def test_a_mirror_killed_midway_goes_on(s3: str, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", names=tuple("abcdefgh"))
    script = (
        "import sys, threading, time; from pathlib import Path\n"
        "from pipelines.mirror import mirror_run; from pipelines.remote import Remote\n"
        "place = Remote(sys.argv[2]); put = place.fs.put_file; count = iter(range(1000))\n"
        "def slow(*a, **b):\n"
        "    if next(count) > 12: print('half', flush=True); time.sleep(100)\n"
        "    put(*a, **b)\n"
        "place.fs.put_file = slow\n"
        "mirror_run(Path(sys.argv[1]), place, lambda line: None)\n"
    )
    url = "s3://runs/killed"
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(run.root), url],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"half\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    half = remote(url).sizes()
    assert 0 < len(half) < len(contents(run.root))
    whole = restore(url, tmp_path / "early")
    assert whole.damaged == {}
    assert whole.stages < 8, "and what is there is whole"

    place = remote(url)
    sent = spy(place)
    done = mirror(run.root, place)
    assert done.complaint() is None
    assert not set(half) & set(sent) - {"events.jsonl", INDEX}, "what was there is not sent again"
    assert restore(url, tmp_path / "back").stages == 8
    assert contents(tmp_path / "back") == contents(run.root)


def test_a_restore_that_was_stopped_goes_on(url: str, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    mirror(run.root, url)
    place, fetched = remote(url), []
    get = place.fs.get_file

    def stopping(name: str, path: str) -> None:
        fetched.append(name)
        if len(fetched) == 7:
            raise KeyboardInterrupt
        get(name, path)

    place.fs = Watched(place.fs, get_file=stopping)
    with pytest.raises(KeyboardInterrupt):
        restore_run(place, tmp_path / "back", print)
    whole = [path for path in (tmp_path / "back" / "stages").iterdir() if read_manifest(path)]
    assert len(whole) == 1
    place = remote(url)
    found = restore_run(place, tmp_path / "back", print)
    assert (found.skipped, found.stages) == (1, 2)
    assert contents(tmp_path / "back") == contents(run.root)


@pytest.mark.parametrize(
    "name",
    [
        "../../evil",
        "/evil",
        "a/../../evil",
        "..",
        "a\\..\\evil",
        ".lock",
        "a//b",
        "",
        "manifest.json",
        "a\nb",
    ],
)
def test_a_manifest_that_points_elsewhere_is_refused(url: str, name: str, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    mirror(run.root, url)
    path = next((tmp_path / "bucket" / "deep" / "stages").glob("fetch-a-*")) / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest.pop("sha256")
    manifest["files"][name] = manifest["files"]["log.jsonl"]
    write_sealed(path, manifest)
    before = contents(tmp_path)
    with pytest.raises(InputError, match="would leave its folder") as caught:
        restore(url, tmp_path / "new" / "back")
    assert "\n" not in str(caught.value)
    new = contents(tmp_path).keys() - before.keys()
    assert not [name for name in new if not name.startswith("new/back/")]


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "stages/x/model/model.safetensors",
        ".bashrc",
        "stages/../model/README.md",
        "report/../../evil",
    ],
)
def test_an_index_that_points_elsewhere_is_refused(url: str, name: str, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    mirror(run.root, url)
    path = tmp_path / "bucket" / "deep" / INDEX
    index = json.loads(path.read_text(encoding="utf-8"))
    index.pop("sha256")
    index["files"][name] = index["files"]["run.json"]
    write_sealed(path, index)
    with pytest.raises(InputError, match="none of a run's own"):
        restore(url, tmp_path / "new" / "back")
    assert not (tmp_path / "new" / "evil").exists()


HASH = "0" * 64


@pytest.mark.parametrize(
    "change",
    [
        {"files": None},
        {"files": ["log.jsonl"]},
        {"files": {"log.jsonl": 0}},
        {"files": {"log.jsonl": {"bytes": 0}}},
        {"files": {"log.jsonl": {"bytes": -1, "sha256": HASH}}},
        {"files": {"log.jsonl": {"bytes": True, "sha256": HASH}}},
        {"files": {"log.jsonl": {"bytes": 0, "sha256": HASH.upper() + "\n"}}},
        {"files": {"log.jsonl": {"bytes": 0, "sha256": HASH}}},
        {"files": {"log.jsonl": {"bytes": 10**30, "sha256": HASH}}},
        {"stage": ["fetch"]},
        {"key": None},
    ],
)
def test_a_manifest_of_nonsense_is_left_out(url: str, change: dict[str, Any], tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    mirror(run.root, url)
    path = next((tmp_path / "bucket" / "deep" / "stages").glob("fetch-a-*")) / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest.pop("sha256")
    write_sealed(path, manifest | change)
    found = restore(url, tmp_path / "back")
    assert list(found.damaged) == [path.parent.name]
    assert found.stages == 2


def test_a_finished_artefact_takes_the_place_of_work_in_progress(url: str, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    mirror(run.root, url)
    here = contents(run.root)
    begun = next((run.root / "stages").glob("fetch-a-*"))
    (begun / "manifest.json").unlink()
    write_atomic(begun / "checkpoints" / "step-8" / "state.json", "{}")
    found = restore(url, run.root)
    assert (found.stages, found.skipped) == (1, 2)
    assert contents(run.root) == here


def test_a_watcher_is_followed(url: str, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    stages = tuple(make_stage("fetch", name, {"model": name}) for name in "abc")
    (run.folder(stages[1]) / "manifest.json").rename(tmp_path / "aside")
    told: list[Outcome] = []
    follower = Mirror(run, remote(url))
    follower.begin()
    nothing: Any = lambda *_: None  # noqa: E731
    plan = Plan(recipe="tiny", base=tmp_path, stages=stages)
    watcher = follower.follow(plan, Watcher(nothing, nothing, nothing, told.append))
    (tmp_path / "aside").rename(run.folder(stages[1]) / "manifest.json")
    outcomes = [Outcome("fetch-b", "done", 1.0), Outcome("fetch-c", "failed", 1.0, "no")]
    for outcome in outcomes:
        watcher.ended(outcome)
    assert follower.finish(nothing).complaint() is None
    assert told == outcomes, "who watched before is told as before"
    assert contents(tmp_path / "bucket" / "deep").keys() == contents(run.root).keys() | {INDEX}


def test_names_are_safe_or_not() -> None:
    assert is_safe_name("model/model-00001-of-00002.safetensors")
    assert is_safe_name("größe/文.txt")
    for name in ("a" * 300, None, 3, "a/./b", "a/", "\x00"):
        assert not is_safe_name(name), name


def test_the_runs_own_file_of_another_moment_is_left_out(url: str, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    mirror(run.root, url)
    spoil(url, "results.jsonl", lambda data: b"[]\n")
    found = restore(url, tmp_path / "back")
    assert found.damaged == {}
    assert ["results.jsonl" in note and "makes it again" in note for note in found.notes] == [True]
    assert not (tmp_path / "back" / "results.jsonl").exists()


def test_other_places_are_refused(url: str, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    mirror(run.root, url)
    other = make_run(tmp_path / "other", recipe="other")
    with pytest.raises(InputError, match="holds the mirror of the recipe 'tiny', not of 'other'"):
        mirror(other.root, url)
    with pytest.raises(InputError, match="belongs to the recipe 'other', not 'tiny'"):
        restore(url, other.root)
    with pytest.raises(InputError, match="cannot lie in the run folder"):
        mirror(run.root, f"file://{run.root}/mirror")
    with pytest.raises(InputError, match="no mirror of a run"):
        restore(f"file://{tmp_path}/empty", tmp_path / "back")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear", encoding="utf-8")
    with pytest.raises(InputError, match="not a run folder"):
        restore(url, tmp_path / "mine")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("s3", "no address of a store"),
        ("/data/mirror", "no address of a store"),
        ("s3://", "no address of a store"),
        ("simplecache::s3://a/b", "no address of a store"),
        ("nosuch://a/b", "Protocol not known"),
        ("s3://AKIA:hush-hush@bucket/x", "set AWS_ACCESS_KEY_ID"),
    ],
)
def test_an_address_that_is_none_is_one_line(url: str, says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        Remote(url)
    assert "\n" not in str(caught.value)
    assert "hush" not in str(caught.value)


def test_a_package_that_is_not_here_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(importlib.import_module("fsspec.registry")._registry, "s3", raising=False)
    with pytest.raises(InputError, match=r"pip install 'stepladder\[s3\]'"):
        Remote("s3://bucket/prefix")


def test_secrets_are_in_no_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "hf_very-hidden")
    from fsspec.implementations.memory import MemoryFileSystem

    place = Remote("memory://ann:pa%73s-word@host/deep?sig=signature")
    assert place.shown == "memory://host/deep"
    monkeypatch.setattr(
        MemoryFileSystem,
        "put_file",
        lambda *_, **__: (_ for _ in ()).throw(
            PermissionError("ann:pa%73s-word pass-word signature hf_very-hidden")
        ),
    )
    with pytest.raises(InputError) as caught:
        mirror(make_run(tmp_path / "run").root, place)
    for secret in ("pa%73s-word", "pass-word", "signature", "hf_very-hidden"):
        assert secret not in str(caught.value)


def test_the_commands(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path / "run")
    app(["mirror", str(run.root), url], standalone_mode=False)
    assert capsys.readouterr().out.splitlines()[-1].startswith(f"mirror: {url}: 22 files sent (23")
    app(["restore", url, str(tmp_path / "back")], standalone_mode=False)
    assert "restored: 3 of 3 finished stages; 22 files fetched" in capsys.readouterr().out
    spoil(url, model_of(url, "a"), flipped)
    with pytest.raises(InputError, match=r"left out, as damaged: .*stepladder mirror DIR URL --verify"):
        app(["restore", url, str(tmp_path / "new")], standalone_mode=False)


def test_a_run_that_is_not_mirrored_whole_ends_with_its_report_and_a_complaint(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = Mirrored(url, files=4, bytes=1234, seconds=2.0, failed={"pretrain-a-123": "timed out"})
    summary = RunSummary(tmp_path / "index.html", (), True, True, 9.0, failed)
    monkeypatch.setattr("pipelines.run.run_recipe", lambda *_, **__: summary)
    with pytest.raises(InputError, match=r"not mirrored: pretrain-a-123 \(timed out\)"):
        app(["run", "smoke", "--mirror", url], standalone_mode=False)
    assert capsys.readouterr().out.splitlines() == [
        "done in 9 s",
        f"report: {tmp_path / 'index.html'}",
        f"mirror: {url}: 4 files sent (1.23 kB), 0 were there, 2 s; 1 not mirrored",
    ]


@pytest.mark.slow
def test_a_recipe_run_with_a_mirror_goes_on_from_it_on_a_bare_machine(s3: str, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path)
    command = ("run", recipe, "--mirror", "s3://runs/whole", "--verify-mirror", "--out")
    first = stepladder(*command, tmp_path / "run", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    here = contents(tmp_path / "run")
    assert f"mirror: s3://runs/whole: {len(here)} files sent" in first.stdout

    back = stepladder("restore", "s3://runs/whole", tmp_path / "back", cwd=tmp_path)
    assert back.returncode == 0, back.stderr
    assert contents(tmp_path / "back") == here
    again = stepladder("run", recipe, "--out", tmp_path / "back", cwd=tmp_path)
    assert "nothing to do, all of it was there" in again.stdout
    assert contents(tmp_path / "back")["results.jsonl"] == here["results.jsonl"]

    gone = stepladder("run", recipe, "--mirror", "s3://nowhere/x", "--out", tmp_path / "new", cwd=tmp_path)
    assert (gone.returncode, gone.stderr.count("\n")) == (2, 1)
    assert not list((tmp_path / "new").glob("stages/*")), "before anything is trained"
