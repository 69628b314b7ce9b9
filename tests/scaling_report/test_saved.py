"""Fits as files and back to the digit, from the command's and from a report's, with where they came from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import scaling_report
from eval.files import InputError, hash_file, write_json
from scaling_report.analysis import analyse
from scaling_report.laws import chinchilla, power_floor
from scaling_report.predicting import FAR
from scaling_report.saved import FarPrediction, FittedLaw
from scaling_report.settings import ReportSettings
from tests.scaling_report.synthetic import ladder

TRUTH = {"E": 1.8, "A": 480.0, "B": 2100.0, "alpha": 0.35, "beta": 0.37}


def rows(noise: float = 0.003) -> list[dict[str, Any]]:
    rng = np.random.default_rng(1)
    return [
        {"n": n, "d": d, "c": 6 * n * d, "loss": chinchilla(n, d, **TRUTH) * np.exp(noise * rng.normal())}
        for n in np.geomspace(1e7, 1e9, 4)
        for d in np.geomspace(1e9, 1e11, 4)
    ]


@pytest.fixture(scope="module")
def surface(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """A fit of a surface to a file, and where it was saved."""
    folder = tmp_path_factory.mktemp("fit")
    (folder / "runs.jsonl").write_text("\n".join(map(json.dumps, rows())))
    found = scaling_report.fit("chinchilla", folder / "runs.jsonl", y="loss", where="n>0", bootstrap=40)
    found.save(folder / "law.json", command="stepladder fit runs.jsonl")
    return found, folder / "law.json"


def test_a_saved_fit_predicts_the_same_to_the_digit(surface: tuple[Any, Path]) -> None:
    found, path = surface
    law = scaling_report.Law.load(path)
    assert isinstance(law, FittedLaw)
    assert law.parameters == found.fit.parameters
    for at in ({"n": 2e9, "d": 2e11}, {"n": 1e8, "c": 6e18}, {"n": [1e8, 2e8], "d": 3e10}):
        assert law.predict(**at).to_dict() == found.predict(**at).to_dict()
    one = law.predict(n=2e9, d=2e11)
    assert one.value == chinchilla(2e9, 2e11, **found.fit.parameters)
    np.testing.assert_array_equal(
        one.confidence, found.bootstrap.confidence(np.array([[2e9], [2e11]]), 0.9)[0]
    )
    low, high = one.prediction
    assert low < one.confidence[0] < one.value < one.confidence[1] < high
    assert one.times_beyond == 2.0


def test_arrays_in_are_arrays_out(surface: tuple[Any, Path]) -> None:
    law = FittedLaw.load(surface[1])
    n = np.geomspace(1e8, 1e9, 5)
    many = law.predict(n=n, d=1e10)
    assert np.shape(many.value) == (5,)
    assert many.prediction is not None
    assert many.prediction.shape == (5, 2)
    assert many.value[1] == law.predict(n=n[1], d=1e10).value
    assert str(many).count("\n") == 4


def test_a_prediction_far_beyond_what_was_measured_says_so(surface: tuple[Any, Path]) -> None:
    law = FittedLaw.load(surface[1])
    with pytest.warns(FarPrediction, match="10 times beyond what was measured: too far for an interval"):
        far = law.predict(n=1e10, d=1e11)
    assert far.far
    assert not law.predict(n=FAR * 1e9 * 0.999, d=1e11).far
    with pytest.warns(FarPrediction):
        assert law.predict(n=1e7 / 4, d=1e11).times_beyond == pytest.approx(4)


def test_a_file_says_where_its_law_comes_from(surface: tuple[Any, Path]) -> None:
    value = json.loads(surface[1].read_text())
    provenance = value["provenance"]
    assert provenance["sha256"] == hash_file(surface[1].parent / "runs.jsonl")
    assert provenance["x"] == {"n": "n", "d": "d"}
    assert (provenance["y"], provenance["where"], provenance["rows"]) == ("loss", ["n>0"], 16)
    assert provenance["command"] == "stepladder fit runs.jsonl"
    assert {"python", "numpy", "stepladder"} <= provenance["versions"].keys()
    assert value["domain"] == [[1e7, 1e9], [1e9, 1e11]]
    assert value["missing"] == {}
    covariance = FittedLaw.load(surface[1]).covariance
    np.testing.assert_array_equal(covariance, surface[0].local.covariance)
    assert covariance is not None
    assert covariance.shape == (5, 5)


def test_what_a_fit_lacks_is_null_with_its_reason(tmp_path: Path) -> None:
    sizes = np.geomspace(1e7, 1e9, 8)
    together = {"n": sizes, "d": 20 * sizes, "loss": chinchilla(sizes, 20 * sizes, **TRUTH)}
    scaling_report.fit("chinchilla", together, y="loss", bootstrap=0).save(tmp_path / "law.json")
    value = json.loads((tmp_path / "law.json").read_text())
    for name in ("covariance", "refits"):
        assert value[name] is None
        assert value["missing"][name]
    assert not FittedLaw.load(tmp_path / "law.json").identified


def test_a_curve_is_asked_by_its_name_or_without(tmp_path: Path) -> None:
    sizes = np.geomspace(1e4, 1e6, 8)
    table = {"size": sizes, "loss": power_floor(sizes, 1.6, 16.5, 0.35)}
    found = scaling_report.fit("power-floor", table, x={"size": "size"}, y="loss", bootstrap=0)
    found.save(tmp_path / "law.json")
    law = FittedLaw.load(tmp_path / "law.json")
    assert law.predict(2e6).value == law.predict(size=2e6).value == found.predict(2e6).value
    assert law.predict(2e6).value == pytest.approx(1.6 + 16.5 * 2e6**-0.35)
    assert law.predict(2e6).at == {"size": 2e6}
    assert law.predict(2e6).prediction is None
    assert law.missing["refits"].startswith("none were made")
    with pytest.raises(InputError, match="predict: n is given; size is wanted"):
        law.predict(n=1e6)


def test_a_product_without_what_its_data_do_not_show_still_takes_all_inputs(tmp_path: Path) -> None:
    found = scaling_report.fit("product", rows(), x={"n": "n", "d": "d", "c": "c"}, y="loss", bootstrap=0)
    assert found.dropped
    found.save(tmp_path / "law.json")
    law = FittedLaw.load(tmp_path / "law.json")
    (asked,) = law.predict(n=[1e8], d=[1e10], c=[6e18]).value
    assert asked == found.predict(n=1e8, d=1e10).value


@pytest.mark.parametrize(
    ("at", "said"),
    [
        ({"n": 1e9}, r"predict: d \(tokens\) is missing; write n=…,d=…"),
        ({"n": 1e9, "d": -1}, "predict: d is -1; laws need finite numbers above zero"),
        ({"n": 1e9, "q": 2}, "chinchilla: q is given, which it is no function of"),
        ({}, r"predict: n \(parameters\) is missing"),
        ({"n": [1e9, 2e9], "d": [1e9, 2e9, 3e9]}, r"inputs differ in length \(n has 2, d has 3\)"),
        ({"n": [], "d": 1e9}, "predict: n is of shape"),
        ({"n": "big", "d": 1e9}, "predict: n is 'big'; give a number"),
        ({"n": 1e80, "d": 1e9}, "times beyond what was measured"),
    ],
)
def test_what_cannot_be_predicted_is_one_line(
    at: dict[str, float], said: str, surface: tuple[Any, Path]
) -> None:
    with pytest.raises(InputError, match=said):
        FittedLaw.load(surface[1]).predict(**at)
    with pytest.raises(InputError, match="predict: chinchilla is of n, d; name them"):
        FittedLaw.load(surface[1]).predict(1e9)


def test_a_fit_is_saved_over_nothing_but_a_saved_fit(surface: tuple[Any, Path], tmp_path: Path) -> None:
    found, path = surface
    found.save(path, command="stepladder fit runs.jsonl")
    table = path.parent / "runs.jsonl"
    before = table.read_bytes()
    (tmp_path / "other.json").write_text("{}")
    for place, said in (
        (table, "is the table"),
        (tmp_path, "is a folder"),
        (tmp_path / "other.json", "is there and is no saved fit"),
    ):
        with pytest.raises(InputError, match=said):
            found.save(place)
    assert table.read_bytes() == before


# a report's laws.json


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with what a report of it says, without its page."""
    folder = tmp_path_factory.mktemp("run")
    results = [one for one in ladder() if one.metric in ("bits_per_byte", "accuracy")]
    value = analyse(results, ReportSettings(bootstrap=100))
    write_json(folder / "report" / "laws.json", value | {"provenance": {"sha256": "abc"}})
    return folder


