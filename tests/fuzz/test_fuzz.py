"""A few hundred damaged inputs of every kind end in a result or in one line, and nothing outside is touched.

`benchmarks/fuzz.py` runs ten thousand.
"""

from __future__ import annotations

import random

import pytest

from tests.fuzz.run import run_target
from tests.fuzz.targets import TARGETS
from tests.fuzz.watch import Seen

EXAMPLES = 320


@pytest.mark.parametrize("name", [name for name in TARGETS if name != "report of a run"])
def test_damaged_inputs_end_in_a_result_or_in_one_line(name: str) -> None:
    findings: list[str] = []
    heard = 0

    def hear(rng: random.Random, seen: Seen) -> None:
        nonlocal heard
        heard += 1
        if not seen.is_well:
            findings.append(f"{seen.how}: {seen.told} {seen.outside or ''}")

    run_target(name, max(8, round(TARGETS[name].share * EXAMPLES)), hear)
    assert heard >= 8
    assert not findings, "\n".join(findings)
