"""What a machine lacks is said before anything runs, where that is sure without torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from eval.files import InputError
from pipelines import environment
from pipelines.environment import check_environment, surely_no_gpu
from pipelines.recipe_file import load_recipe
from pipelines.stages import LoopSettings
from tests.pipelines.recipes import GOOD, write


@pytest.fixture(params=["gpu", "no gpu"])
def gpu(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Linux, with or without a card."""
    has = request.param == "gpu"
    (tmp_path / "dev").mkdir()
    if has:
        (tmp_path / "dev" / "nvidia3").touch()
    monkeypatch.setattr(environment, "DEVICES", tmp_path / "dev")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return has


def complaint(folder: Path, *overrides: str) -> str | None:
    loaded = load_recipe(write(folder, GOOD), overrides)
    try:
        check_environment(loaded.recipe, LoopSettings.of(loaded))
    except InputError as error:
        return str(error)
    return None


def test_a_card_is_believed_and_one_that_is_hidden_is_not(gpu: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    assert surely_no_gpu() != gpu
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert surely_no_gpu()
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr("sys.platform", "win32")
    assert not surely_no_gpu(), "only torch can tell"


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("training.precision=fp16", "training.precision: fp16 needs a GPU; write bf16, fp32 or auto"),
        ("training.sharding=fsdp", "training.sharding: fsdp needs GPUs"),
    ],
)
def test_what_needs_a_gpu_is_refused_without_one(gpu: bool, tmp_path: Path, override: str, said: str) -> None:
    found = complaint(tmp_path, override)
    assert gpu or (found is not None and found.startswith(said))
    assert not gpu or found is None or "GPU" not in found


def test_a_package_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lora = "finetune=[{task: code-to-docstring, lora: {}}]"
    trackers = "training.trackers=[tensorboard, wandb]"
    monkeypatch.setattr(environment, "find_spec", lambda name: object())
    assert (complaint(tmp_path, lora), complaint(tmp_path, trackers)) == (None, None)
    monkeypatch.setattr(
        environment, "find_spec", lambda name: None if name in ("peft", "wandb") else object()
    )
    assert (
        complaint(tmp_path, lora) == "finetune.lora: needs peft; install it: pip install 'stepladder[lora]'"
    )
    assert "wandb is not installed; pip install 'stepladder[wandb]'" in str(complaint(tmp_path, trackers))


def test_deepspeed_needs_its_package_and_a_file_beside_the_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = "training.deepspeed=zero.json"
    monkeypatch.setattr(environment, "find_spec", lambda name: None)
    assert str(complaint(tmp_path, asked)).startswith(f"training.deepspeed: {tmp_path / 'zero.json'}: ")
    (tmp_path / "zero.json").write_text('{"zero_optimization": {"stage": 1}}', encoding="utf-8")
    assert "needs DeepSpeed; pip install 'stepladder[deepspeed]'" in str(complaint(tmp_path, asked))
    monkeypatch.setattr(environment, "find_spec", lambda name: object())
    assert complaint(tmp_path, asked) is None


def test_run_says_so_before_it_makes_a_folder_and_plan_says_it_last(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    ended = {}
    for command in ("plan", "run"):
        code = (
            f"import sys; sys.argv[1:] = ['{command}', 'recipe.yaml', 'training.trackers=[wandb]']\n"
            "from pipelines import environment, cli\n"
            "environment.find_spec = lambda name: None\n"
            "try: cli.main()\n"
            "finally: assert 'torch' not in sys.modules"
        )
        ended[command] = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
        )
    assert ended["plan"].returncode == 0, ended["plan"].stderr
    assert ended["plan"].stdout.splitlines()[-1].startswith("here it would not run: training.trackers: wandb")
    assert ended["run"].returncode == 2
    assert ended["run"].stderr.startswith("error: training.trackers: wandb is not installed")
    assert ended["run"].stderr.count("\n") == 1
    assert not (tmp_path / "runs").exists()
