"""How well a language model predicts whole documents: one task for causal models, two for masked ones."""

from __future__ import annotations

from eval.tasks.base import LanguageModelling

# A row may also carry `bytes`, the UTF-8 length of the text as first found, if `text` was tidied since.
PERPLEXITY = LanguageModelling(name="perplexity", fields=("id", "text"))

# The loss of a masked language model where the same 15 % of tokens are hidden every time (Devlin 2018).
MASKED_LM = LanguageModelling(
    name="masked-lm",
    fields=("id", "text"),
    objective="masked-lm",
    asks="masked",
    metrics=("masked_lm_loss",),
)

# Every token hidden once (Salazar 2020): as many forward passes as tokens, so give it few items.
PSEUDO_PERPLEXITY = LanguageModelling(
    name="pseudo-perplexity",
    fields=("id", "text"),
    objective="masked-lm",
    asks="each",
    metrics=("pseudo_perplexity",),
)
