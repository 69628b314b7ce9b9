"""The rooms import each other in one direction, so that `eval` and `scaling_report` also work alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("pipelines", "eval", "scaling_report")

# What a room may import of its neighbours: a whole room, or the single modules named.
ALLOWED = {
    "pipelines": {"eval", "scaling_report"},
    "scaling_report": {"eval.results", "eval.files", "eval.tables", "eval.safety"},
    "eval": set(),
}


def imports_of(source: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the dotted name of everything that `source` imports, inside functions, too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            # `from eval import results` means eval.results; `from eval.results import Result` is inside it.
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def complaints(room: str, source: str) -> list[str]:
    """Return what in `source`, a module of `room`, goes against the direction; one line each."""
    found = []
    for line, name in imports_of(source):
        target = name.split(".")[0]
        if name == "eval":
            found.append(f"{line}: `import eval` hides the builtin; write `from eval.… import …`")
        elif target in {*ROOMS, "recipes"} - {room} and not is_allowed(room, name):
            found.append(f"{line}: {room} imports {name}")
    return found


def is_allowed(room: str, name: str) -> bool:
    return any(name == allowed or name.startswith(f"{allowed}.") for allowed in ALLOWED[room])


@pytest.mark.parametrize("room", ROOMS)
def test_every_module_imports_in_the_one_direction(room: str) -> None:
    modules = sorted((ROOT / room).rglob("*.py"))
    assert modules, f"{room} has no modules"
    wrong = [
        f"{path.relative_to(ROOT)}:{complaint}"
        for path in modules
        for complaint in complaints(room, path.read_text(encoding="utf-8"))
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("eval", "from pipelines.recipe import Recipe"),
        ("eval", "def f():\n    import scaling_report.fit"),
        ("scaling_report", "from eval.metrics import bleu"),
        ("scaling_report", "from eval import model"),
        ("scaling_report", "import pipelines.plan as plan"),
        ("pipelines", "import eval"),
        ("eval", "import eval"),
    ],
)
def test_an_import_against_the_direction_is_seen(room: str, source: str) -> None:
    assert len(complaints(room, source)) == 1


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("pipelines", "from eval.metrics import bleu\nfrom scaling_report.report import make_report"),
        ("scaling_report", "from eval.results import Result\nfrom eval import files"),
        ("scaling_report", "from .laws import LAWS\nimport evaluate"),
        ("eval", "from eval.metrics import bleu\nimport json"),
    ],
)
def test_an_import_along_the_direction_passes(room: str, source: str) -> None:
    assert complaints(room, source) == []
