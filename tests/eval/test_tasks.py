"""What a model reads and learns to write: cut to the context, and the same for training and measuring."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from eval.files import InputError
from eval.settings import EvalSettings
from eval.tasks import TASKS, Classification, Generation
from eval.tasks.encoding import encode_for_label, encode_pairs, encode_prompts, stop_ids
from eval.tasks.rows import choose_evenly

DOCSTRINGS = TASKS["code-to-docstring"]
MODULES = TASKS["module-classification"]
assert isinstance(DOCSTRINGS, Generation)
assert isinstance(MODULES, Classification)
ROW = {
    "id": "a",
    "source": "def area(width, height):\n    return width * height\n",
    "target": "Return the\n area.",
}
LONG = {"id": "b", "source": "x = 1\n" * 200, "target": "word " * 100}


def test_a_short_pair_reads_as_it_was_written(tokenizer: Any) -> None:
    (pair,) = encode_pairs(DOCSTRINGS, tokenizer, [ROW], context=128)
    assert (
        tokenizer.decode(pair.prompt)
        == "<|endoftext|>def area(width, height):\n    return width * height\n# docstring:"
    )
    assert tokenizer.decode(pair.target) == " Return the area.<|endoftext|>"
    assert DOCSTRINGS.reference(ROW) == "Return the area."


def test_a_long_pair_fits_the_context_and_keeps_its_cue(tokenizer: Any) -> None:
    (pair,) = encode_pairs(DOCSTRINGS, tokenizer, [LONG], context=80)
    assert len(pair.prompt) + len(pair.target) == 80
    assert len(pair.target) == DOCSTRINGS.max_new_tokens
    assert pair.target[-1] != tokenizer.eos_token_id, "a target that was cut does not end"
    text = tokenizer.decode(pair.prompt)
    assert text.startswith("<|endoftext|>x = 1\n")
    assert text.endswith("\n# docstring:")


def test_a_completion_keeps_the_lines_just_before(tokenizer: Any) -> None:
    task = TASKS["code-completion"]
    assert isinstance(task, Generation)
    row = {"id": "a", "source": "".join(f"x{n} = {n}\n" for n in range(90)), "target": "x90 = 90"}
    (prompt,) = encode_prompts(task, tokenizer, [row], context=80)
    assert len(prompt) == 80 - task.max_new_tokens
    text = tokenizer.decode(prompt)
    assert text.startswith("<|endoftext|>")
    assert text.endswith("\nx89 = 89\n")


def test_training_and_measuring_read_the_same_prompt(tokenizer: Any) -> None:
    pairs = encode_pairs(DOCSTRINGS, tokenizer, [ROW, LONG], context=80)
    assert [pair.prompt for pair in pairs] == encode_prompts(DOCSTRINGS, tokenizer, [ROW, LONG], context=80)


def test_a_context_without_room_says_what_is_needed(tokenizer: Any) -> None:
    with pytest.raises(
        InputError, match=r"context 40: too short for code-to-docstring; (\d+) is the least"
    ) as caught:
        encode_prompts(DOCSTRINGS, tokenizer, [ROW], context=40)
    least = int(str(caught.value).split()[-4])
    assert len(encode_prompts(DOCSTRINGS, tokenizer, [ROW], context=least)[0]) == least - 32


def test_a_text_to_label_loses_its_end(tokenizer: Any) -> None:
    (text,) = encode_for_label(
        MODULES, tokenizer, [{"id": "a", "text": "x = 1\n" * 90, "label": "json"}], context=16
    )
    ids = text.ids
    assert len(ids) == 16
    assert tokenizer.decode(ids).startswith("<|endoftext|>x = 1\n")


def test_writing_stops_at_the_end_token_and_at_any_line_break(tokenizer: Any) -> None:
    stops = set(stop_ids(tokenizer))
    assert tokenizer.eos_token_id in stops
    assert set(tokenizer("\n    return\n\n", add_special_tokens=False)["input_ids"]) & stops
    texts = {token: tokenizer.decode([token]) for token in range(len(tokenizer))}
    assert stops == {token for token, text in texts.items() if "\n" in text or token == 0}


def test_an_even_subset_keeps_file_order() -> None:
    rows = [{"id": str(index)} for index in range(10)]
    assert [row["id"] for row in choose_evenly(rows, 4)] == ["0", "2", "5", "7"]
    assert choose_evenly(rows, None) == choose_evenly(rows, 99) == rows


def test_settings_are_frozen_and_know_their_fields() -> None:
    settings = EvalSettings(max_items=5)
    with pytest.raises(ValidationError, match="frozen"):
        settings.max_items = 6  # type: ignore[misc]
    with pytest.raises(ValidationError, match="Extra inputs"):
        EvalSettings(maxitems=5)  # type: ignore[call-arg]


def test_tasks_and_settings_import_without_torch() -> None:
    code = (
        "import sys, eval.settings, eval.tasks, eval.tasks.encoding;"
        "print({'torch', 'numpy', 'transformers'} & set(sys.modules))"
    )
    root = Path(__file__).resolve().parents[2]
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "set()"
