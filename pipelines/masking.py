"""Masking of training's windows: evaluation's own."""

from __future__ import annotations

from eval.masking import MaskVocabulary as MaskVocabulary
