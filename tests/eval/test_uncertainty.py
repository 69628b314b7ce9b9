"""Errors are those that repeated samples show, and do not hang on how they are computed."""

from __future__ import annotations

import numpy as np
import pytest

from eval.uncertainty import bootstrap_counts, index_units, ratio_stderr


def counts(items: int, seed: int, groups: list[str] | None = None) -> np.ndarray:
    units, number = index_units(items, groups)
    return np.concatenate(list(bootstrap_counts(units, number, replicates=50, seed=seed)))


def test_the_ratio_error_is_what_repeated_samples_show() -> None:
    rng = np.random.default_rng(0)

    def sample(documents: int) -> tuple[np.ndarray, np.ndarray]:
        sizes = rng.lognormal(4, 0.5, documents)
        return sizes * rng.normal(3.0, 0.3, documents), sizes

    spread = np.std([np.divide(*(part.sum() for part in sample(80))) for _ in range(3000)], ddof=1)
    claimed = np.mean([ratio_stderr(*sample(80)) for _ in range(200)])
    assert claimed == pytest.approx(spread, rel=0.06)


def test_the_bootstrap_repeats_with_its_seed_and_does_not_depend_on_its_chunks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = counts(30, seed=3)
    assert whole.shape == (50, 30)
    assert (whole.sum(axis=1) == 30).all()
    monkeypatch.setattr("eval.uncertainty.CHUNK", 64)
    np.testing.assert_array_equal(counts(30, seed=3), whole)
    assert not np.array_equal(counts(30, seed=4), whole)


def test_items_of_a_group_are_drawn_together() -> None:
    drawn = counts(6, 0, groups=["b", "a", "b", "c", "a", "b"])
    np.testing.assert_array_equal(drawn[:, [0, 0, 1]], drawn[:, [2, 5, 4]])
    assert (drawn[:, [0, 1, 3]].sum(axis=1) == 3).all()  # three groups drawn, whatever their sizes
    with pytest.raises(ValueError, match="2 groups for 3 items"):
        index_units(3, ["a", "b"])
