"""transformers' trainer_state.json -> rows: one for every logged step of a run, its end marked."""

from __future__ import annotations

import contextlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from eval.files import InputError, hash_file, hash_json, read_json
from scaling_report.sources.table import ANNEALED, Row, Table

DECAYED = 0.2  # of the peak: a cosine to a tenth ends below it, a constant rate or an inverse root above
LATE = 0.9  # of the steps: a rate logged before then says little of the rate at the end
_CHECKPOINT = re.compile(r"checkpoint-\d+")
_LONGEST_HEADER = 100 * 2**20  # bytes; the format's own limit
_OTHERS = ("epoch", "grad_norm", "learning_rate", "num_input_tokens_seen", "step", "total_flos")


def is_state(value: Any) -> bool:
    """Whether a file's value is what transformers' `Trainer` keeps (`TrainerState`, trainer_callback.py)."""
    return isinstance(value, dict) and isinstance(value.get("log_history"), list)


def read_states(paths: Sequence[Path], base: Path, name: str) -> Table:
    """Columns: run (its folder), step, n (all parameters), d (tokens), c (FLOPs), annealed, what was logged.

    A run's checkpoints are parts of one history, so of each run the state that went furthest is read. n is
    counted in the model.safetensors beside it, None where there is none. d takes the run's setting
    `include_num_input_tokens_seen`; c is `total_flos`, 6·N·D of the parameters without embeddings.
    """
    furthest: dict[Path, dict[str, Any]] = {}
    weights: dict[Path, list[Path]] = {}
    for path in paths:
        state = read_json(path)
        if not is_state(state):
            raise InputError(f"{path}: has no log_history, so it is no trainer_state.json; leave it out")
        folder = path.parent.parent if _CHECKPOINT.fullmatch(path.parent.name) else path.parent
        weights.setdefault(folder, [folder]).append(path.parent)
        with _whole(folder):
            if folder not in furthest or _end(state) >= _end(furthest[folder]):
                furthest[folder] = state
    rows: list[dict[str, Any]] = []
    for folder, state in furthest.items():
        run = folder.relative_to(base).as_posix() if folder.is_relative_to(base) else folder.name
        size = _size(weights[folder])
        with _whole(folder):
            rows += _steps(state, folder.resolve().name if run == "." else run, size)
    return Table(
        name=name,
        rows=rows,
        places=[f"{row['run']}, step {row['step']}" for row in rows],
        kinds=(),
        identity=("run",),
        fingerprint=hash_json({str(path): hash_file(path) for path in paths}),
        sparse=True,
    )


@contextlib.contextmanager
def _whole(folder: Path) -> Iterator[None]:
    """`InputError` for a state that holds something else where a number or an entry should be."""
    try:
        yield
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{folder}: its trainer_state.json is not whole ({reason}); leave it out") from error


def _steps(state: Mapping[str, Any], run: str, size: int | None) -> list[dict[str, Any]]:
    """Rows by step: those before the last are not annealed, the last may be."""
    entries = [entry for entry in state["log_history"] if isinstance(entry, Mapping)]
    end = _end(state)
    rows: dict[int, dict[str, Any]] = {}
    for entry in entries:
        step = int(entry.get("step") or 0)
        unknown = {"n": size, "total": size, "d": None, "c": None}
        row = rows.setdefault(step, {"run": run, "step": step, **unknown, ANNEALED: False})
        row["d"] = _count(entry.get("num_input_tokens_seen")) or row["d"]
        row.update({key: value for key, value in entry.items() if key not in _OTHERS})
    if end in rows:
        last = rows[end]
        last[ANNEALED] = is_annealed(state)
        last["d"] = _count(state.get("num_input_tokens_seen")) or last["d"]
        last["c"] = _count(state.get("total_flos"))
        _carry_loss(state, entries, last)
    return [rows[step] for step in sorted(rows)]


def _carry_loss(state: Mapping[str, Any], entries: Sequence[Row], last: dict[str, Any]) -> None:
    """The training loss of the last logging window, which may have ended some steps before the run did."""
    logged = [entry for entry in entries if "loss" in entry]
    window = state.get("logging_steps") or 1
    if "loss" not in last and logged and last["step"] - int(logged[-1].get("step") or 0) < window:
        last["loss"] = logged[-1]["loss"]


def is_annealed(state: Mapping[str, Any]) -> bool | None:
    """Whether a run's learning rate had decayed at its last step; None where the logs do not tell.

    False where the run stopped before `max_steps`, and where the rate logged over the last tenth of the steps
    is still above a fifth of its peak.
    """
    end = _end(state)
    if end < int(state.get("max_steps") or 0):
        return False
    rates = [
        (int(entry.get("step") or 0), float(entry["learning_rate"]))
        for entry in state["log_history"]
        if isinstance(entry.get("learning_rate"), int | float)
    ]
    if not rates:
        return None
    step, rate = rates[-1]
    peak = max(one for _, one in rates)
    if rate <= DECAYED * peak:
        return True
    return False if step >= LATE * end else None


def _end(state: Mapping[str, Any]) -> int:
    """The last step that a run took."""
    return int(state.get("global_step") or 0)


def _count(value: Any) -> float | None:
    """A count above zero; the trainer writes zero for what it did not count."""
    return float(value) if isinstance(value, int | float) and value > 0 else None


def _size(folders: Sequence[Path]) -> int | None:
    """All parameters of the weights beside a state: those of the file's header, tied ones stored once."""
    for folder in folders:
        files = sorted(folder.glob("model*.safetensors"))
        if files:
            return sum(_parameters(path) for path in files)
    return None


def _parameters(path: Path) -> int:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = file.read(length) if length <= _LONGEST_HEADER else b""
    try:
        tensors = json.loads(header)
        return int(sum(math.prod(one["shape"]) for name, one in tensors.items() if name != "__metadata__"))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path}: not a whole safetensors file; save the model again") from error
