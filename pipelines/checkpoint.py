"""Checkpoints of a training: written beside, synced, renamed; verified when read; no pickle anywhere.

A checkpoint is a folder with `model.safetensors`, `optimizer.safetensors` and, last, `state.json`, which has
the step, a hash of each tensor file and of itself, and whatever facts the loop wants back. A training resumes
from those in `checkpoints/step-…`; one that does not verify is set aside.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from eval.files import InputError, hash_file, read_sealed, write_sealed
from pipelines.optim import load_optimizer_tensors, sharded_as

KEPT = 2
TENSOR_FILES = ("model.safetensors", "optimizer.safetensors")
Tensors = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Checkpoint:
    """A verified checkpoint, loaded: `step` optimiser steps are done; `facts` is what the loop stored."""

    step: int
    model: dict[str, torch.Tensor]
    optimizer: dict[str, torch.Tensor]
    facts: dict[str, Any]


def save_checkpoint(
    folder: Path, step: int, model: Tensors, optimizer: Tensors, facts: Mapping[str, Any]
) -> None:
    """Leave `folder/step-…`, whole or not at all, and keep the last `KEPT`."""
    write_checkpoint(folder / f"step-{step:08d}", step, model, optimizer, facts)
    left = folder.glob(".step-*.tmp")  # half written when a process was killed
    for old in (*sorted(folder.glob("step-*"))[:-KEPT], *left):
        shutil.rmtree(old, ignore_errors=True)


def write_checkpoint(
    path: Path, step: int, model: Tensors, optimizer: Tensors, facts: Mapping[str, Any]
) -> None:
    """Make the folder `path` a checkpoint; until it is whole, what stood there before stays.

    `model` by parameter name, `optimizer` as `optim.optimizer_tensors` gives it.
    """
    beside = path.with_name(f".{path.name}.tmp")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    for file, tensors in zip(TENSOR_FILES, (model, optimizer), strict=True):
        save_file(dict(tensors), beside / file)
        _sync(beside / file)
    hashes = {file: hash_file(beside / file) for file in TENSOR_FILES}
    write_sealed(beside / "state.json", {"step": step, "files": hashes, "facts": dict(facts)})
    _sync(beside)
    shutil.rmtree(path, ignore_errors=True)
    beside.replace(path)
    _sync(path.parent)


def load_newest(
    folder: Path, check: Callable[[Checkpoint], None] = lambda checkpoint: None
) -> tuple[Checkpoint | None, list[str]]:
    """The newest checkpoint that verifies; a warning for each broken one, renamed to `broken-…`.

    check: raises InputError for one that lacks what else it needs.
    """
    warnings: list[str] = []
    for path in sorted(folder.glob("step-*"), reverse=True):
        try:
            found = load_checkpoint(path)
            check(found)
            return found, warnings
        except (InputError, FileNotFoundError) as error:
            aside = path.with_name(f"broken-{path.name}")
            shutil.rmtree(aside, ignore_errors=True)
            path.replace(aside)
            warnings.append(f"{path}: broken checkpoint ({error}); set aside, using the one before")
    return None, warnings


def load_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint of a folder. Raises InputError for one that is not there, not whole or altered."""
    try:
        state = read_sealed(path / "state.json")
        for file, expected in state["files"].items():
            if hash_file(path / file) != expected:
                raise InputError(f"{path / file}: does not have the hash it was written with")
        model, optimizer = (load_file(path / file) for file in TENSOR_FILES)
        return Checkpoint(int(state["step"]), model, optimizer, dict(state["facts"]))
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: no whole checkpoint ({error!r:.120})") from error


def restore(checkpoint: Checkpoint, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Copy a checkpoint's weights and optimiser state into a model and optimiser built the same way."""
    restore_weights(checkpoint, model)
    load_optimizer_tensors(optimizer, checkpoint.optimizer)


def restore_weights(checkpoint: Checkpoint, model: torch.nn.Module) -> None:
    """Copy a checkpoint's weights. Raises InputError for those of another model.

    Every rank has to call it where the model is sharded.
    """
    for module in model.modules():
        # what FSDP put together for a validation is a copy, and written to in vain
        reshard = getattr(module, "reshard", None)
        if reshard is not None:
            reshard()
    parameters = dict(model.named_parameters())
    for name in parameters.keys() ^ checkpoint.model.keys():
        raise InputError(f"checkpoint: {name} is in one of checkpoint and model only; it is another model's")
    with torch.no_grad():
        for name, parameter in parameters.items():
            if parameter.shape != checkpoint.model[name].shape:
                raise InputError(
                    f"checkpoint: {name} is {list(checkpoint.model[name].shape)}, the model's "
                    f"{list(parameter.shape)}; it is another model's"
                )
            parameter.copy_(sharded_as(parameter, checkpoint.model[name]))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
