"""Every token is predicted exactly once, with as much before it as the window allows."""

from __future__ import annotations

import pytest

from eval.windows import cut_windows


@pytest.mark.parametrize("length", [1, 2, 9, 10, 11, 12, 13, 37, 100])
@pytest.mark.parametrize("stride", [1, 4, 5, 10])
def test_each_token_but_the_first_is_predicted_once_and_with_context(length: int, stride: int) -> None:
    context = 10
    predicted: list[int] = []
    for window in cut_windows(length, context=context, stride=stride):
        tokens = range(window.first, window.end + 1)
        predicted += tokens
        assert 0 < window.end - window.begin <= context
        assert window.begin < window.first, "a token is never predicted from itself"
        for token in tokens:
            assert token - window.begin > min(token, context - stride) - 1
    assert predicted == list(range(1, length))


@pytest.mark.parametrize("stride", [0, 11])
def test_a_stride_that_skips_or_stands_still_is_refused(stride: int) -> None:
    with pytest.raises(ValueError, match=f"stride {stride} with context 10"):
        cut_windows(30, context=10, stride=stride)
