"""Measure answers that are found in a context."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from eval.measuring.base import Asked, Item, Measurement, forward, num_bytes, rows_of
from eval.metrics import metric_by_name
from eval.model import Model
from eval.reading import read_tokens
from eval.requests import ReadRequest
from eval.tasks.base import Row, Span
from eval.tasks.encoding import SpanWindow, encode_spans

LONGEST_ANSWER = 30  # tokens; SQuAD's usual limit (Devlin 2018's run_squad: max_answer_length)


def begin_span(model: Model, task: Span, asked: Asked) -> Measurement:
    """The likeliest span of each context against the answers, by SQuAD's exact match and F1.

    A span's score is its start logit plus its end logit, the best over the context's windows. No answer is
    given only where some of the measured rows have none: then where the best span scores no more than the
    first token does, in the window where that is least (SQuAD 2.0 with a threshold of 0). The gold answer's
    nats are those of its start and its end in the window that holds it best; of no answer there are none.
    """
    stride = asked.settings.stride or model.context // 2
    may_abstain = any(not row["answers"] for row in asked.rows)
    metrics = [metric_by_name(name) for name in task.metrics]
    compared = [metric for metric in metrics if metric.name != "answer_bits_per_byte"]

    def answer(rows: Sequence[Row]) -> list[Item]:
        windows = encode_spans(task, model.tokenizer, rows, model.context, stride)
        requests = [ReadRequest(window.ids, window.types) for window in windows]
        logits = read_tokens(model, requests, limits=asked.limits)
        by_row: dict[int, list[tuple[SpanWindow, np.ndarray]]] = defaultdict(list)
        for window, outputs_of in zip(windows, logits, strict=True):
            by_row[window.row].append((window, outputs_of.double().numpy()))
        outputs = [_answer(row["context"], by_row[i], may_abstain) for i, row in enumerate(rows)]
        references = [[one["text"] for one in row["answers"]] for row in rows]
        statistics = rows_of(compared, outputs, references) if compared else [{} for _ in rows]
        for i in range(len(rows) if len(compared) < len(metrics) else 0):
            statistics[i]["answer_bits_per_byte"] = _gold(references[i], by_row[i])
        return [
            Item(
                row=row,
                input=f"{row['question']}\n{row['context']}",
                output=outputs[i],
                reference=references[i],
                statistics=statistics[i],
                tokens=sum(len(window.ids) for window, _ in by_row[i]),
            )
            for i, row in enumerate(rows)
        ]

    abstains = "threshold:0" if may_abstain else "never"
    how = f"longest:{LONGEST_ANSWER}|no-answer:{abstains}|stride:{stride}|{forward(model)}"
    return Measurement(metrics=metrics, how=how, answer=answer)


def _gold(references: list[str], windows: list[tuple[SpanWindow, np.ndarray]]) -> np.ndarray:
    """(nats, bytes) of the first answer: by the softmax of starts and that of ends; zeros where none is."""
    held = [
        float(np.logaddexp.reduce(logits, axis=0).sum() - logits[window.start, 0] - logits[window.end, 1])
        for window, logits in windows
        if window.start or window.end
    ]
    return np.array([min(held), num_bytes(references[0])] if held else [0.0, 0.0])


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
