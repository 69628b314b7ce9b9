"""Rungs to shapes of GPT-2 or BERT: depth, width and heads for a size, and exact counts by convention.

Widths are whole multiples of one head size, so attention's scale is the same on every rung. Depth follows
width: among the shapes near a target one close to `preferred_depth` wins, so that a ladder grows in both.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

# House prior: a layer for every 72 of width, near GPT-2 small's 64 (Radford 2019; 12x768). Small models want
# no more: after 0.5M tokens of the standard library (one seed, best of 1 to 3 rates, picked on the same
# documents) 1x64 had 2.19 bits per byte and 4x32 2.30; 2x208 had 2.11, 3x160 2.16 and 5x128 2.22.
_WIDTH_A_LAYER = 72
# What a shape off the preferred depth costs against one off the wanted size, both as squared logarithms: at
# 1/60, twice or half the preferred depth weighs as much as missing the size by 9 %.
_DEPTH_WEIGHT = 1 / 60
# The furthest a chosen shape may lie from its target; beyond it the head size is too coarse for the target.
_MAX_MISS = 0.25


@dataclass(frozen=True)
class Shape:
    """A GPT-2 or BERT by its three numbers: heads share the width `n_embd`, MLPs are four times it."""

    n_layer: int
    n_embd: int
    n_head: int

    def __str__(self) -> str:
        return f"{self.n_layer}x{self.n_embd}"


@dataclass(frozen=True)
class Rung:
    """One size of a ladder: its name (`13k`), its shape, and the seeds it is trained with."""

    name: str
    shape: Shape
    seeds: tuple[int, ...]


TOKEN_TYPES = 2  # BERT tells a first text from a second


def count_non_embedding(shape: Shape, family: str = "gpt2") -> int:
    """Parameters outside every embedding table and the output head: what is meant by N.

    A block of width d has 4d² + 4d attention, 8d² + 5d MLP and 4d norm parameters, in both families. Beside
    its blocks a GPT-2 has its last norm, 2d; a BERT its embeddings' norm, 2d, and the d² + 3d of the
    transform between its last block and the masked-LM head (a fine-tuned one has a pooler of d² + d there).
    """
    d = shape.n_embd
    blocks = shape.n_layer * (12 * d * d + 13 * d)
    if family == "bert":
        return blocks + 2 * d + _transform(d)
    assert family == "gpt2", family
    return blocks + 2 * d


def count_params(shape: Shape, vocab_size: int, context: int, family: str = "gpt2") -> dict[str, int]:
    """Exact parameter counts of the language model, `GPT2LMHeadModel` or `BertForMaskedLM`, its head tied.

    - `total`: everything, the tied table once;
    - `non_embedding`: without the tables of tokens, positions and types, and without the head's bias
      (GPT-2 small: 85,056,000 of 124,439,808; BERT-base: 85,648,128 of 109,514,298);
    - `matmul`: non-embedding plus the output head, which costs its FLOPs although its weights are tied.

    These are the counts that runs and reports use, for fine-tuned models too, so that a rung stands at one
    place whatever its head; `count_classifier` has a classifier's own.
    """
    d = shape.n_embd
    non_embedding = count_non_embedding(shape, family)
    bias = vocab_size if family == "bert" else 0
    return {
        "total": non_embedding + (vocab_size + context + _types(family)) * d + bias,
        "non_embedding": non_embedding,
        "matmul": non_embedding + vocab_size * d + bias,
    }


def count_classifier(shape: Shape, vocab_size: int, context: int, labels: int, family: str = "gpt2") -> int:
    """All parameters of `GPT2ForSequenceClassification` or `BertForSequenceClassification`.

    A GPT-2's head is a matrix; a BERT has a pooler and a head with biases in place of the masked-LM head.
    BERT-base without its classifier has 109,482,240, which Devlin 2018 rounds to 110M.
    """
    d = shape.n_embd
    body = count_params(shape, vocab_size, context, family)["total"]
    if family == "gpt2":
        return body + labels * d
    return body - _transform(d) - vocab_size + (d * d + d) + labels * d + labels


def _transform(width: int) -> int:
    """BERT's masked-LM transform: a matrix, its bias and a norm."""
    return width * width + 3 * width


