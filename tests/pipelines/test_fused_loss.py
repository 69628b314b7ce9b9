"""The fused head against torch's cross-entropy: value, count and gradients."""

import pytest
import torch
from torch.nn import functional

from pipelines import fused_loss
from pipelines.fused_loss import IGNORED, head_nats


@pytest.mark.parametrize("ignored", [0, 3, 11])
def test_equals_torch_cross_entropy(ignored: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused_loss, "CHUNK", 5)
    torch.manual_seed(0)
    hidden, weight = torch.randn(2, 6, 8), torch.randn(20, 8)
    targets = torch.randint(20, (2, 6))
    targets.view(-1)[:ignored] = IGNORED
    ours = hidden.clone().requires_grad_(), weight.clone().requires_grad_()
    theirs = hidden.clone().requires_grad_(), weight.clone().requires_grad_()

    nats, count = head_nats(*ours, targets)
    (nats * 0.25).backward()
    logits = theirs[0] @ theirs[1].T
    expected = functional.cross_entropy(
        logits.view(-1, 20), targets.view(-1), ignore_index=IGNORED, reduction="sum"
    )
    (expected * 0.25).backward()

    assert int(count) == 12 - ignored
    torch.testing.assert_close(nats, expected)
    for mine, reference in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.grad, reference.grad)


def test_uniform_logits_cost_the_logarithm_of_the_vocabulary() -> None:
    nats, count = head_nats(torch.zeros(1, 7, 4), torch.randn(50, 4), torch.zeros(1, 7, dtype=torch.long))
    assert nats.item() / count.item() == pytest.approx(torch.tensor(50.0).log().item())


def test_huge_logits_stay_finite() -> None:
    hidden = torch.full((1, 2, 1), 1e4, requires_grad=True)
    nats, _ = head_nats(hidden, torch.tensor([[1.0], [-1.0]]), torch.tensor([[0, 1]]))
    nats.backward()
    assert nats.item() == pytest.approx(2e4)
    assert torch.isfinite(hidden.grad).all()
