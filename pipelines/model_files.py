"""Look at a saved model's files, without torch, while a run is being planned."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from eval.files import InputError, hash_file, hash_json, read_text
from pipelines.known_models import KnownModel

SAMPLED_BYTES = 2**20  # of the beginning and the end of each weight file, for a fingerprint in no time
WEIGHTS = (".safetensors", ".bin")
# The table of tokens, by the end of its name in a GPT-2's and in a BERT's weights.
_TABLE = {"gpt2": "wte.weight", "bert": "embeddings.word_embeddings.weight"}


def read_model_config(folder: Path, where: str) -> dict[str, Any]:
    """A folder's config.json; `where` begins the message of every InputError."""
    path = folder / "config.json"
    if not path.is_file():
        raise InputError(f"{where}: no config.json in it; name a folder that save_pretrained wrote")
    try:
        config = json.loads(read_text(path))
    except ValueError as error:
        raise InputError(f"{where}: its config.json is broken ({error}); save the model again") from error
    if not isinstance(config, dict):
        raise InputError(f"{where}: its config.json is no model's; save the model again")
    return config


def check_weights(folder: Path, known: KnownModel, where: str) -> str:
    """A hash that tells the model from another, by its config and its weights' sizes, beginnings and ends.

    Raises InputError where there are no weights, for safetensors that are not whole, and for a table of
    tokens of another size than the config's.
    """
    for path in _weights(folder, where):
        if path.suffix == ".safetensors":
            _check_table(_read_header(path, where), known, f"{where}: {path.name}")
    return fingerprint_weights(folder, where)


def fingerprint_weights(folder: Path, where: str) -> str:
    """The hash that `check_weights` gives, of a model of any kind; InputError where there are no weights."""
    weights = _weights(folder, where)
    parts = {path.name: [path.stat().st_size, _sample(path)] for path in weights}
    return hash_json({"config": hash_file(folder / "config.json"), "weights": parts})


def _weights(folder: Path, where: str) -> list[Path]:
    weights = sorted(path for path in folder.iterdir() if path.suffix in WEIGHTS)
    if not weights:
        raise InputError(f"{where}: no weights in it; name a folder that save_pretrained wrote")
    return weights


def _read_header(path: Path, where: str) -> dict[str, Any]:
    """What a safetensors file says of its tensors: eight bytes of a length, so much JSON, then the values."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        text = file.read(length) if 8 + length <= size else b""
    try:
        header: dict[str, Any] = json.loads(text)
        ends = [value["data_offsets"][1] for name, value in header.items() if name != "__metadata__"]
        whole = 8 + length + max(ends, default=0) == size
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        whole = False
    if not whole:
        raise InputError(f"{where}: {path.name} is no whole safetensors file; save or fetch the model again")
    return header


def _check_table(header: Mapping[str, Any], known: KnownModel, where: str) -> None:
    wanted = [known.vocab_size, known.shape.n_embd]
    for name, value in header.items():
        if name.endswith(_TABLE[known.family]) and value.get("shape") != wanted:
            raise InputError(
                f"{where}: {name} is {value.get('shape')}, by its config.json {wanted}; they do not belong "
                "together, save or fetch the model again"
            )


def _sample(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        digest.update(file.read(SAMPLED_BYTES))
        file.seek(max(0, path.stat().st_size - SAMPLED_BYTES))
        digest.update(file.read(SAMPLED_BYTES))
    return digest.hexdigest()
