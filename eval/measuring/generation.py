"""Measure written texts against references."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eval.baselines import best_constant
from eval.continuing import score_continuations
from eval.generating import generate
from eval.measuring.base import Asked, Item, Measurement, begins, forward, num_bytes, rows_of, wording
from eval.metrics import ItemMetric, metric_by_name
from eval.model import Model
from eval.requests import ContinuationRequest, GenerateRequest
from eval.tasks.base import Generation, Row
from eval.tasks.encoding import Prompt, encode_prompts, encode_texts, stop_ids
from eval.tasks.shots import few_shots

_ANSWER = "answer_bits_per_byte"  # the one metric that asks for no written text


def begin_generation(model: Model, task: Generation, asked: Asked) -> Measurement:
    """Greedy texts against references; the baseline writes one training target under everything."""
    shots = few_shots(task, asked.read("train") if task.shots else [])
    num_refs = _count_references(task, asked)
    metrics = [metric_by_name(name, num_refs=num_refs, scoring=task.scoring) for name in task.metrics]
    compared = [metric for metric in metrics if metric.name != _ANSWER]
    stops = stop_ids(model.tokenizer, task.stops)

    def answer(rows: Sequence[Row]) -> list[Item]:
        prompts = encode_prompts(
            task,
            model.tokenizer,
            rows,
            model.context,
            list(map(shots.prefix, rows)),
            begin=asked.settings.begin,
        )
        requests = [GenerateRequest(prompt.ids, task.max_new_tokens) for prompt in prompts]
        written = (
            generate(model, requests, stops=stops, limits=asked.limits) if compared else [[]] * len(rows)
        )
        outputs = [_until(text, task.stops) for text in _decode(model, written)]
        statistics = rows_of(compared, outputs, [task.references(row) for row in rows])
        if len(compared) < len(metrics):
            for found, values in zip(statistics, _gold(model, task, asked, rows, prompts), strict=True):
                found[_ANSWER] = values
        return [
            Item(
                row=row,
                input=text,
                output=output,
                reference=task.references(row),
                statistics=found,
                tokens=len(prompt.ids) + len(tokens),
                cut=prompt.cut,
            )
            for row, text, output, found, prompt, tokens in zip(
                rows,
                _decode(model, [p.ids for p in prompts]),
                outputs,
                statistics,
                prompts,
                written,
                strict=True,
            )
        ]

    stop = ",".join(["eos", *(repr(text)[1:-1] for text in task.stops)])
    return Measurement(
        metrics=metrics,
        how=f"greedy|max_new_tokens:{task.max_new_tokens}|stop:{stop}|{shots.told}|{wording(task)}"
        f"|{begins(asked)}|{forward(model)}",
        answer=answer,
        baselines=_constant(task, compared, asked),
    )


def _gold(
    model: Model, task: Generation, asked: Asked, rows: Sequence[Row], prompts: Sequence[Prompt]
) -> list[np.ndarray]:
    """(nats, bytes) of each row's own target after its prompt: as many tokens as might have been written."""
    texts = [task.target(row) for row in rows]
    whole = encode_texts(model.tokenizer, texts)
    there = [place for place, ids in enumerate(whole) if ids]
    requests = [
        ContinuationRequest(prompts[place].ids, [whole[place][: task.max_new_tokens]]) for place in there
    ]
    scores = score_continuations(model, requests, limits=asked.limits)
    found = [np.zeros(2) for _ in rows]  # nothing to write: no nats over no bytes
    for place, request, (one,) in zip(there, requests, scores, strict=True):
        (target,) = request.continuations
        cut = len(target) < len(whole[place])
        found[place] = np.array([one.nats, num_bytes(_beginning(model, target) if cut else texts[place])])
    return found


def _beginning(model: Model, ids: list[int]) -> str:
    """The text of a target's first tokens, as far as they are whole characters."""
    text = model.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    return str(text).rstrip("\ufffd")


def _constant(task: Generation, metrics: Sequence[ItemMetric], asked: Asked) -> list[tuple[str, Measurement]]:
    """The best train target under everything; nothing where there are no rows to choose it from."""
    candidates = [task.reference(row) for row in asked.read("train")]
    tuned_on = [task.reference(row) for row in asked.read("validation")]
    if not candidates or not tuned_on or not metrics:
        return []
    text = best_constant(candidates, tuned_on, task.scoring.tokenize)

    def answer(rows: Sequence[Row]) -> list[Item]:
        references = [task.references(row) for row in rows]
        statistics = rows_of(metrics, [text] * len(rows), references)
        return [
            Item(row=row, input="", output=text, reference=texts, statistics=found)
            for row, texts, found in zip(rows, references, statistics, strict=True)
        ]

    how = "one train target for all, the best of all by BLEU on validation"
    return [("best-constant", Measurement(metrics=metrics, how=how, answer=answer))]


def _count_references(task: Generation, asked: Asked) -> int:
    """How many references each row has; -1 where rows have different numbers, as sacreBLEU says it."""
    counts = {len(task.references(row)) for row in asked.rows}
    return counts.pop() if len(counts) == 1 else -1


def _decode(model: Model, rows: Sequence[Sequence[int]]) -> list[str]:
    return list(model.tokenizer.batch_decode(list(rows), skip_special_tokens=True)) if rows else []


def _until(text: str, stops: Sequence[str]) -> str:
    """What stands before the first of the stops."""
    for stop in stops:
        text = text.split(stop, 1)[0]
    return text.strip()
