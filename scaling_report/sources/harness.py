"""lm-evaluation-harness's result files -> rows: one for every model and task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from eval.files import InputError, hash_file, hash_json, read_json
from scaling_report.sources.table import Row, Table


def is_results(value: Any) -> bool:
    """Whether a file's value is what `lm_eval --output_path` writes (lm_eval/result_schema.py, 0.4)."""
    return isinstance(value, dict) and isinstance(value.get("results"), dict) and "configs" in value


def read_harness(paths: Sequence[Path], name: str) -> Table:
    """Columns: model, n (all parameters; also total), task, each metric, its `_stderr` and `_signature`.

    A metric is called as in the file (`acc,none`), and without its filter where that is `none` (`acc`).
    The signature holds what a score depends on: the task's version, shots, items, chat template, and of
    running text the context.
    """
    rows: list[dict[str, Any]] = []
    places: list[str] = []
    for path in paths:
        value = read_json(path)
        if not is_results(value):
            raise InputError(f"{path}: is no result file of lm-evaluation-harness; leave it out")
        try:
            rows += [_row(value, task, measured) for task, measured in value["results"].items()]
        except (TypeError, AttributeError, ValueError) as error:
            raise InputError(f"{path}: is not whole ({error}); leave it out") from error
        places += [f"{path.name}, {task}" for task in value["results"]]
    return Table(
        name=name,
        rows=rows,
        places=places,
        kinds=("task", "{y}_signature"),
        identity=("model", "task"),
        fingerprint=hash_json({str(path): hash_file(path) for path in paths}),
        sparse=True,
    )


def _row(value: Mapping[str, Any], task: str, measured: Mapping[str, Any]) -> dict[str, Any]:
    config = value.get("config") or {}
    size = config.get("model_num_parameters")
    size = size if isinstance(size, int) and size > 0 else None  # -1: the harness could not count
    row: dict[str, Any] = {
        "model": value.get("model_name") or config.get("model"),
        "revision": config.get("model_revision"),
        "n": size,
        "total": size,
        "task": task,
    }
    signature = _signature(value, task)
    for key, score in measured.items():
        metric, _, kept = key.partition(",")
        if not kept:  # alias, sample_len and the like
            continue
        number = score if isinstance(score, int | float) and not isinstance(score, bool) else None
        names = (key, metric) if kept == "none" else (key,)
        row.update(dict.fromkeys(names, number))
        if "_stderr" not in metric:
            own = f"{signature}|context:{value.get('max_length')}" if _of_text(metric) else signature
            row.update(dict.fromkeys((f"{name}_signature" for name in names), own))
    return row


def _of_text(metric: str) -> bool:
    """Whether a metric is of running text, which a model with a longer context finds easier."""
    return "perplexity" in metric or "bits_per" in metric


def _signature(value: Mapping[str, Any], task: str) -> str:
    def of_task(part: str) -> Any:
        return (value.get(part) or {}).get(task)

    items = of_task("n-samples")
    parts: Row = {
        "version": of_task("versions"),
        "shots": of_task("n-shot"),
        "items": items.get("effective") if isinstance(items, Mapping) else None,
        "chat": value.get("chat_template_sha"),
        "instruction": value.get("system_instruction_sha"),
    }
    return "|".join(f"{key}:{part}" for key, part in parts.items() if part is not None)
