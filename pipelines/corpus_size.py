"""How much text a corpus holds and how many tokens that makes, told without reading it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.corpus_document import SPLITS
from pipelines.corpus_files import find_splits, kind
from pipelines.corpus_stdlib import source_bytes
from pipelines.plan import Plan
from pipelines.store import read_manifest

# Assumed where the corpus is not prepared: what a compressed file unfolds to, and a parquet file.
UNFOLDED = {".gz": 3.5, ".parquet": 2.0}
# House figures of byte-level BPE on this package's corpora, linear in the vocabulary's logarithm.
_BYTES_A_TOKEN_AT_512 = 2.0
_BYTES_A_TOKEN_A_DOUBLING = 0.36


@dataclass(frozen=True)
class CorpusSize:
    """Training text: `train_tokens` to train on, `text_bytes` of all splits (None: not known), and how both
    are known: `exact` from the prepared streams, else estimated from sizes. `cleaned_bytes`: what is cleaned
    before `max_bytes` thins it; 0 once it is prepared."""

    train_tokens: float
    text_bytes: float | None
    exact: bool
    cleaned_bytes: float = 0.0


def corpus_size(plan: Plan, run: Path) -> CorpusSize | None:
    """The size of a plan's corpus: exact where its streams are prepared in the run folder, else estimated.

    None where nothing is pretrained, and for a hub set without `max_bytes`, whose size nobody told.
    """
    tokens = plan.find("prepare-tokens")
    if tokens is None:
        return None
    manifest = read_manifest(run / "stages" / tokens.folder)
    if manifest is not None:
        return CorpusSize(float(manifest["facts"]["tokens"]["train"]), None, True)
    corpus = plan.stage("prepare-corpus").settings
    size = _text_bytes(corpus, plan.base)
    if size is None:
        return None
    train, total, cleaned = size
    vocab_size = tokens.settings.get("vocab_size") or _vocabulary(plan)
    return CorpusSize(train / bytes_a_token(vocab_size), total, False, cleaned)


def bytes_a_token(vocab_size: int | None) -> float:
    """UTF-8 bytes that a token stands for, about: 2.0 with 512 ids, 4.4 with GPT-2's 50,257."""
    ids = max(258, vocab_size or 32_000)
    return _BYTES_A_TOKEN_AT_512 + _BYTES_A_TOKEN_A_DOUBLING * math.log2(ids / 512)


def _vocabulary(plan: Plan) -> int | None:
    sizes = [stage.settings["vocab_size"] for stage in plan.stages if stage.kind == "pretrain"]
    return next((size for size in sizes if size is not None), None)


def _text_bytes(corpus: Mapping[str, Any], base: Path) -> tuple[float, float, float] | None:
    """(for training, of all splits, of all before it is thinned), in bytes; None: not known."""
    most = corpus["max_bytes"] or math.inf
    named = corpus["splits"] is not None or isinstance(corpus["files"], Mapping)
    share = 1.0 if named else 1.0 - corpus["validation_fraction"] - corpus["test_fraction"]
    if corpus["files"]:
        sizes = _file_bytes(corpus["files"], base)
        whole = sizes.get("train", sizes.get(None, 0.0))
        train = min(most, whole)
        rest = sum(size for split, size in sizes.items() if split in SPLITS and split != "train")
        return train * share, train + rest, whole + rest
    if corpus["source"]:
        return (size := min(most, whole := float(source_bytes()))) * share, size, whole
    return None if most == math.inf else (most * share, most, most)


def _file_bytes(files: Any, base: Path) -> dict[str | None, float]:
    return {
        split: sum(path.stat().st_size * _unfolded(path) for path in paths.values())
        for split, paths in find_splits(files, base).items()
    }


def _unfolded(path: Path) -> float:
    gzipped = UNFOLDED[".gz"] if path.name.lower().endswith(".gz") else 1.0
    return gzipped * UNFOLDED.get(kind(path), 1.0)
