"""A good recipe, and what becomes of it when it is written, changed and loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from eval.files import InputError
from pipelines.recipe_file import LoadedRecipe, load_recipe

GOOD = """\
name: tiny
corpus: {source: python-stdlib}
tokenizer: {train: bpe, vocab_size: 512}
context: 64
ladder:
  rungs:
    shapes: [1x32, 2x32]
budget:
  tokens: 60e3
training:
  learning_rate: 3e-4
finetune:
  - task: code-to-docstring
    epochs: 1
  - task: module-classification
"""


def write(folder: Path, text: str | bytes) -> str:
    path = folder / "recipe.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
    return str(path)


def complaint(folder: Path, text: str | bytes, *overrides: str) -> str:
    """The error that a recipe gets, with `recipe.yaml` for its path; always one line."""
    path = write(folder, text)
    with pytest.raises(InputError) as caught:
        load_recipe(path, overrides)
    line = str(caught.value)
    assert "\n" not in line
    return line.replace(path, "recipe.yaml")


def load(folder: Path, text: str = GOOD, *overrides: str) -> LoadedRecipe:
    return load_recipe(write(folder, text), overrides)
