"""Series of the same title say what differs, and no more than that."""

from __future__ import annotations

from typing import Any

import pytest

from scaling_report.frame import from_results
from tests.scaling_report.synthetic import result

KIND: dict[str, Any] = {"stage": "finetune", "task": "sst2", "objective": "classification"}


def _titles(*changes: dict[str, Any]) -> list[str]:
    results = [
        result("accuracy", 0.5 + size / 1e6, size=size, **{**KIND, **change})
        for change in changes
        for size in (1000, 2000)
    ]
    return [one.title.removeprefix("sst2: accuracy, test") for one in from_results(results).series]


@pytest.mark.parametrize(
    ("changes", "ends"),
    [
        ([{}], [""]),
        ([{"family": "gpt2"}, {"family": "bert"}], [" (BERT)", " (GPT-2)"]),
        ([{}, {"stage": "pretrain"}], [" (pretrained)", " (fine-tuned)"]),
        ([{}, {"data_fingerprint": "e" * 16}], [" (data dddddddd)", " (data eeeeeeee)"]),
        (
            [{"signature": "accuracy|context:64|begin:yes"}, {"signature": "accuracy|context:64|begin:no"}],
            [" (begin:no)", " (begin:yes)"],
        ),
        (
            [{"family": "bert"}, {"family": "gpt2"}, {"family": "gpt2", "stage": "pretrain"}],
            [" (GPT-2, pretrained)", " (BERT, fine-tuned)", " (GPT-2, fine-tuned)"],
        ),
    ],
)
def test_what_differs_is_said_and_nothing_else(changes, ends):
    assert _titles(*changes) == ends
