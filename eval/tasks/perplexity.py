"""Perplexity: how well a causal language model predicts whole documents, per byte and per token."""

from __future__ import annotations

from eval.tasks.base import LanguageModelling

# A row may also carry `bytes`, the UTF-8 length of the text as first found, if `text` was tidied since.
PERPLEXITY = LanguageModelling(name="perplexity", fields=("id", "text"))
