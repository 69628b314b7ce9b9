"""Measure written texts against references."""

from __future__ import annotations

from collections.abc import Sequence

from eval.baselines import best_constant
from eval.measuring.base import Asked, Baseline, Measured, forward
from eval.metrics import ItemMetric, metric_by_name
from eval.metrics.base import count_references
from eval.model import Model, generate
from eval.requests import GenerateRequest
from eval.tasks.base import Generation
from eval.tasks.encoding import encode_prompts, stop_ids
from eval.tasks.rows import has_rows, read_rows


def measure_generation(model: Model, task: Generation, asked: Asked) -> Measured:
    """Greedy texts against references; the baseline writes one training target under everything."""
    rows, settings = asked.rows, asked.settings
    prompts = encode_prompts(task, model.tokenizer, rows, model.context)
    requests = [GenerateRequest(prompt, task.max_new_tokens) for prompt in prompts]
    stops = stop_ids(model.tokenizer)
    written = generate(model, requests, stops=stops, batch_tokens=settings.batch_tokens)
    outputs = [_first_line(text) for text in model.tokenizer.batch_decode(written, skip_special_tokens=True)]
    references = [task.references(row) for row in rows]

    num_refs = count_references(references)
    metrics = [metric_by_name(name, num_refs=num_refs) for name in task.metrics]
    how = f"greedy|max_new_tokens:{task.max_new_tokens}|stop:eos,newline|{forward(model)}"
    scores, statistics = asked.score_all(metrics, outputs, references, how)
    read = model.tokenizer.batch_decode(prompts, skip_special_tokens=True)
    return Measured(
        scores=scores,
        items=[
            {"id": row["id"], "output": output}
            | {name: table[i].tolist() for name, table in statistics.items()}
            for i, (row, output) in enumerate(zip(rows, outputs, strict=True))
        ],
        samples=asked.samples(read, [task.reference(row) for row in rows], outputs),
        baselines=_constant(task, metrics, references, asked),
    )


def _constant(
    task: Generation, metrics: Sequence[ItemMetric], references: Sequence[list[str]], asked: Asked
) -> list[Baseline]:
    """The best train target under everything; nothing where there are no rows to choose it from."""
    candidates = [task.reference(row) for row in asked.train]
    if not candidates or not has_rows(asked.data, "validation"):
        return []
    tuned_on = [task.reference(row) for row in read_rows(task, asked.data, "validation")]
    constant = best_constant(candidates, tuned_on)
    how = "one train target for all, the best of all by BLEU on validation"
    scores, _ = asked.score_all(metrics, [constant] * len(references), references, how)
    return [Baseline("best-constant", scores)]


def _first_line(text: str) -> str:
    return text.split("\n", 1)[0].strip()
