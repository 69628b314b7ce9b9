"""The fused head against torch's cross-entropy: value, count and gradients."""

import pytest
import torch
from torch.nn import functional

from pipelines import fused_loss
from pipelines.fused_loss import IGNORED, head_nats


@pytest.mark.parametrize("ignored", [0, 3, 67, 90])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("with_bias", [False, True])
def test_equals_torch_cross_entropy(
    ignored: int, smoothing: float, with_bias: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(fused_loss.CHUNK_LOGITS, "cpu", 1)  # chunks of 64 positions: two, the last not full
    torch.manual_seed(0)
    inputs = [torch.randn(2, 45, 8), torch.randn(20, 8), torch.randn(20)]
    targets = torch.randint(20, (2, 45))
    targets.view(-1)[:ignored] = IGNORED
    ours = [x.clone().requires_grad_() for x in inputs]
    theirs = [x.clone().requires_grad_() for x in inputs]

    bias = ours[2] if with_bias else None
    nats, count = head_nats(ours[0], ours[1], targets, bias=bias, label_smoothing=smoothing)
    (nats * 0.25).backward()
    logits = theirs[0] @ theirs[1].T + theirs[2] * with_bias
    expected = functional.cross_entropy(
        logits.view(-1, 20),
        targets.view(-1),
        ignore_index=IGNORED,
        reduction="sum",
        label_smoothing=smoothing,
    )
    (expected * 0.25).backward()

    assert int(count) == 90 - ignored
    torch.testing.assert_close(nats, expected)
    for mine, reference in zip(ours[: 2 + with_bias], theirs, strict=False):
        torch.testing.assert_close(mine.grad, reference.grad)


def test_bf16_products_stay_close() -> None:
    torch.manual_seed(0)
    hidden, weight = torch.randn(64, 32), torch.randn(50, 32) / 6
    targets = torch.randint(50, (64,))
    exact = head_nats(hidden, weight, targets)[0]
    low = head_nats(hidden, weight, targets, torch.bfloat16)[0]
    assert low.item() == pytest.approx(exact.item(), rel=2e-3)


def test_uniform_logits_cost_the_logarithm_of_the_vocabulary() -> None:
    nats, count = head_nats(torch.zeros(1, 7, 4), torch.randn(50, 4), torch.zeros(1, 7, dtype=torch.long))
    assert nats.item() / count.item() == pytest.approx(torch.tensor(50.0).log().item())


def test_huge_logits_stay_finite() -> None:
    hidden = torch.full((1, 2, 1), 1e4, requires_grad=True)
    nats, _ = head_nats(hidden, torch.tensor([[1.0], [-1.0]]), torch.tensor([[0, 1]]))
    nats.backward()
    assert nats.item() == pytest.approx(2e4)
    assert torch.isfinite(hidden.grad).all()


def test_nothing_scored_is_zero_nats_and_zero_gradients() -> None:
    hidden = torch.randn(1, 3, 4, requires_grad=True)
    nats, count = head_nats(hidden, torch.randn(5, 4), torch.full((1, 3), IGNORED))
    nats.backward()
    assert nats.item() == 0.0
    assert int(count) == 0
    assert torch.equal(hidden.grad, torch.zeros_like(hidden))
