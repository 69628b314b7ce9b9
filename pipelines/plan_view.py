"""A plan as people read it: a row a rung, and lines that sum up."""

from __future__ import annotations

from collections.abc import Iterable

from pipelines.estimate import usable_cores
from pipelines.ladder import Shape, human_count
from pipelines.plan import Plan, Stage

UNKNOWN = "?"  # a pretrained tokenizer tells its size only when it is loaded
_NOTE = (
    "tokens, FLOPs and time in the table are one seed's\n"
    "FLOPs a token: 3 x (2 x matmul parameters + 4 x layers x context x width)"
)
_LEFT = ("rung", "shape")  # columns of words; numbers stand to the right


def plan_table(plan: Plan) -> list[dict[str, str]]:
    """One row a rung and length of its training, texts by column name."""
    rows: dict[tuple[str, int | None], list[Stage]] = {}
    for stage in _shown(plan):
        rows.setdefault((str(stage.settings["rung"]), stage.tokens), []).append(stage)
    return [_row(rung, stages) for (rung, _), stages in rows.items()]


def plan_summary(plan: Plan) -> str:
    """What all of it takes, in a few lines."""
    runs = _pretrained(plan)
    seconds = _sum(stage.seconds_estimate for stage in plan.stages)
    disk = _sum(stage.disk_bytes for stage in plan.stages if stage.kind in ("pretrain", "finetune"))
    memory = max((stage.memory_bytes or 0 for stage in runs), default=0) or None
    tokens = _count(_sum(stage.tokens for stage in runs))
    flops = _flops(_sum(stage.flops for stage in runs))
    trained = f"{len(runs)} pretrainings: {tokens} tokens, {flops} FLOPs" if runs else "nothing is pretrained"
    swept = [stage for stage in plan.stages if stage.kind == "sweep"]
    if swept:
        cost = _flops(_sum(stage.flops for stage in swept))
        trained += f"\nbefore them {len(swept)} short ones to find the learning rate: {cost} FLOPs"
    return (
        f"{len(plan.stages)} stages, {trained}\n"
        f"estimated, with fine-tuning and evaluation: {_time(seconds)} on {usable_cores()} cores, "
        f"{_bytes(memory)} memory a process, {_bytes(disk)} disk\n"
        f"{_NOTE}"
    )


def print_plan(plan: Plan) -> None:
    """Print the table and the summary."""
    rows = plan_table(plan)
    rows.insert(0, {column: column for column in rows[0]})
    widths = {column: max(len(row[column]) for row in rows) for column in rows[0]}
    for row in rows:
        cells = (
            row[column].ljust(width) if column in _LEFT else row[column].rjust(width)
            for column, width in widths.items()
        )
        print("  ".join(cells).rstrip())
    print(f"\n{plan_summary(plan)}")


def _pretrained(plan: Plan) -> list[Stage]:
    return [stage for stage in plan.stages if stage.kind == "pretrain"]


def _shown(plan: Plan) -> list[Stage]:
    """The stages that the table is of: trainings, or models taken in where nothing is trained."""
    return _pretrained(plan) or [stage for stage in plan.stages if stage.kind == "fetch"]


def _row(rung: str, seeds: list[Stage]) -> dict[str, str]:
    stage = seeds[0]
    params, hyper = stage.settings["params"], stage.settings.get("hyper")
    size = {
        "rung": rung,
        "shape": str(Shape(**stage.settings["shape"])),
        "seeds": str(len(seeds)),
        "total": _exact(params["total"]),
        "non-emb.": _exact(params["non_embedding"]),
    }
    if hyper is None:
        return size
    return size | {
        "tokens": _count(stage.tokens),
        "steps": _exact(hyper["steps"]),
        "batch": _exact(hyper["batch_tokens"]),
        "rate": f"{hyper['learning_rate']:.2g}",
        "FLOPs": _flops(stage.flops),
        "time": _time(stage.seconds_estimate),
    }


def _sum(values: Iterable[float | None]) -> float | None:
    """The sum; None when a value is unknown, for a part would pass for the whole."""
    total = 0.0
    for value in values:
        if value is None:
            return None
        total += value
    return total


def _exact(count: int | None) -> str:
    return UNKNOWN if count is None else f"{count:,}"


def _count(count: float | None) -> str:
    return UNKNOWN if count is None else human_count(count)


def _flops(flops: float | None) -> str:
    return UNKNOWN if flops is None else f"{flops:.2e}"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return UNKNOWN
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _bytes(size: float | None) -> str:
    if size is None:
        return UNKNOWN
    return f"{size / 2**20:.0f} MiB" if size < 2**30 else f"{size / 2**30:.1f} GiB"