def test_a_reports_law_is_read_back_to_the_digit(report: Path) -> None:
    value = json.loads((report / "report" / "laws.json").read_text())
    for place in (report, report / "report", report / "report" / "laws.json"):
        law = FittedLaw.load(place, series="pretrain-perplexity-bits-per-byte-test")
        series = next(one for one in value["series"] if one["id"] == "pretrain-perplexity-bits-per-byte-test")
        entry = next(one for one in series["fits"] if one["chosen"] and one["x"] == "non_embedding")
        assert law.parameters == entry["parameters"]
        assert law.provenance == {"sha256": "abc"}
        inside = [x for x in entry["grid"]["x"] if x < law.domain[0, 1]]
        np.testing.assert_allclose(law.predict(inside).value, entry["grid"]["fit"][: len(inside)], rtol=1e-5)
    assert law.predict(non_embedding=1e6).value == law.predict(1e6).value
    other = FittedLaw.load(report, series="pretrain-perplexity-bits-per-byte-test", x="flops", law="power")
    assert (other.law, other.inputs) == ("power", ("flops",))


def test_a_bounded_metric_comes_back_in_its_own_unit(report: Path) -> None:
    value = json.loads((report / "report" / "laws.json").read_text())
    series = next(one for one in value["series"] if one["metric"] == "accuracy")
    entry = next(one for one in series["fits"] if one["chosen"] and one["x"] == "non_embedding")
    law = FittedLaw.load(report, series=series["id"])
    ends = law.predict([entry["grid"]["x"][0], entry["grid"]["x"][30]])
    np.testing.assert_allclose(ends.value, [entry["grid"]["fit"][0], entry["grid"]["fit"][30]], rtol=1e-5)
    assert 0 < float(np.max(ends.value)) < 1


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, "name one with series=; there are pretrain-perplexity-bits-per-byte-test, "),
        ({"series": "no"}, "has no series 'no'; there are pretrain-perplexity-bits-per-byte-test, "),
        (
            {"series": "pretrain-perplexity-bits-per-byte-test", "x": "tokens"},
            "has no chosen law against tokens; there are power against non_embedding",
        ),
        (
            {"series": "pretrain-perplexity-bits-per-byte-test", "law": "bnsl"},
            "has no bnsl law against non_embedding",
        ),
    ],
)
def test_what_is_not_in_a_report_is_said_with_what_is(asked: dict[str, str], said: str, report: Path) -> None:
    with pytest.raises(InputError, match=said):
        FittedLaw.load(report, **asked)


