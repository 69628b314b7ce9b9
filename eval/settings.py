"""The evaluation settings of a recipe; pydantic only, no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Scoring(BaseModel):
    """How written texts are compared with references; every field stands in the scores' signatures."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tokenize: Literal["words", "intl", "zh", "char"] = Field(
        "words",
        description="what BLEU, TER and ROUGE count: words (BLEU's 13a, ROUGE's a-z0-9), words of any script "
        "(intl), Chinese characters and other words (zh), characters (char)",
    )
    references: Literal["best", "average"] = Field(
        "best", description="of several references ROUGE takes the best by ROUGE-1, or the mean over all"
    )
    stemmer: bool = Field(True, description="ROUGE compares Porter's stems (words only)")
    exact: Literal["squad", "text"] = Field(
        "squad",
        description="exact_match: after SQuAD's normalisation, or of the text as it is, outer space aside",
    )


class EvalSettings(BaseModel):
    """How models are measured. All but `batch_tokens`, `batch_size` and `samples` may change a result."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tasks: tuple[str, ...] | None = Field(
        None, description="tasks to measure, by name (null: what was pretrained on and fine-tuned on)"
    )
    split: Literal["train", "validation", "test"] = Field("test", description="the split measured")
    max_items: int | None = Field(None, ge=1, description="items measured, evenly spaced (null: all)")
    context: int | None = Field(None, ge=2, description="window in tokens (null: the model's own)")
    stride: int | None = Field(None, ge=1, description="tokens a window moves on (null: half a context)")
    dtype: Literal["float32", "bfloat16"] = Field("float32", description="precision of the forward pass")
    begin: bool = Field(
        True, description="whether prompts begin with the begin-of-text token (documents always do)"
    )
    token_losses: bool = Field(True, description="keep the loss of every token of documents in the items")
    contamination: bool = Field(
        True, description="look for test items in the train split, and score the clean ones by themselves"
    )
    batch_tokens: int | None = Field(
        None, ge=1, description="padded tokens in a batch: speed and memory only (null: found)"
    )
    batch_size: int | None = Field(None, ge=1, description="most rows in a batch: speed and memory only")
    bootstrap: int = Field(1000, ge=2, description="bootstrap replicates for corpus metrics' standard errors")
    samples: int = Field(4, ge=0, description="items shown with the model's output, evenly spaced")
