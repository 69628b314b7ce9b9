"""Ladders that others published: their figures, each with its source, at parameter counts by closed form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

OverlayName = Literal["gpt2-zero-shot", "bert-miniatures"]

GPT2_VOCABULARY, GPT2_CONTEXT = 50_257, 1_024  # Radford 2019, section 2.3
BERT_VOCABULARY, BERT_CONTEXT, BERT_TYPES = 30_522, 512, 2  # Devlin 2018, uncased


@dataclass(frozen=True)
class PublishedPoint:
    """One published model: its name there, its parameters by convention, its value in the metric's unit."""

    name: str
    x: dict[str, float]
    value: float


@dataclass(frozen=True)
class PublishedLadder:
    """One column of a published table.

    `metric` is the report's name for what was measured there and `task` a word that a task of ours must have
    in its name for the values to mean the same, None for measures of running text. `caveat` says what keeps
    the values from being ours.
    """

    overlay: str
    title: str
    source: str
    family: str
    metric: str
    task: str | None
    caveat: str
    points: tuple[PublishedPoint, ...]


def gpt2_parameters(layers: int, width: int) -> dict[str, int]:
    """Parameters of a GPT-2, head tied. Blocks of 12·d² + 13·d, a last norm of 2·d, tables of V·d and T·d.

    Small, 12 x 768: 124,439,808 with and 85,056,000 without the tables (`GPT2LMHeadModel`).
    """
    body = layers * (12 * width**2 + 13 * width) + 2 * width
    return {
        "total": body + (GPT2_VOCABULARY + GPT2_CONTEXT) * width,
        "non_embedding": body,
        "matmul": body + GPT2_VOCABULARY * width,
    }


def bert_parameters(layers: int, width: int) -> dict[str, int]:
    """Parameters of a BERT by the report's convention, that of `BertForMaskedLM` with its head tied.

    Blocks as in GPT-2, the embeddings' norm, the head's transform of d² + 3·d and bias of V. Base, 12 x 768:
    109,514,298, of which 85,648,128 are in no table; without the head, with the pooler, it is the 110M of
    Devlin 2018.
    """
    body = layers * (12 * width**2 + 13 * width) + 2 * width + width**2 + 3 * width
    head = BERT_VOCABULARY * width + BERT_VOCABULARY
    return {
        "total": body + head + (BERT_CONTEXT + BERT_TYPES) * width,
        "non_embedding": body,
        "matmul": body + head,
    }


# Radford 2019, table 2: layers, width. The sizes printed there (117M, 345M, 762M, 1542M) are not the counts.
_GPT2_SHAPES = (("small", 12, 768), ("medium", 24, 1024), ("large", 36, 1280), ("xl", 48, 1600))
# Turc 2019, table 1, for the miniatures; Devlin 2018, section 3, for base and large.
_BERT_SHAPES = (
    ("tiny", 2, 128),
    ("mini", 4, 256),
    ("small", 4, 512),
    ("medium", 8, 512),
    ("base", 12, 768),
    ("large", 24, 1024),
)
_RADFORD = "Radford et al. 2019, table 3, zero-shot"
_TURC = "SST-2, GLUE test: tiny to medium Turc et al. 2019, base and large Devlin et al. 2018"
_OTHER_TEXT = "the text is another, and so are the tokenizer and the training data"
_WORDS = (
    "its words are those of the tokenised text with signs apart, after the authors' detokenisers; ours are "
    "split at white space; the text, the tokenizer and the training data are others"
)


def _gpt2(
    title: str, metric: str, task: str | None, caveat: str, values: tuple[float, ...]
) -> PublishedLadder:
    points = tuple(
        PublishedPoint(f"gpt2-{name}", dict(gpt2_parameters(layers, width)), value)
        for (name, layers, width), value in zip(_GPT2_SHAPES, values, strict=True)
    )
    return PublishedLadder("gpt2-zero-shot", title, _RADFORD, "gpt2", metric, task, caveat, points)


_MINIATURES = tuple(
    PublishedPoint(f"bert-{name}", dict(bert_parameters(layers, width)), value)
    for (name, layers, width), value in zip(
        _BERT_SHAPES, (0.832, 0.859, 0.897, 0.896, 0.935, 0.949), strict=True
    )
)

LADDERS: tuple[PublishedLadder, ...] = (
    _gpt2("GPT-2 on enwik8", "bits_per_byte", None, _OTHER_TEXT, (1.16, 1.01, 0.97, 0.93)),
    _gpt2("GPT-2 on WikiText-2", "word_perplexity", None, _WORDS, (29.41, 22.76, 19.93, 18.34)),
    _gpt2("GPT-2 on WikiText-103", "word_perplexity", None, _WORDS, (37.50, 26.37, 22.05, 17.48)),
    _gpt2(
        "GPT-2 on LAMBADA",
        "answer_perplexity",
        "lambada",
        "the perplexity is of the last word, after the authors' detokeniser",
        (35.13, 15.60, 10.87, 8.63),
    ),
    PublishedLadder(
        "bert-miniatures",
        "BERT on SST-2",
        _TURC,
        "bert",
        "accuracy",
        "sst2",
        "the test set is GLUE's hidden one, and pretraining was on Wikipedia and BooksCorpus",
        _MINIATURES,
    ),
)
