"""Which series are compared, and what laws.json, the page and the Markdown say of them."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest

from eval.results import Result
from scaling_report.analysis import analyse
from scaling_report.families import NOTHING_TO_COMPARE, differs_in
from scaling_report.frame import Series, from_results
from scaling_report.markdown import render_markdown
from scaling_report.page import render_page
from scaling_report.settings import ReportSettings
from scaling_report.story import tell
from tests.scaling_report.synthetic import result
from tests.scaling_report.two_families import SIZES, accuracies, shared_noise

SETTINGS = ReportSettings(x=("non_embedding",), bootstrap=100)


def _both(**settings: Any) -> dict[str, Any]:
    one, other = shared_noise(3)
    results = accuracies("gpt2", 0.14, noise=one) + accuracies("bert", 0.17, noise=other)
    return analyse(results, SETTINGS.model_copy(update=settings))


def _pair(first: list[Result], second: list[Result], *, by_run: bool = False) -> tuple[Series, Series]:
    frame = from_results(first + second, by_run=by_run)
    a, b = frame.series
    return a, b


def _text(family: str, metric: str = "bits_per_byte", **changes: Any) -> list[Result]:
    return [
        result(metric, 4.0 * size**-0.05, **{"size": size, "run": family, "family": family, **changes})
        for size in SIZES
    ]


def test_two_families_on_one_task_are_told_apart_tested_and_drawn():
    laws = _both()
    assert [one["title"] for one in laws["series"]] == [
        "sst2: accuracy, test (BERT)",
        "sst2: accuracy, test (GPT-2)",
    ]
    (found,) = laws["comparisons"]
    assert found["names"] == ["BERT", "GPT-2"]
    assert found["differs_in"] == "family"
    assert found["paired"]
    assert found["interval"][0] < 0.03 < found["interval"][1]
    assert found["p_holm"] < 0.05
    assert "BERT has the steeper law" in found["sentences"][0]
    truth = 3.0 * (SIZES[-1] ** -0.14 - SIZES[-1] ** -0.17)  # of the accuracies at the largest size
    assert found["offset"]["difference"] == pytest.approx(truth, abs=0.02)
    json.dumps(laws, allow_nan=False)
    story = tell(laws, None)
    (section,) = (one for one in story.sections if one.group == "Families compared")
    assert [figure.tab for figure in section.figures] == ["by size"]
    drawn = json.dumps(section.figures[0].spec)
    assert '["circle", "diamond"]' in drawn  # shapes, not colour alone
    markdown = render_markdown(story)
    assert "### Accuracy of sst2, test" in markdown
    assert "| BERT − GPT-2 | family | paired |" in markdown


def test_equal_exponents_are_not_said_to_differ():
    one, other = shared_noise(5)
    laws = analyse(accuracies("gpt2", 0.15, noise=one) + accuracies("bert", 0.15, noise=other), SETTINGS)
    assert laws["comparisons"][0]["p_value"] > 0.05
    assert "no difference of exponents is shown" in laws["comparisons"][0]["sentences"][0]


def test_several_pairs_are_adjusted_together():
    one, other = shared_noise(3)
    third = accuracies("gpt2", 0.15, noise=np.roll(one, 1), stage="pretrain", objective="causal-lm")
    laws = analyse(
        accuracies("gpt2", 0.14, noise=one) + accuracies("bert", 0.17, noise=other) + third, SETTINGS
    )
    assert [(found["differs_in"], found["comparisons_in_all"]) for found in laws["comparisons"]] == [
        ("stage", 2),
        ("family", 2),
    ]  # BERT fine-tuned against GPT-2 pretrained differs in two
    assert all(found["p_holm"] >= found["p_value"] for found in laws["comparisons"])
    assert "after Holm over 2 comparisons" in laws["comparisons"][0]["sentences"][0]


@pytest.mark.parametrize(
    ("first", "second", "differs"),
    [
        (_text("gpt2"), _text("bert", objective="masked-lm"), None),  # bits of another thing
        (_text("gpt2"), _text("opt"), "family"),
        (_text("gpt2"), _text("gpt2", data_fingerprint="e" * 16), "data"),
        (_text("gpt2"), _text("opt", data_fingerprint="e" * 16), None),  # in two
        (_text("gpt2"), _text("gpt2", stage="finetune"), "stage"),
        (_text("gpt2", "token_perplexity"), _text("opt", "token_perplexity"), None),  # tokens of another kind
        (_text("bert", "masked_lm_loss"), _text("roberta", "masked_lm_loss"), None),
        (_text("bert", "masked_lm_loss"), _text("bert", "masked_lm_loss", stage="fetch"), "stage"),
        (accuracies("gpt2", 0.1), accuracies("bert", 0.1, split="validation"), None),
        (accuracies("gpt2", 0.1), accuracies("bert", 0.1, signature="accuracy|context:32"), "family"),
        (accuracies("gpt2", 0.1), accuracies("bert", 0.1, signature="accuracy|likelihood:all"), "family"),
        (accuracies("gpt2", 0.1), accuracies("bert", 0.1, signature="accuracy|items:half"), None),
    ],
)  # fmt: skip
def test_only_what_means_the_same_and_differs_in_one_thing_is_compared(first, second, differs):
    assert differs_in(*_pair(first, second)) == differs


def test_runs_that_are_kept_apart_are_compared_as_such():
    a, b = _pair(_text("gpt2", run="old"), _text("gpt2", run="new"), by_run=True)
    assert differs_in(a, b) == "run"
    assert [a.title, b.title] == ["Bits per byte, test (old)", "Bits per byte, test (new)"]


def test_without_two_series_there_is_a_reason_and_no_section():
    laws = analyse(accuracies("gpt2", 0.15), SETTINGS)
    assert laws["comparisons"] == []
    assert laws["no_comparison_reason"] == NOTHING_TO_COMPARE
    assert not any(one.group == "Families compared" for one in tell(laws, None).sections)


def test_too_few_sizes_are_said():
    laws = analyse(accuracies("gpt2", 0.15) + accuracies("bert", 0.17)[:2], SETTINGS)
    assert laws["comparisons"] == []
    assert "Two sizes to fit in one of them" in laws["no_comparison_reason"]
    assert "GPT-2" in laws["not_compared"][0]["what"]


def test_published_figures_are_drawn_hollow_with_their_source_and_fitted_with_nothing():
    plain, laid = _both(), _both(overlay=("bert-miniatures", "gpt2-zero-shot"))
    assert [one["fits"] for one in laid["series"]] == [one["fits"] for one in plain["series"]]
    assert laid["comparisons"] == plain["comparisons"]
    drawn = {one["title"]: one["drawn_over"] for one in laid["overlays"]}
    assert len(drawn["BERT on SST-2"]) == 2
    assert drawn["GPT-2 on enwik8"] == []  # nothing here is in bits per byte
    assert "GPT-2 on enwik8" in [one["what"] for one in laid["left_out"]]
    (section,) = (one for one in tell(laid, None).sections if one.group == "Families compared")
    assert any("Turc et al. 2019" in words for mark, words in section.figures[0].key if mark == "overlay")
    spec = section.figures[0].spec
    (hollow,) = (one for one in spec["layer"] if one["mark"].get("filled") is False)
    values = [row["y"] for row in spec["datasets"][hollow["data"]["name"]]]
    assert values == [0.832, 0.859, 0.897, 0.896, 0.935, 0.949]


def test_names_from_data_are_escaped():
    evil = '<script>alert("x")</script>'
    one, other = shared_noise(3)
    results = accuracies(evil, 0.14, noise=one) + accuracies("bert", 0.17, noise=other, task="sst2")
    story = tell(analyse(results, SETTINGS), None)
    page = render_page(story, {figure.id: "<svg/>" for figure in story.figures}, "window.vegaEmbed = null;")
    assert evil not in page
    assert (
        len(re.findall("<script", page)) == len(story.figures) + 2
    )  # each chart's data, and the page's own two
    assert evil not in render_markdown(story)
