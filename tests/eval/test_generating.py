"""Texts are those of transformers' own generate, whichever are written together and whichever end first."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import eval.generating
from eval.batching import BatchLimits
from eval.generating import generate
from eval.model import Model
from eval.requests import GenerateRequest
from tests.eval.decoders import make_decoder, random_ids

LIMITS = (BatchLimits(rows=1), BatchLimits(rows=7), BatchLimits(rows=64), BatchLimits(200))
STOPS = list(range(2, 8))  # so many that texts end at different lengths


def requests() -> list[GenerateRequest]:
    """Prompts of many lengths and limits of many lengths, one of them nothing."""
    rng = torch.Generator().manual_seed(3)
    lengths = torch.randint(1, 40, (10,), generator=rng).tolist()
    limits = torch.randint(1, 30, (10,), generator=rng).tolist()
    prompts = [random_ids(rng, length) for length in lengths]
    return [*map(GenerateRequest, prompts, limits), GenerateRequest(random_ids(rng, 5), 0)]


def by_transformers(network: Any, request: GenerateRequest) -> list[int]:
    if not request.max_new_tokens:
        return []
    batch = torch.tensor([request.prompt])
    whole = network.generate(
        batch,
        attention_mask=torch.ones_like(batch),
        max_new_tokens=request.max_new_tokens,
        do_sample=False,
        eos_token_id=STOPS,
        pad_token_id=1,
    )
    return list(whole[0, len(request.prompt) :].tolist())


@pytest.mark.parametrize("name", ["GPT2", "Llama", "Mistral-16", "Bloom", "Lfm2"])
def test_texts_are_those_of_transformers_generate(name: str) -> None:
    model = make_decoder(name)
    asked = requests()
    expected = [by_transformers(model.network, request) for request in asked]
    assert len({len(text) for text in expected}) > 4
    for limits in LIMITS:
        assert generate(model, asked, stops=STOPS, limits=limits) == expected


def test_padding_does_not_reach_a_state() -> None:
    model = make_decoder("Mamba")
    asked = requests()[:4]
    expected = [by_transformers(model.network, request) for request in asked]
    assert generate(model, asked, stops=STOPS, limits=BatchLimits()) == expected


def test_without_stops_texts_are_as_long_as_asked() -> None:
    written = generate(make_decoder("GPT2"), requests(), stops=[], limits=BatchLimits())
    assert [len(text) for text in written] == [request.max_new_tokens for request in requests()]


def test_rows_that_have_ended_leave_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """One long text among short ones: all steps but the first few are of one row."""
    model = make_decoder("GPT2")
    rng = torch.Generator().manual_seed(1)
    asked = [GenerateRequest(random_ids(rng, 10), limit) for limit in [2] * 15 + [40]]
    rows: list[int] = []
    forward = model.network.forward

    def counted(*args: Any, **kwargs: Any) -> Any:
        rows.append(len(kwargs["input_ids"]))
        return forward(*args, **kwargs)

    monkeypatch.setattr(Model, "takes", lambda self, name: True)
    monkeypatch.setattr(model.network, "forward", counted)
    generate(model, asked, stops=[], limits=BatchLimits())
    assert rows == [16, 16, *[1] * 38]


@pytest.mark.parametrize("spare", [1, 7])
def test_a_cache_that_runs_out_of_room_grows(spare: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model, asked = make_decoder("GPT2"), requests()
    expected = generate(model, asked, stops=STOPS, limits=BatchLimits())
    monkeypatch.setattr(eval.generating, "_SPARE", spare)
    assert generate(model, asked, stops=STOPS, limits=BatchLimits()) == expected
