"""Measure answers that are found in a context."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from eval.measuring.base import Asked, Measured, forward
from eval.metrics import metric_by_name
from eval.model import Model
from eval.reading import read_tokens
from eval.requests import ReadRequest
from eval.tasks.base import Span
from eval.tasks.encoding import SpanWindow, encode_spans

LONGEST_ANSWER = 30  # tokens; SQuAD's usual limit (Devlin 2018's run_squad: max_answer_length)


def measure_span(model: Model, task: Span, asked: Asked) -> Measured:
    """The likeliest span of each context against the answers, by SQuAD's exact match and F1.

    A span's score is its start logit plus its end logit, the best over the context's windows. No answer is
    given only where some of the measured rows have none: then where the best span scores no more than the
    first token does, in the window where that is least (SQuAD 2.0 with a threshold of 0).
    """
    rows, stride = asked.rows, asked.settings.stride or model.context // 2
    windows = encode_spans(task, model.tokenizer, rows, model.context, stride)
    requests = [ReadRequest(window.ids, window.types) for window in windows]
    logits = read_tokens(model, requests, batch_tokens=asked.settings.batch_tokens)
    by_row: dict[int, list[tuple[SpanWindow, np.ndarray]]] = defaultdict(list)
    for window, answer in zip(windows, logits, strict=True):
        by_row[window.row].append((window, answer.double().numpy()))
    may_abstain = any(not row["answers"] for row in rows)
    outputs = [_answer(row["context"], by_row[index], may_abstain) for index, row in enumerate(rows)]
    references = [[answer["text"] for answer in row["answers"]] for row in rows]

    metrics = [metric_by_name(name) for name in task.metrics]
    abstains = "threshold:0" if may_abstain else "never"
    how = f"longest:{LONGEST_ANSWER}|no-answer:{abstains}|stride:{stride}|{forward(model)}"
    scores, statistics = asked.score_all(metrics, outputs, references, how)
    return Measured(
        scores=scores,
        items=[
            {"id": row["id"], "output": output}
            | {name: table[i].tolist() for name, table in statistics.items()}
            for i, (row, output) in enumerate(zip(rows, outputs, strict=True))
        ],
        samples=asked.samples(
            [f"{row['question']}\n{row['context']}" for row in rows],
            [texts[0] if texts else "" for texts in references],
            outputs,
        ),
    )


def _answer(context: str, windows: list[tuple[SpanWindow, np.ndarray]], may_abstain: bool) -> str:
    """The text of the best span over a row's windows, or "" for none."""
    best, text = -np.inf, ""
    for window, logits in windows:
        score, first, last = best_span(window, logits)
        if score > best:
            begin, end = window.offsets[first], window.offsets[last]
            assert begin is not None, "a span begins in the context"
            assert end is not None, "a span ends in the context"
            best, text = score, context[begin[0] : end[1]].strip()
    if may_abstain and min(logits[0].sum() for _, logits in windows) >= best:
        return ""
    return text


def best_span(window: SpanWindow, logits: np.ndarray) -> tuple[float, int, int]:
    """(score, first, last) of the best span of at most `LONGEST_ANSWER` context tokens; logits (T, 2)."""
    places = [place for place, offset in enumerate(window.offsets) if offset is not None]
    if not places:
        return -np.inf, 0, 0
    low, high = places[0], places[-1] + 1  # the context's tokens stand together
    starts, ends = logits[low:high, 0], logits[low:high, 1]
    best = (-np.inf, low, low)
    for length in range(min(LONGEST_ANSWER, high - low)):
        sums = starts[: len(starts) - length] + ends[length:]
        place = int(sums.argmax())
        if sums[place] > best[0]:
            best = (float(sums[place]), low + place, low + place + length)
    return best
