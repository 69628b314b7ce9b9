"""A plan as people read it: tables of sizes, of costs and of memory, and lines that sum up."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from pipelines import plan_units as units
from pipelines.ladder import Shape
from pipelines.plan import Plan, Stage
from pipelines.plan_notes import assumptions, where

if TYPE_CHECKING:
    from pipelines.costs import Cost, PlanCosts

WIDTH = 100
_NOTE = "FLOPs a token: 3 x (2 x matmul parameters + 4 x layers x context x width)"
_LEFT = ("rung", "shape", "layout")  # columns of words; numbers stand to the right
Rows = list[dict[str, str]]


def plan_table(plan: Plan) -> Rows:
    """One row a rung and length of its training, texts by column name; tokens and FLOPs are one seed's."""
    return [_row(rung, stages) for rung, stages in _seeds(_shown(plan))]


def cost_table(costs: PlanCosts) -> Rows:
    """What each training takes: its batch, where it lies, time, energy, money and disk of one seed."""
    return [
        _cost_row(costs, _short(rung, 30), costs.trainings[stages[0].id]) for rung, stages in _costed(costs)
    ]


def memory_table(costs: PlanCosts) -> Rows:
    """What a device holds in each training, in bytes' multiples; rungs that hold the same once."""
    rows = [_memory_row(_short(rung, 17), costs.trainings[stages[0].id]) for rung, stages in _costed(costs)]
    return [row for place, row in enumerate(rows) if row not in rows[:place]]


def plan_summary(plan: Plan) -> str:
    """What is trained in all, in a line or two."""
    runs = _of_kind(plan, "pretrain")
    tokens = units.count(_sum(stage.tokens for stage in runs))
    flops = units.flops(_sum(stage.flops for stage in runs))
    trained = f"{len(runs)} pretrainings: {tokens} tokens, {flops} FLOPs" if runs else "nothing is pretrained"
    swept = _of_kind(plan, "sweep")
    if swept:
        cost = units.flops(_sum(stage.flops for stage in swept))
        trained += f"\nbefore them {len(swept)} short ones to find the learning rate: {cost} FLOPs"
    return f"{len(plan.stages)} stages, {trained}"


def cost_summary(costs: PlanCosts) -> str:
    """What all of it takes, from what that is worked out, and what is wrong with it."""
    memory = max((cost.layout.memory.peak for cost in costs.trainings.values()), default=None)
    energy = costs.energy_kwh(costs.busy_device_seconds)
    money = costs.money(costs.busy_device_seconds, costs.paid_device_seconds)
    each = "process" if costs.machine.device is None else "device"
    lines = [
        f"on {where(costs.machine)}, with fine-tuning and evaluation: {units.duration(costs.seconds)}",
        f"{units.size(memory)} of tensors a {each}, {units.size(costs.disk_bytes)} disk "
        f"({units.size(costs.disk_free_bytes)} free)",
        f"energy {units.energy(energy)}, money {units.money(money)}"
        + ("" if money is None else f" {costs.rates.currency}"),
        *(_wrapped(f"  {line}") for line in assumptions(costs)),
        *(_wrapped(f"warning: {line}") for line in costs.warnings),
    ]
    return "\n".join(lines)


def print_plan(plan: Plan, costs: PlanCosts) -> None:
    """Print the tables and the summary."""
    _print(plan_table(plan))
    taken = cost_table(costs)
    if taken:
        print("\none seed's training, on so many devices of those that its batch has rows for:")
        _print(taken)
        print("\nmemory of a device; activations are kept, or computed again (checkpointing):")
        _print(memory_table(costs))
    print(f"\n{plan_summary(plan)}\n{_NOTE}\n{cost_summary(costs)}")


def _print(rows: Sequence[dict[str, str]]) -> None:
    rows = [{column: column for column in rows[0]}, *rows]
    widths = {column: max(len(row[column]) for row in rows) for column in rows[0]}
    for row in rows:
        cells = (
            row[column].ljust(width) if column in _LEFT else row[column].rjust(width)
            for column, width in widths.items()
        )
        print("  ".join(cells).rstrip())


