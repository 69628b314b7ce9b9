"""The blocked kernel against torch's own attention: values and gradients."""

import pytest
import torch
from torch.nn import functional

from pipelines.attention import causal_attention


@pytest.mark.parametrize("length", [1, 37, 64, 65, 200])
def test_equals_torch_causal_attention(length: int) -> None:
    generator = torch.Generator().manual_seed(length)
    inputs = [torch.randn(2, 3, length, 8, generator=generator, dtype=torch.float64) for _ in range(3)]
    upstream = torch.randn(2, 3, length, 8, generator=generator, dtype=torch.float64)

    ours = [x.clone().requires_grad_() for x in inputs]
    theirs = [x.clone().requires_grad_() for x in inputs]
    out = causal_attention(*ours, scale=8**-0.5)
    expected = functional.scaled_dot_product_attention(*theirs, is_causal=True)
    out.backward(upstream)
    expected.backward(upstream)

    torch.testing.assert_close(out, expected)
    for mine, reference in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.grad, reference.grad)


def test_a_position_never_sees_a_later_one() -> None:
    query, key, value = (torch.randn(1, 1, 100, 4) for _ in range(3))
    before = causal_attention(query, key, value, 0.5)
    key[..., 70:, :] = 9.0
    value[..., 70:, :] = -9.0
    after = causal_attention(query, key, value, 0.5)
    assert torch.equal(before[..., :70, :], after[..., :70, :])
    assert not torch.equal(before[..., 70:, :], after[..., 70:, :])
