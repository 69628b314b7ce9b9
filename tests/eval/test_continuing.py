"""What continuations share is computed once, and changes nothing: each scores as it does by itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import eval.continuing
from eval.batching import BatchLimits
from eval.continuing import score_continuations
from eval.loading import load_model
from eval.model import Model
from eval.requests import ContinuationRequest, ContinuationScore
from eval.settings import EvalSettings
from eval.tasks import TASKS
from tests.eval.decoders import DECODERS, make_decoder, random_ids

LIMITS = (BatchLimits(rows=1), BatchLimits(rows=7), BatchLimits(rows=64), BatchLimits(300))
SHARED = ("GPT2", "Llama", "GPTNeoX", "GPTJ", "OPT", "Gemma2", "Cohere", "Mistral")  # contexts computed once


def requests(prefix: int = 0) -> list[ContinuationRequest]:
    """Contexts and continuations of many lengths; all contexts begin with the same `prefix` tokens."""
    rng = torch.Generator().manual_seed(3)
    same = random_ids(rng, prefix)[:prefix]
    shapes = [
        (30, (1, 1, 1)),
        (12, (3, 1, 5, 2)),
        (40, (4,)),
        (25, (6, 6)),
        (3, (2, 9, 20)),
        (8, (1,)),
        (9, (7, 7)),
    ]
    return [
        ContinuationRequest(
            same + random_ids(rng, context), [random_ids(rng, length)[1:] for length in lengths]
        )
        for context, lengths in shapes + shapes[::-1]
    ]


@torch.no_grad()
def alone(model: Model, request: ContinuationRequest) -> list[tuple[float, bool]]:
    """Each continuation by itself, by transformers."""
    found = []
    for continuation in request.continuations:
        ids = torch.tensor([request.context + continuation])
        logs = model.network(input_ids=ids, use_cache=False).logits[0].log_softmax(-1)
        logs = logs[len(request.context) - 1 : -1]
        nats = -logs.gather(1, torch.tensor(continuation)[:, None]).sum().item()
        found.append((nats, logs.argmax(-1).tolist() == continuation))
    return found


def assert_alone(scores: list[list[ContinuationScore]], wanted: list[list[tuple[float, bool]]]) -> None:
    assert [len(found) for found in scores] == [len(found) for found in wanted]
    for found, expected in zip(scores, wanted, strict=True):
        assert [score.nats for score in found] == pytest.approx([nats for nats, _ in expected], rel=1e-5)
        assert [score.greedy for score in found] == [greedy for _, greedy in expected]


@pytest.mark.parametrize("name", DECODERS)
def test_continuations_score_as_each_does_alone(name: str) -> None:
    model, asked = make_decoder(name), requests()
    wanted = [alone(model, request) for request in asked]
    for limits in LIMITS:
        assert_alone(score_continuations(model, asked, limits=limits), wanted)


@pytest.mark.parametrize("name", ["GPT2", "Llama", "Gemma2", "Mistral", "Mistral-16", "Bloom"])
def test_a_beginning_that_contexts_share_changes_nothing(name: str) -> None:
    model, asked = make_decoder(name), requests(prefix=80)
    wanted = [alone(model, request) for request in asked]
    for limits in LIMITS:
        assert_alone(score_continuations(model, asked, limits=limits), wanted)


def count_tokens(model: Model, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Where the number of tokens of each forward pass is written down."""
    counts: list[int] = []
    states = Model.states

    def counted(self: Model, **inputs: Any) -> Any:
        counts.append(inputs["input_ids"].numel())
        return states(self, **inputs)

    monkeypatch.setattr(Model, "states", counted)
    return counts


@pytest.mark.parametrize("name", SHARED)
def test_a_context_is_computed_once(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, rng = make_decoder(name), torch.Generator().manual_seed(5)
    asked = ContinuationRequest(random_ids(rng, 49), [random_ids(rng, 5)[1:] for _ in range(4)])
    counts = count_tokens(model, monkeypatch)
    score_continuations(model, [asked], limits=BatchLimits())
    assert counts == [50, 4 * 4], "the context; of each continuation all tokens but the last"


def test_what_all_contexts_begin_with_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model, rng = make_decoder("Llama"), torch.Generator().manual_seed(5)
    same = random_ids(rng, 99)
    asked = [ContinuationRequest([*same, 2 + number, 9], [[5], [6]]) for number in range(8)]
    counts = count_tokens(model, monkeypatch)
    score_continuations(model, asked, limits=BatchLimits())
    assert counts == [100, 8 * 2]


def test_many_continuations_are_spread_over_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eval.continuing, "_ROW_TOKENS", 12)
    model, rng = make_decoder("GPT2"), torch.Generator().manual_seed(5)
    asked = [ContinuationRequest(random_ids(rng, 9), [random_ids(rng, 5)[1:] for _ in range(7)])]
    assert_alone(score_continuations(model, asked, limits=BatchLimits()), [alone(model, asked[0])])


def test_the_likeliest_continuation_is_known_as_such() -> None:
    model, rng = make_decoder("Llama"), torch.Generator().manual_seed(5)
    context = random_ids(rng, 9)
    best = list(context)
    for _ in range(3):
        best.append(int(model.network(torch.tensor([best])).logits[0, -1].argmax()))
    (scores,) = score_continuations(
        model,
        [ContinuationRequest(context, [best[10:], [*best[10:12], 5], best[10:11]])],
        limits=BatchLimits(),
    )
    assert [score.greedy for score in scores] == [True, False, True]


def test_nothing_asked_is_nothing_answered() -> None:
    assert score_continuations(make_decoder("GPT2"), [], limits=BatchLimits()) == []


def test_an_encoder_hides_each_token_with_all_others_seen(checkpoint: Callable[..., Path]) -> None:
    model = load_model(checkpoint("BertForMaskedLM"), TASKS["pseudo-perplexity"], EvalSettings())
    tokenizer, rng = model.tokenizer, torch.Generator().manual_seed(2)
    asked = [
        ContinuationRequest(random_ids(rng, context)[1:], [random_ids(rng, length)[1:] for length in lengths])
        for context, lengths in [(20, (1, 4, 2)), (0, (3,)), (33, (6, 1)), (5, (2,)), (50, (12,))]
    ]
    wanted = []
    for request in asked:
        found = []
        for continuation in request.continuations:
            framed = [tokenizer.cls_token_id, *request.context, *continuation, tokenizer.sep_token_id]
            nats, greedy = 0.0, True
            for place in range(1 + len(request.context), len(framed) - 1):
                ids = torch.tensor([framed])
                ids[0, place] = tokenizer.mask_token_id
                with torch.no_grad():
                    logs = model.network(input_ids=ids).logits[0, place].log_softmax(-1)
                nats -= logs[framed[place]].item()
                greedy &= int(logs.argmax()) == framed[place]
            found.append((nats, greedy))
        wanted.append(found)
    for limits in LIMITS:
        assert_alone(score_continuations(model, asked, limits=limits), wanted)
