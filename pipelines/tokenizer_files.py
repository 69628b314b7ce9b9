"""Look at a saved tokenizer's files, without the libraries that run it, while a run is being planned."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.files import InputError

# Any one of these lines is a tokenizer that transformers loads.
WANTED = (
    ("tokenizer.json",),
    ("vocab.json", "merges.txt"),
    ("vocab.txt",),
    ("tokenizer.model",),
    ("spiece.model",),
)


@dataclass(frozen=True)
class KnownTokenizer:
    """What its files tell: ids in all (None: unknown), whether it has a [MASK], and an end of text.

    A masked-LM needs the one, a causal LM the other.
    """

    vocab_size: int | None
    masks: bool
    ends: bool


def check_tokenizer_folder(path: Path, where: str = "tokenizer.pretrained") -> KnownTokenizer:
    """What a folder with a saved tokenizer holds; `InputError` where there is no folder or no tokenizer.

    `where` names the setting in the message. Light: reads JSON, imports neither transformers nor tokenizers.
    """
    path = Path(path)
    if not path.is_dir():
        raise InputError(f"{where}: {path} is not a folder; name one that save_pretrained wrote")
    if not any(all((path / name).is_file() for name in names) for names in WANTED):
        raise InputError(
            f"{where}: {path} holds no tokenizer (no tokenizer.json, vocab.json with merges.txt, or "
            "vocab.txt); name a folder that save_pretrained wrote"
        )
    config = _json(path / "tokenizer_config.json", where)
    special = {name: _text(config.get(name)) for name in ("mask_token", "eos_token", "bos_token")}
    if not (path / "tokenizer.json").is_file():
        if "auto_map" in config:
            raise InputError(f"{where}: {path} needs code of its own, which is never run; choose another")
        bert = (path / "vocab.txt").is_file()
        lines = (path / "vocab.txt").read_bytes().count(b"\n") if bert else None
        return KnownTokenizer(lines, bert or bool(special["mask_token"]), not bert)
    data = _json(path / "tokenizer.json", where)
    vocabulary = (data.get("model") or {}).get("vocab")
    if not isinstance(vocabulary, dict | list):
        raise InputError(f"{where}: {path / 'tokenizer.json'} has no vocabulary in it; save it again")
    added = {_text(token) for token in data.get("added_tokens") or ()}
    known = set(vocabulary) if isinstance(vocabulary, dict) else {piece[0] for piece in vocabulary}
    masks = bool(special["mask_token"]) or "[MASK]" in added
    return KnownTokenizer(len(known | {token for token in added if token}), masks, bool(special["eos_token"]))


def _json(path: Path, where: str) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError as error:
        raise InputError(f"{where}: {path} is not JSON ({error}); save the tokenizer again") from error
    if not isinstance(value, dict):
        raise InputError(f"{where}: {path} is not a JSON object; save the tokenizer again")
    return value


def _text(token: Any) -> str | None:
    """A special token as a text: configurations write it as one or as an object with its content."""
    return token.get("content") if isinstance(token, dict) else token
