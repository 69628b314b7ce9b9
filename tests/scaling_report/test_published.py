"""Published ladders: parameter counts in closed form against known totals, figures as printed."""

from __future__ import annotations

import pytest

from eval.results import METRICS
from scaling_report.frame import from_results
from scaling_report.overlays import overlay_entries
from scaling_report.published import LADDERS, bert_parameters, gpt2_parameters
from scaling_report.settings import ReportSettings
from tests.scaling_report.synthetic import result


@pytest.mark.parametrize(
    ("layers", "width", "total"),
    [(12, 768, 124_439_808), (24, 1024, 354_823_168), (36, 1280, 774_030_080), (48, 1600, 1_557_611_200)],
)
def test_gpt2_totals_are_those_of_the_released_checkpoints(layers, width, total):
    assert gpt2_parameters(layers, width)["total"] == total


def test_non_embedding_counts_leave_every_table_out():
    assert gpt2_parameters(12, 768)["non_embedding"] == 85_056_000
    base = bert_parameters(12, 768)
    assert base["total"] == 109_514_298  # BertForMaskedLM
    assert base["non_embedding"] == base["total"] - (30_522 + 512 + 2) * 768 - 30_522 == 85_648_128


def test_bert_counts_are_those_of_the_published_table_within_its_rounding():
    printed = {
        (2, 128): 4.4,
        (4, 256): 11.3,
        (4, 512): 29.1,
        (8, 512): 41.7,
        (12, 768): 110.1,
    }  # Turc 2019, table 1
    for (layers, width), millions in printed.items():
        with_pooler = bert_parameters(layers, width)["total"] - 30_522 - 2 * width  # for the head's transform
        assert with_pooler / 1e6 == pytest.approx(millions, rel=0.015)


def test_every_figure_is_in_its_metric_and_rises_in_size():
    for ladder in LADDERS:
        meaning = METRICS[ladder.metric]
        sizes = [point.x["total"] for point in ladder.points]
        assert sizes == sorted(sizes)
        for point in ladder.points:
            assert meaning.floor is None or point.value > meaning.floor
            assert meaning.ceiling is None or point.value < meaning.ceiling


def test_bits_per_byte_of_one_task_are_laid_over_and_flops_axes_are_not():
    series = from_results(
        [result("bits_per_byte", 2.0 - size / 1e6, size=size) for size in (1e4, 1e5)]
    ).series
    entries = overlay_entries(ReportSettings(overlay=("gpt2-zero-shot",), bootstrap=100), series)
    drawn = {one["title"]: one["drawn_over"] for one in entries}
    assert drawn["GPT-2 on enwik8"] == [series[0].id]
    assert drawn["GPT-2 on WikiText-2"] == []
    flops = overlay_entries(ReportSettings(x=("flops",), overlay=("gpt2-zero-shot",), bootstrap=100), series)
    assert all(one["drawn_over"] == [] and "size" in one["not_drawn_reason"] for one in flops)