def _short(name: str, most: int) -> str:
    """A name's end, which tells models apart, where it is too long for its column."""
    return name if len(name) <= most else f"…{name[1 - most :]}"


def _wrapped(line: str) -> str:
    return textwrap.fill(line, WIDTH, subsequent_indent="    ", break_on_hyphens=False)


def _of_kind(plan: Plan, kind: str) -> list[Stage]:
    return [stage for stage in plan.stages if stage.kind == kind]


def _shown(plan: Plan) -> list[Stage]:
    """The stages that the table is of: trainings, or models taken in where nothing is trained."""
    return _of_kind(plan, "pretrain") or _of_kind(plan, "fetch")


def _costed(costs: PlanCosts) -> list[tuple[str, list[Stage]]]:
    """The trainings that the tables of costs are of: pretraining, or fine-tuning where there is none."""
    plan = costs.plan
    stages = _of_kind(plan, "pretrain") or _of_kind(plan, "finetune")
    return _seeds([stage for stage in stages if stage.id in costs.trainings])


def _seeds(stages: Iterable[Stage]) -> list[tuple[str, list[Stage]]]:
    """Trainings that differ by their seed alone, with what a row calls them."""
    rows: dict[tuple[str, int | None, str], list[Stage]] = {}
    for stage in stages:
        task = stage.settings["task"] if stage.kind == "finetune" else ""
        rows.setdefault((str(stage.settings["rung"]), stage.tokens, task), []).append(stage)
    return [(f"{rung} {task}".strip(), stages) for (rung, _, task), stages in rows.items()]


def _row(rung: str, seeds: list[Stage]) -> dict[str, str]:
    stage = seeds[0]
    params, hyper = stage.settings["params"], stage.settings.get("hyper")
    size = {
        "rung": rung,
        "shape": str(Shape(**stage.settings["shape"])),
        "seeds": str(len(seeds)),
        "total": units.exact(params["total"]),
        "non-emb.": units.exact(params["non_embedding"]),
        "matmul": units.exact(params["matmul"]),
    }
    if hyper is None:
        return size
    return size | {
        "tokens": units.count(stage.tokens),
        "steps": units.exact(hyper["steps"]),
        "FLOPs": units.flops(stage.flops),
    }


def _cost_row(costs: PlanCosts, rung: str, cost: Cost) -> dict[str, str]:
    hyper, batch = cost.load.stage.settings.get("hyper"), cost.load.rows * cost.load.row_tokens
    rates = [hyper["learning_rate"]] if hyper else cost.load.stage.settings["learning_rates"]
    return {
        "rung": rung,
        "tokens": units.count(cost.load.stage.tokens or cost.load.tokens),
        "batch": units.exact(batch) if batch < 1e6 else units.count(batch),
        "rate": f"{rates[0]:.2g}" if len(rates) == 1 else f"1 of {len(rates)}" if rates else units.UNKNOWN,
        "layout": cost.layout.told(cost.load.rows),
        "time": units.duration(cost.seconds),
        "energy": units.energy(costs.energy_kwh(cost.device_seconds)),
        costs.rates.currency: units.money(costs.money(cost.device_seconds, cost.device_seconds)),
        "disk": units.size(cost.kept_bytes + cost.checkpoint_bytes),
    }


def _memory_row(rung: str, cost: Cost) -> dict[str, str]:
    memory = cost.layout.memory
    return {
        "rung": rung,
        "at once": units.exact(cost.layout.tokens_at_once),
        "weights": units.size(memory.weights),
        "grads": units.size(memory.gradients),
        "optim.": units.size(memory.optimiser),
        "kept": units.size(cost.keeping.activations),
        "again": units.size(cost.recomputing.activations),
        "working": units.size(memory.working),
        "gathered": units.size(memory.gathered),
        "peak": units.size(memory.peak),
    }


def _sum(values: Iterable[float | None]) -> float | None:
    """The sum; None when a value is unknown, for a part would pass for the whole."""
    total = 0.0
    for value in values:
        if value is None:
            return None
        total += value
    return total
