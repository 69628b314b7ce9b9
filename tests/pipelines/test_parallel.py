"""Batches come back in order from any number of processes, which end with the one that started them."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import psutil
import pytest

from eval.files import InputError
from pipelines.corpus import prepare_corpus
from pipelines.parallel import ALONE, map_in_order
from tests.pipelines.corpora import settings


def test_results_are_in_order_and_few_batches_start_no_process() -> None:
    batches = [["a" * n] for n in range(40, 0, -1)]
    expected = [f"{batch}" for batch in batches]
    assert list(map_in_order(repr, batches, 1)) == expected
    assert list(map_in_order(repr, batches, 2, alone=3)) == expected
    assert list(map_in_order(_pid, range(3), 2, alone=3)) == [os.getpid()] * 3
    assert os.getpid() not in set(map_in_order(os.getpgid, [0] * 4, 2, alone=3)) - {os.getpgid(0)}


def _pid(_: int) -> int:
    return os.getpid()


def test_what_a_batch_raises_goes_up_and_the_source_is_read_no_further() -> None:
    read = []

    def batches():  # type: ignore[no-untyped-def]
        for number in range(1000):
            read.append(number)
            yield str(number) if number != 8 else "eight"

    with pytest.raises(ValueError, match="eight"):
        list(map_in_order(int, batches(), 2, alone=3))
    assert len(read) < 30


def test_a_killed_process_is_told_in_a_line() -> None:
    with pytest.raises(InputError, match="a process of the preparation was killed") as error:
        list(map_in_order(os._exit, [3] * 9, 2, alone=1))
    assert "\n" not in str(error.value)


def test_a_stages_own_process_may_start_others(tmp_path: Path) -> None:
    """As in a run, whose stages are done by spawned workers of a pool."""
    text = " ".join(f"word{n}" for n in range(130_000))
    with (tmp_path / "data.jsonl").open("w") as file:
        for number in range(ALONE + 4):
            file.write(json.dumps({"text": f"{number} {text}"}) + "\n")
    chosen = settings(files=["data.jsonl"])
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        facts = pool.submit(prepare_corpus, chosen, tmp_path, tmp_path / "out", processes=2).result()
    assert facts["speed"]["clean"]["processes"] == 2
    assert sum(facts["documents"].values()) == ALONE + 4


def test_processes_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "main.py"
    script.write_text(
        "import time\n"
        "from pipelines.parallel import map_in_order\n"
        "if __name__ == '__main__':\n"
        "    print('begun', flush=True)\n"
        "    list(map_in_order(time.sleep, [60] * 9, 2, alone=1))\n"
    )
    root = Path(__file__).resolve().parents[2]
    process = subprocess.Popen(
        [sys.executable, str(script)], env={**os.environ, "PYTHONPATH": str(root)}, stdout=subprocess.PIPE
    )
    try:
        children: list[psutil.Process] = []
        for _ in range(100):
            time.sleep(0.1)
            children = [
                c for c in psutil.Process(process.pid).children() if "spawn_main" in " ".join(c.cmdline())
            ]
            if len(children) == 2:
                break
        assert len(children) == 2
        time.sleep(1.0)  # until they watch
    finally:
        process.kill()
        process.wait()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive
