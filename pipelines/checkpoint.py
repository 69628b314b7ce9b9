"""Checkpoints of a rung in training: written beside, synced, renamed; verified when read; no pickle anywhere.

A checkpoint is a folder `step-00000120/` with `model.safetensors`, `optimizer.safetensors` and, last,
`state.json`, which holds the step, a hash of each tensor file and whatever facts the loop wants back. A
folder that does not verify is set aside.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from eval.files import InputError, hash_file, read_text, write_json

KEPT = 2
TENSOR_FILES = ("model.safetensors", "optimizer.safetensors")


@dataclass(frozen=True)
class Checkpoint:
    """A verified checkpoint, loaded: `step` optimiser steps are done; `facts` is what the loop stored."""

    step: int
    model: dict[str, torch.Tensor]
    optimizer: dict[str, torch.Tensor]
    facts: dict[str, Any]


def save_checkpoint(
    folder: Path,
    step: int,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    facts: Mapping[str, Any],
) -> None:
    """Leave `folder/step-…`, whole or not at all, and keep the last `KEPT`."""
    name = f"step-{step:08d}"
    beside = folder / f".{name}.tmp"
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    save_file(dict(model.named_parameters()), beside / "model.safetensors")
    save_file(_optimizer_tensors(optimizer), beside / "optimizer.safetensors")
    for file in TENSOR_FILES:
        _sync(beside / file)
    hashes = {file: hash_file(beside / file) for file in TENSOR_FILES}
    write_json(beside / "state.json", {"step": step, "sha256": hashes, "facts": dict(facts)})
    shutil.rmtree(folder / name, ignore_errors=True)
    beside.replace(folder / name)
    _sync(folder)
    for old in sorted(folder.glob("step-*"))[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)


def load_newest(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """The newest checkpoint that verifies; a warning for each broken one, renamed to `broken-…`."""
    warnings: list[str] = []
    for path in sorted(folder.glob("step-*"), reverse=True):
        try:
            return _load(path), warnings
        except (InputError, SafetensorError, OSError, ValueError, KeyError) as error:
            aside = path.with_name(f"broken-{path.name}")
            shutil.rmtree(aside, ignore_errors=True)
            path.replace(aside)
            warnings.append(f"{path}: broken checkpoint ({error}); set aside, using the one before")
    return None, warnings


def restore(checkpoint: Checkpoint, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Copy a checkpoint's weights and optimiser moments into a model and optimiser built the same way."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(checkpoint.model[name])
    for index, parameter in enumerate(_parameters(optimizer)):
        optimizer.state[parameter] = {
            key: checkpoint.optimizer[f"{index}.{key}"].to(parameter.device)
            for key in ("step", "exp_avg", "exp_avg_sq")
        }


def _load(path: Path) -> Checkpoint:
    state = json.loads(read_text(path / "state.json"))
    for file, expected in state["sha256"].items():
        if hash_file(path / file) != expected:
            raise ValueError(f"{file} does not have the hash it was written with")
    model, optimizer = (load_file(path / file) for file in TENSOR_FILES)
    return Checkpoint(int(state["step"]), model, optimizer, state["facts"])


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """AdamW's state, flat: `<parameter's index>.<exp_avg | exp_avg_sq | step>`."""
    return {
        f"{index}.{key}": value.contiguous()
        for index, parameter in enumerate(_parameters(optimizer))
        for key, value in optimizer.state[parameter].items()
    }


def _parameters(optimizer: torch.optim.Optimizer) -> list[torch.nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