def test_a_reports_law_of_size_and_data_is_read_back(
    report: Path, surface: tuple[Any, Path], tmp_path: Path
) -> None:
    found, _ = surface
    value = json.loads((report / "report" / "laws.json").read_text())
    one = {"id": "loss", "law": "chinchilla", "x": "total", "conventions": {"total": found.to_dict()}}
    write_json(tmp_path / "laws.json", value | {"surfaces": [one]})
    law = FittedLaw.load(tmp_path, law="chinchilla")
    assert law.predict(n=2e9, d=2e11).value == found.predict(n=2e9, d=2e11).value
    assert law.covariance is not None
    assert law.missing == {"refits": "a report keeps no refits"}
    with pytest.raises(InputError, match="counts no N as 'matmul'; there are total"):
        FittedLaw.load(tmp_path, law="chinchilla", x="matmul")
    with pytest.raises(InputError, match="has no chinchilla of 'acc'; there are loss"):
        FittedLaw.load(tmp_path, law="chinchilla", series="acc")


def test_a_file_that_holds_no_law_is_refused(tmp_path: Path, surface: tuple[Any, Path]) -> None:
    with pytest.raises(InputError, match=r"no laws\.json in this folder"):
        FittedLaw.load(tmp_path)
    with pytest.raises(InputError, match="no such file"):
        FittedLaw.load(tmp_path / "none.json")
    (tmp_path / "x.json").write_text("[]")
    with pytest.raises(InputError, match=r"is no saved fit and no laws\.json of this version"):
        FittedLaw.load(tmp_path / "x.json")
    broken = json.loads(surface[1].read_text())
    (tmp_path / "x.json").write_text(json.dumps(broken | {"fitted": "chinchila"}))
    with pytest.raises(InputError, match="law: 'chinchila' is not known; did you mean 'chinchilla'"):
        FittedLaw.load(tmp_path / "x.json")
    del broken["domain"]
    (tmp_path / "x.json").write_text(json.dumps(broken))
    with pytest.raises(InputError, match=r"is not whole \(KeyError\('domain'\)\); make it again"):
        FittedLaw.load(tmp_path / "x.json")
