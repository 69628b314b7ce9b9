"""The scripts and manifests of docs/scale.md: they parse, and the one for Slurm does what the page says."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from tests.test_docs import _BLOCK, DOCS

PAGE = (DOCS / "scale.md").read_text(encoding="utf-8")
BLOCKS = [(language, text) for language, text in _BLOCK.findall(PAGE)]
needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")


def _blocks(language: str) -> list[str]:
    return [text for kind, text in BLOCKS if kind == language]


@needs_bash
@pytest.mark.parametrize("script", _blocks("bash") + _blocks("sh"))
def test_scripts_parse(script: str) -> None:
    done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_manifest_says_what_the_page_says() -> None:
    manifest = next(text for text in _blocks("yaml") if "RayJob" in text)
    claim, job = yaml.safe_load_all(manifest)
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    spec = job["spec"]
    assert spec["entrypoint"].startswith("stepladder run /shared/ladder.yaml --executor ray")
    cluster = spec["rayClusterSpec"]
    pods = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    gpus = 0
    for pod in pods:
        (container,) = pod["template"]["spec"]["containers"]
        claims = [one.get("persistentVolumeClaim") for one in pod["template"]["spec"]["volumes"]]
        assert {"claimName": claim["metadata"]["name"]} in claims
        assert {"name": "shared", "mountPath": "/shared"} in container["volumeMounts"]
        assert container["image"].endswith(cluster["rayVersion"])
        limits = container["resources"]["limits"]
        gpus += pod.get("replicas", 1) * int(limits.get("nvidia.com/gpu", 0))
    assert gpus == 64
    assert all(isinstance(value, str) for pod in pods for value in pod["rayStartParams"].values())


def test_the_recipe_s_part_is_one() -> None:
    from pipelines.recipe_training import Training

    (part,) = [text for text in _blocks("yaml") if text.startswith("training:")]
    training = Training.model_validate(yaml.safe_load(part)["training"])
    assert training.workers == {"355m": 8, "1.5b": 64}


SHIMS = {
    "scontrol": 'if [ "$1" = show ]; then echo here; else echo "$@" >>"$LOG"; fi',
    "srun": 'while [ "${1#--}" != "$1" ]; do shift; done\nexec "$@"',
    "hostname": "echo 127.0.0.1",
    "ray": 'echo ray "$@" >>"$LOG"\nexec python3 -c "import socket, sys, time\n'
    "one = [a.partition('=')[2] for a in sys.argv if a.startswith('--port=')]\n"
    's = socket.create_server((\'127.0.0.1\', int(one[0])))\ntime.sleep(60)" "$@"',
    "stepladder": 'trap "exit 75" TERM\necho stepladder "$@" >>"$LOG"\nwhile true; do sleep 0.1; done',
}


@needs_bash
@pytest.mark.skipif(shutil.which("python3") is None, reason="plays Ray by python3")
def test_a_pre_empted_slurm_job_is_put_in_the_queue_again(tmp_path: Path) -> None:
    (script,) = _blocks("bash")
    (tmp_path / "ladder.sh").write_text(script)
    for name, body in SHIMS.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{body}\n")
        (tmp_path / name).chmod(0o755)
    log = tmp_path / "log"
    job = _job_with_a_free_port()
    slurm = {"SLURM_JOB_ID": str(job), "SLURM_JOB_NODELIST": "here", "SLURM_JOB_NUM_NODES": "1"}
    environment = os.environ | slurm | {"SLURM_CPUS_PER_TASK": "2", "LOG": str(log), "RECIPE": "tiny.yaml"}
    environment |= {"OUT": "runs/tiny", "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    process = subprocess.Popen(["bash", "ladder.sh"], cwd=tmp_path, env=environment, start_new_session=True)
    try:
        until = time.monotonic() + 60
        while not log.exists() or "stepladder" not in log.read_text():
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.05)
        time.sleep(0.5)  # for its trap
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 75
    finally:
        os.killpg(process.pid, signal.SIGKILL)
    port = 20000 + job % 10000
    ray, run, again = log.read_text().splitlines()
    assert ray.startswith("ray start --head --block")
    assert run == f"stepladder run tiny.yaml --executor ray --address 127.0.0.1:{port} --out runs/tiny"
    assert again == f"requeue {job}"


def _job_with_a_free_port() -> int:
    for job in range(os.getpid() % 5000, 10000):
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", 20000 + job)) != 0:
                return job
    raise AssertionError("no free port")