def _types(family: str) -> int:
    """Rows of the table of token types."""
    return TOKEN_TYPES if family == "bert" else 0


def preferred_depth(width: int) -> float:
    """Layers a width asks for: one for every 72."""
    return width / _WIDTH_A_LAYER


def choose_shape(target_non_embedding: float, head_size: int) -> Shape:
    """The shape nearest in log size to a wanted non-embedding count, leaning towards the preferred depth.

    Raises `ValueError` when no shape of this head size comes within 25 % of the target.
    """
    near = _shapes_near(target_non_embedding, head_size)
    best = min(near, key=lambda shape: _badness(shape, target_non_embedding))
    size = count_non_embedding(best)
    if abs(size / target_non_embedding - 1) > _MAX_MISS:
        raise ValueError(
            f"no shape with heads of {head_size} comes near {target_non_embedding:,.0f} parameters "
            f"(nearest: {best} with {size:,}); change the target or set a smaller ladder.head_size"
        )
    return best


def parse_shape(text: str, head_size: int) -> Shape:
    """The shape written layers x width, such as `2x64`; `ValueError` if it is not one or heads do not fit."""
    match = re.fullmatch(r"([1-9]\d{0,3})x([1-9]\d{0,5})", text)
    if match is None:
        raise ValueError(f"{text!r} is not a shape; write layers x width, such as 2x64")
    n_layer, n_embd = int(match[1]), int(match[2])
    if n_embd % head_size:
        nearest = max(1, round(n_embd / head_size)) * head_size
        raise ValueError(
            f"{text}: width {n_embd} is not a multiple of head size {head_size}; "
            f"write {n_layer}x{nearest} or change ladder.head_size"
        )
    return Shape(n_layer, n_embd, n_embd // head_size)


def build_rungs(shapes: Sequence[Shape], seed_counts: Sequence[int]) -> tuple[Rung, ...]:
    """Name the shapes by their size (`13k`, `28k`, …) and give each its seeds 0, 1, …

    A name does not depend on the other rungs, so that one more leaves the others' artefacts as they are; only
    sizes that read alike get their shape behind them (`13k-1x32`).
    """
    sizes = [human_count(count_non_embedding(shape)) for shape in shapes]
    return tuple(
        Rung(size if sizes.count(size) == 1 else f"{size}-{shape}", shape, tuple(range(seeds)))
        for size, shape, seeds in zip(sizes, shapes, seed_counts, strict=True)
    )


def human_count(count: float) -> str:
    """A count in two or three characters and a unit: 950, 13k, 448k, 1.2m, 85m, 1.5b."""
    for unit, size in (("b", 1e9), ("m", 1e6), ("k", 1e3)):
        if count >= size * 0.9995:
            scaled = count / size
            return f"{scaled:.1f}".removesuffix(".0") + unit if scaled < 9.95 else f"{scaled:.0f}{unit}"
    return f"{count:.0f}"


def _shapes_near(target: float, head_size: int) -> list[Shape]:
    """For every width whose single layer is not twice too large: the two depths around the target."""
    shapes = []
    heads = 1
    while heads == 1 or count_non_embedding(Shape(1, heads * head_size, heads)) < 2 * target:
        width = heads * head_size
        depth = (target - 2 * width) / (12 * width * width + 13 * width)
        shapes += [Shape(max(1, layers), width, heads) for layers in (math.floor(depth), math.ceil(depth))]
        heads += 1
    return shapes


def _badness(shape: Shape, target: float) -> float:
    miss = math.log(count_non_embedding(shape) / target)
    lean = math.log(shape.n_layer / preferred_depth(shape.n_embd))
    return miss**2 + _DEPTH_WEIGHT * lean**2
