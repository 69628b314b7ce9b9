"""When torch.compile is chosen: short runs, machines that cannot, measured gains, what is kept of them."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch._inductor import cpp_builder, exc

from pipelines import compiling
from pipelines.batches import Batch
from pipelines.compiling import Decision, compile_module, decide_compile
from pipelines.optim import Optimisation

CPU = torch.device("cpu")


class Guess(torch.nn.Module):
    """An objective that draws random numbers, as dropout does."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(10, width)

    def forward(self, batch: Batch) -> torch.Tensor:
        return torch.nn.functional.dropout(self.table(batch["input_ids"]), 0.5).square().sum()


class Zeros:
    """Batches of 4 rows of 8 tokens."""

    def batch(self, step: int) -> Batch:
        return {"input_ids": torch.zeros(4, 8, dtype=torch.long)}

    def lengths(self, step: int) -> list[int]:
        return [8] * 4


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "stepladder" / "compile"


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A machine that passes in 1 s, or 0.5 s once 40 s have been spent on compiling; what it was asked."""
    asked: list[str] = []

    def eager(*_: Any) -> float:
        asked.append("eager")
        return 1.0

    def compiled(*_: Any) -> Any:
        asked.append("compiled")
        return compiling._Speeds(eager=1.0, compiled=0.5, compile=40.0)

    monkeypatch.setattr(compiling, "why_not", lambda device: None)
    monkeypatch.setattr(compiling, "_measure_eager", eager)
    monkeypatch.setattr(compiling, "_measure_compiled", compiled)
    return asked


def _how(steps: int) -> Optimisation:
    return Optimisation(
        learning_rate=1.0,
        steps=steps,
        warmup_steps=0,
        schedule="constant",
        decay_fraction=0.0,
        weight_decay=0.0,
        beta1=0.9,
        beta2=0.95,
        clip=1.0,
    )


def _decide(steps: int, module: torch.nn.Module | None = None) -> Decision:
    return decide_compile(
        module or Guess(), Zeros(), _how(steps), micro_tokens=4096, autocast=nullcontext, device=CPU
    )


def test_a_short_run_is_never_compiled_to_find_out(measured: list[str]) -> None:
    decision = _decide(steps=200)
    assert not decision.compile
    assert decision.seconds_eager == 200.0
    assert measured == ["eager"]


def test_a_long_run_is_compiled_where_that_saves_more_than_it_costs(measured: list[str]) -> None:
    decision = _decide(steps=1000)
    assert decision == Decision(True, decision.reason, 1000.0, 500.0, 40.0)
    assert "1000 s" in decision.reason
    assert "500 s" in decision.reason


def test_what_compiling_costs_counts(measured: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    slow = compiling._Speeds(eager=1.0, compiled=0.9, compile=40.0)
    monkeypatch.setattr(compiling, "_measure_compiled", lambda *_: slow)
    assert not _decide(steps=400).compile  # saves 40 s and costs 40 s
    assert _decide(steps=1000).compile


def test_a_measurement_is_made_once(measured: list[str]) -> None:
    first, again = _decide(steps=1000), _decide(steps=1000)
    assert first == again
    assert measured == ["eager", "compiled"]
    assert not _decide(steps=50).compile  # the speeds are kept, not the answer
    assert measured == ["eager", "compiled"]
    _decide(steps=1000, module=Guess(width=8))
    assert measured == ["eager", "compiled"] * 2


BROKEN = ("", "{", "[1]", '{"eager": 1}', '{"eager": -1, "compiled": 1, "compile": 1}')


@pytest.mark.parametrize("content", BROKEN)
def test_a_broken_measurement_is_made_again(measured: list[str], own_cache: Path, content: str) -> None:
    expected = _decide(steps=1000)
    (file,) = own_cache.iterdir()
    file.write_text(content)
    assert _decide(steps=1000) == expected
    assert measured == ["eager", "compiled"] * 2


def test_without_a_compiler_training_stays_eager(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> str:
        raise exc.InvalidCxxCompiler

    monkeypatch.setattr(cpp_builder, "get_cpp_compiler", none)
    decision, module = _decide(steps=10**9), Guess()
    assert not decision.compile
    assert "no C++ compiler" in decision.reason
    assert compile_module(module) is module


def test_a_model_that_does_not_compile_stays_eager(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(batch: Batch) -> torch.Tensor:
        raise RuntimeError("no such operator")

    monkeypatch.setattr(compiling, "compile_module", lambda module: broken)
    monkeypatch.setattr(compiling, "why_not", lambda device: None)
    decision = _decide(steps=10**9)
    assert not decision.compile
    assert "failed" in decision.reason


def test_probing_leaves_weights_gradients_and_random_numbers_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "compile_module", lambda module: module)
    monkeypatch.setattr(compiling, "why_not", lambda device: None)
    torch.manual_seed(5)
    module, state = Guess(), torch.get_rng_state()
    before = module.table.weight.detach().clone()
    assert _decide(steps=10**9, module=module).compile_seconds is not None
    assert torch.equal(module.table.weight, before)
    assert module.table.weight.grad is None
    assert torch.equal(torch.get_rng_state(), state)


def test_what_is_probed_is_what_will_be_run(measured: list[str]) -> None:
    """Batches of 32 tokens: in parts of a row a step is four passes, and another measurement."""
    settings: Any = {"autocast": nullcontext, "device": CPU}
    assert decide_compile(Guess(), Zeros(), _how(100), micro_tokens=32, **settings).seconds_eager == 100.0
    assert decide_compile(Guess(), Zeros(), _how(1000), micro_tokens=32, **settings).seconds_eager == 1000.0
    assert decide_compile(Guess(), Zeros(), _how(1000), micro_tokens=8, **settings).seconds_eager == 4000.0
    assert measured == ["eager", "eager", "compiled", "eager", "compiled"]
