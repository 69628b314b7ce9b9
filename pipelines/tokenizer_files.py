"""Look at a saved tokenizer's files, without the libraries that run it, while a run is being planned."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.files import InputError, hash_file, hash_json
from eval.hub import fetch_files

# Any one of these lines is a tokenizer that transformers loads.
WANTED = (
    ("tokenizer.json",),
    ("vocab.json", "merges.txt"),
    ("vocab.txt",),
    ("tokenizer.model",),
    ("spiece.model",),
)
# What says of a GPT-2's or a BERT's tokenizer all that planning asks; the hub is asked for these.
FILES = (
    "tokenizer_config.json",
    "tokenizer.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "added_tokens.json",
)
END = "<|endoftext|>"  # ends a text where a GPT-2's files name nothing else
MASK = "[MASK]"


@dataclass(frozen=True)
class KnownTokenizer:
    """What its files tell: ids in all (None: unknown), whether it has a [MASK], and an end of text.

    A masked-LM needs the one, a causal LM the other. `numbering`: a hash of which id is whose and what is
    merged; two with the same one read token streams alike.
    """

    vocab_size: int | None
    masks: bool
    ends: bool
    numbering: str


@dataclass(frozen=True)
class FoundTokenizer:
    """A tokenizer to load, by absolute folder or hub name, and a hash of the files that make it up."""

    model: str
    fingerprint: str
    known: KnownTokenizer


def find_tokenizer(name: str, base: Path, objective: str) -> FoundTokenizer:
    """The tokenizer in a folder below `base`, else of that hub name, whose small files are fetched.

    Raises InputError for one that is nowhere, broken, or of the wrong kind for the objective.
    """
    folder = below(base, name)
    local = folder.is_dir()
    where = f"tokenizer.pretrained: {name}"
    if not local:
        folder = fetch_files(name, None, FILES, where)
    known = check_tokenizer_folder(folder, "tokenizer.pretrained" if local else where)
    if objective == "masked-lm" and not known.masks:
        raise InputError(f"{where}: has no mask token, which masked-lm needs; name a BERT's tokenizer")
    if objective == "causal-lm" and (known.masks or not known.ends):
        lacks = "masks tokens, as a BERT's does" if known.masks else "has no end-of-text token"
        raise InputError(f"{where}: {lacks}, which is not for causal-lm; name a GPT-2's")
    return FoundTokenizer(str(folder.resolve()) if local else name, _fingerprint(folder), known)


def below(base: Path, name: str) -> Path:
    """The folder that a recipe means by `name`: below `base`, below the home (`~/x`), or absolute."""
    return base / Path(name).expanduser()


def check_tokenizer_folder(path: Path, where: str = "tokenizer.pretrained") -> KnownTokenizer:
    """What a folder with a saved tokenizer holds; `InputError` where there is no folder or no tokenizer.

    `where` names the setting in the message. Light: reads JSON, imports neither transformers nor tokenizers.
    """
    path = Path(path)
    if not path.is_dir():
        raise InputError(f"{where}: {path} is not a folder; name one that save_pretrained wrote")
    if not _made_of(path):
        raise InputError(
            f"{where}: {path} holds no tokenizer (no tokenizer.json, vocab.json with merges.txt, or "
            "vocab.txt); name a folder that save_pretrained wrote"
        )
    config = _json(path / "tokenizer_config.json", where)
    if "auto_map" in config and not (path / "tokenizer.json").is_file():
        raise InputError(f"{where}: {path} needs code of its own, which is never run; choose another")
    ids, merges = _numbering(path, where)
    made_of = _made_of(path)
    masks = bool(_text(config.get("mask_token"))) or MASK in ids or made_of == ("vocab.txt",)
    ends = bool(_text(config.get("eos_token"))) or END in ids or "vocab.json" in made_of
    if not ids:  # a format that is not read here: what it says of itself is believed
        content = {name: hash_file(path / name) for name in made_of}
        return KnownTokenizer(None, masks, True, hash_json(content))
    return KnownTokenizer(len(ids), masks, ends, hash_json([ids, merges]))


def _made_of(path: Path) -> tuple[str, ...]:
    """The files that hold the vocabulary; none where there is no tokenizer."""
    return next((names for names in WANTED if all((path / name).is_file() for name in names)), ())


def _fingerprint(path: Path) -> str:
    names = [name for name in ("tokenizer_config.json", *_made_of(path)) if (path / name).is_file()]
    return hash_json({name: hash_file(path / name) for name in names})


def _numbering(path: Path, where: str) -> tuple[dict[str, Any], list[str]]:
    """Every token's id, and what is merged, in order; empty for a format that is not read here."""
    made_of = _made_of(path)
    if made_of == ("tokenizer.json",):
        data = _json(path / "tokenizer.json", where)
        ids = _vocabulary(data, where, path / "tokenizer.json")
        added = _list(data, "added_tokens")
        ids |= {str(_text(token)): token.get("id") for token in added if isinstance(token, dict)}
        pairs = _list(data["model"], "merges")
        return ids, [" ".join(map(str, pair)) if isinstance(pair, list) else str(pair) for pair in pairs]
    if "vocab.json" in made_of:
        lines = _lines(path / "merges.txt", where)
        ids = _json(path / "vocab.json", where) | _json(path / "added_tokens.json", where)
        return ids, [line for line in lines if line and not line.startswith("#version")]
    if "vocab.txt" in made_of:
        ids = {token: number for number, token in enumerate(_lines(path / "vocab.txt", where))}
        return ids | _json(path / "added_tokens.json", where), []
    return {}, []


def _vocabulary(data: Mapping[str, Any], where: str, path: Path) -> dict[str, Any]:
    """The ids of a tokenizer.json's model: by token, or in a list of tokens with their scores."""
    model = data.get("model")
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    if isinstance(vocabulary, dict):
        return dict(vocabulary)
    if isinstance(vocabulary, list) and all(isinstance(one, list) and one for one in vocabulary):
        return {str(piece[0]): number for number, piece in enumerate(vocabulary)}
    raise InputError(f"{where}: {path} has no vocabulary in it; save it again")


def _list(data: Mapping[str, Any], key: str) -> list[Any]:
    found = data.get(key)
    return found if isinstance(found, list) else []


def _lines(path: Path, where: str) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: {path} is not UTF-8; save the tokenizer again") from error


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
