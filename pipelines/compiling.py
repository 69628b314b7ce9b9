"""Whether torch.compile repays its time on a run: measured once for a shape and machine, then kept."""

from __future__ import annotations

import hashlib
import inspect
import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from eval.files import write_json
from pipelines import attention, fast, fused_loss
from pipelines.batches import Batch, Batches
from pipelines.environment import cache_folder, cpu_name
from pipelines.optim import Optimisation

# A run that eager mode ends sooner than this, in seconds, is neither probed nor compiled. On a processor
# compiling takes half a minute and saves a tenth of a step at best: fusing is worth less there.
WORTH_A_PROBE_S = {"cpu": 300.0, "cuda": 120.0}
MARGIN = 1.1  # what is saved has to be more than what is paid, by more than a measurement's noise
TIMED_STEPS = 5


@dataclass(frozen=True)
class Decision:
    """Whether to compile, and why. Seconds are of a whole run's forward and backward passes, or None
    where `reason` says why they were not measured."""

    compile: bool
    reason: str
    seconds_eager: float | None
    seconds_compiled: float | None
    compile_seconds: float | None


@dataclass(frozen=True)
class _Speeds:
    """Seconds of one probe step (forward and backward of one part of a batch), and of compiling."""

    eager: float
    compiled: float
    compile: float


def compile_module(module: torch.nn.Module) -> Any:
    """`module` compiled, sharing its parameters; the module itself where this machine cannot compile.

    Shapes are static: batches of changing length would be compiled again and again.
    """
    device = next(module.parameters()).device
    if why_not(device) is not None:
        return module
    return torch.compile(module, dynamic=False)


def why_not(device: torch.device) -> str | None:
    """Why nothing can be compiled for `device` here, or None where it can."""
    from torch._inductor import cpp_builder, exc

    if device.type == "cpu":
        try:
            cpp_builder.get_cpp_compiler()
        except (exc.InvalidCxxCompiler, RuntimeError):
            return "no C++ compiler was found"
    elif device.type == "cuda" and not torch.utils._triton.has_triton():
        return "triton is not installed"
    return None


def decide_compile(
    module: torch.nn.Module,
    batches: Batches,
    how: Optimisation,
    *,
    micro_tokens: int,
    autocast: Callable[[], AbstractContextManager[Any]],
    device: torch.device,
) -> Decision:
    """Whether compiling saves more of this run than it costs.

    module: an objective in training, before its first step; no weight moves, and random states are restored.
    micro_tokens: of a batch's parts. autocast: a fresh context for each pass. Short runs are settled by the
    time of a few eager passes.
    """
    whole = batches.batch(0)
    batch = _part(whole, micro_tokens, device)
    passes = how.steps * whole["input_ids"].numel() / batch["input_ids"].numel()
    path = _cache_path(_key(module, batch, autocast, device))
    speeds = _cached(path)
    if speeds is None:
        eager = _measure_eager(module, batch, autocast, device)
        if eager * passes < WORTH_A_PROBE_S.get(device.type, 120.0):
            seconds = eager * passes
            return Decision(False, f"about {seconds:.0f} s in eager mode: too short", seconds, None, None)
        reason = why_not(device)  # asked late: it loads the compiler, which takes seconds
        if reason is not None:
            return Decision(False, f"{reason}: eager", eager * passes, None, None)
        speeds = _measure_compiled(module, batch, autocast, device, eager)
        if speeds is None:
            return Decision(False, "torch.compile failed on this model: eager", eager * passes, None, None)
        _keep(path, speeds)
    return _weigh(speeds, passes)


def _weigh(speeds: _Speeds, passes: float) -> Decision:
    eager, compiled = speeds.eager * passes, speeds.compiled * passes
    worth = compiled + MARGIN * speeds.compile < eager
    reason = (
        f"eager {eager:.0f} s, compiled {compiled:.0f} s after {speeds.compile:.0f} s of compiling (measured)"
    )
    return Decision(worth, reason, eager, compiled, speeds.compile)


def _part(batch: Batch, micro_tokens: int, device: torch.device) -> Batch:
    """The first rows of a batch, as the loop would put them through the model."""
    rows = max(1, micro_tokens // batch["input_ids"].shape[1])
    return {name: value[:rows].to(device) for name, value in batch.items()}


def _measure_eager(module: torch.nn.Module, batch: Batch, autocast: Any, device: torch.device) -> float:
    with torch.random.fork_rng(devices=_devices(device)):
        _pass(module, module, batch, autocast, device)
        return min(_pass(module, module, batch, autocast, device) for _ in range(TIMED_STEPS))


def _measure_compiled(
    module: torch.nn.Module, batch: Batch, autocast: Any, device: torch.device, eager: float
) -> _Speeds | None:
    with torch.random.fork_rng(devices=_devices(device)):
        compiled = compile_module(module)
        try:
            first = _pass(compiled, module, batch, autocast, device)
        except (torch._dynamo.exc.TorchDynamoException, RuntimeError, OSError):
            return None
        again = min(_pass(compiled, module, batch, autocast, device) for _ in range(TIMED_STEPS))
    return _Speeds(eager=eager, compiled=again, compile=max(0.0, first - again))


def _pass(called: Any, module: torch.nn.Module, batch: Batch, autocast: Any, device: torch.device) -> float:
    """Seconds of one forward and backward pass; the gradients are thrown away."""
    _wait(device)
    began = time.perf_counter()
    with autocast():
        nats = called(batch)
    (nats[0] if isinstance(nats, tuple) else nats).backward()
    _wait(device)
    seconds = time.perf_counter() - began
    module.zero_grad(set_to_none=True)
    return seconds


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _devices(device: torch.device) -> list[torch.device]:
    return [device] if device.type == "cuda" else []


def _key(module: torch.nn.Module, batch: Batch, autocast: Any, device: torch.device) -> str:
    """Hash of all that decides the speed: the model's shape, the batch's, precision, versions, machine."""
    with autocast():
        low = torch.is_autocast_enabled(device.type)
        dtype = str(torch.get_autocast_dtype(device.type)) if low else "fp32"
    sources = "".join(inspect.getsource(room) for room in (attention, fast, fused_loss))
    facts = {
        "objective": [type(module).__name__, type(getattr(module, "model", module)).__name__],
        "parameters": [[name, list(value.shape)] for name, value in module.named_parameters()],
        "training": module.training,
        "checkpointing": any(getattr(part, "gradient_checkpointing", False) for part in module.modules()),
        "batch": {name: list(value.shape) for name, value in batch.items()},
        "dtype": dtype,
        "torch": torch.__version__,
        "processor": processor(device),
        "threads": torch.get_num_threads(),
        "code": hashlib.sha256(sources.encode()).hexdigest(),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:24]


def processor(device: torch.device) -> str:
    """The name of the GPU, or of the processor."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name()


def _cache_path(key: str) -> Path:
    return cache_folder() / "compile" / f"{key}.json"


def _cached(path: Path) -> _Speeds | None:
    """What was measured before; None where nothing was, or where the file is no such measurement."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        speeds = _Speeds(**{name: float(value) for name, value in found.items()})
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    return speeds if min(asdict(speeds).values()) >= 0 else None


def _keep(path: Path, speeds: _Speeds) -> None:
    """Keep a measurement, atomically; a folder that cannot be written costs the next run a probe, no more."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, asdict(speeds))
    except OSError:
        return
