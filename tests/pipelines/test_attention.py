"""The blocked kernel against torch's own attention: values and gradients, called and compiled."""

import pytest
import torch
from torch.nn import functional

from pipelines import attention
from pipelines.attention import bidirectional_attention, causal_attention


def _inputs(length: int) -> tuple[list[torch.Tensor], torch.Tensor]:
    generator = torch.Generator().manual_seed(length)
    drawn = [torch.randn(2, 3, length, 8, generator=generator, dtype=torch.float64) for _ in range(4)]
    return drawn[:3], drawn[3]


def _check(
    ours: torch.Tensor, theirs: torch.Tensor, mine: list, reference: list, upstream: torch.Tensor
) -> None:
    ours.backward(upstream)
    theirs.backward(upstream)
    torch.testing.assert_close(ours, theirs)
    for left, right in zip(mine, reference, strict=True):
        torch.testing.assert_close(left.grad, right.grad)


@pytest.mark.parametrize("length", [1, 37, 64, 65, 200])
def test_equals_torch_causal_attention(length: int) -> None:
    inputs, upstream = _inputs(length)
    ours = [x.clone().requires_grad_() for x in inputs]
    theirs = [x.clone().requires_grad_() for x in inputs]
    out = causal_attention(*ours, scale=8**-0.5)
    _check(out, functional.scaled_dot_product_attention(*theirs, is_causal=True), ours, theirs, upstream)


@pytest.mark.parametrize("length", [1, 37, 64, 130])
@pytest.mark.parametrize("padded", [False, True])
def test_equals_torch_bidirectional_attention(length: int, padded: bool) -> None:
    inputs, upstream = _inputs(length)
    ours = [x.clone().requires_grad_() for x in inputs]
    theirs = [x.clone().requires_grad_() for x in inputs]
    allowed = torch.arange(length)[None, :] < torch.tensor([[length], [max(1, length // 2)]])  # (B, T)
    mask = allowed[:, None, None, :] if padded else None
    out = bidirectional_attention(*ours, scale=8**-0.5, allowed=allowed if padded else None)
    _check(out, functional.scaled_dot_product_attention(*theirs, attn_mask=mask), ours, theirs, upstream)


def test_a_position_never_sees_a_later_one() -> None:
    query, key, value = (torch.randn(1, 1, 100, 4) for _ in range(3))
    before = causal_attention(query, key, value, 0.5)
    key[..., 70:, :] = 9.0
    value[..., 70:, :] = -9.0
    after = causal_attention(query, key, value, 0.5)
    assert torch.equal(before[..., :70, :], after[..., :70, :])
    assert not torch.equal(before[..., 70:, :], after[..., 70:, :])


@pytest.mark.parametrize("causal", [True, False])
def test_the_compiled_operator_equals_the_called_one(causal: bool) -> None:
    """What torch.compile is given: shapes without data, values and gradients."""
    (q, k, v), upstream = _inputs(130)
    called = [x.clone().requires_grad_() for x in (q, k, v)]
    compiled = [x.clone().requires_grad_() for x in (q, k, v)]
    attend = causal_attention if causal else bidirectional_attention
    # aot_eager traces forward and backward as for a compiler, without needing one
    traced = torch.compile(lambda q, k, v: attend(q, k, v, 0.5), backend="aot_eager", fullgraph=True)
    _check(traced(*compiled), attend(*called, 0.5), compiled, called, upstream)


def test_operators_keep_torchs_rules() -> None:
    q, k, v = (torch.randn(2, 70, 4, dtype=torch.float64, requires_grad=True) for _ in range(3))
    checks = ("test_schema", "test_faketensor")
    torch.library.opcheck(attention._forward_op, (q, k, v, None, 0.5), test_utils=checks)
