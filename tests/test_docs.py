"""The examples of the documentation, run as they stand; what they print is what the page says."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parent.parent / "docs"
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def run_page(text: str) -> list[tuple[str, str]]:
    """What each Python block that is followed by a block of text printed, and what the page says it prints.

    The blocks share their names, as in one session.
    """
    blocks = _BLOCK.findall(text)
    session: dict[str, object] = {}
    printed = []
    for place, (language, code) in enumerate(blocks):
        if language != "python":
            continue
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(code, f"block {place}", "exec"), session)
        said = blocks[place + 1] if place + 1 < len(blocks) else ("", "")
        if said[0] == "text":
            printed.append((out.getvalue(), said[1]))
    return printed


@pytest.mark.parametrize("page", ["library.md", "fitting.md"])
def test_the_examples_print_what_the_page_says(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = (DOCS / page).read_text(encoding="utf-8")
    assert "```python" in text
    for printed, said in run_page(text):
        assert printed == said


def test_an_example_that_prints_something_else_is_seen() -> None:
    ((printed, said),) = run_page("```python\nprint(1 + 1)\n```\n\n```text\n3\n```\n")
    assert (printed, said) == ("2\n", "3\n")
