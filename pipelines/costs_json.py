"""A plan's costs as one JSON object: every figure with its unit in its name, null where it is not known."""

from __future__ import annotations

from typing import Any

from pipelines.costs import Cost, PlanCosts, document_bytes, stream_bytes
from pipelines.flops import flops_6nd
from pipelines.layout import Layout, activations
from pipelines.memory import CPU_PROCESS_BYTES, Memory
from pipelines.plan import Stage
from pipelines.plan_notes import time_source


def to_json(costs: PlanCosts) -> dict[str, Any]:
    """`hardware`, `rates`, `rungs` (a training and seed each, and models that are only fetched), `total`,
    `warnings`."""
    return {
        "recipe": costs.plan.recipe,
        "hardware": _hardware(costs),
        "rates": _rates(costs),
        "rungs": [_rung(costs, stage) for stage in costs.plan.stages if _is_row(stage)],
        "corpus": _corpus(costs),
        "total": _total(costs),
        "warnings": list(costs.warnings),
    }


def _is_row(stage: Stage) -> bool:
    return stage.kind in ("sweep", "pretrain", "finetune", "fetch")


def _hardware(costs: PlanCosts) -> dict[str, Any]:
    device, machine = costs.machine.device, costs.machine
    return {
        "name": machine.name,
        "devices": machine.devices,
        "nodes": machine.nodes,
        "peak_bf16_dense_tflops": device and device.bf16_tflops,
        "peak_fp32_tflops": device and device.fp32_tflops,
        "memory_bytes": device and round(device.memory_bytes),
        "memory_for_tensors_bytes": round(costs.free_bytes),
        "bandwidth_bytes_per_second": device and round(device.bandwidth),
    }


def _rates(costs: PlanCosts) -> dict[str, Any]:
    rates = costs.rates
    return {
        "price_per_device_hour": rates.price,
        "price_source": rates.price_source,
        "currency": rates.currency,
        "time_source": time_source(costs.machine, rates),
        "electricity_price_per_kwh": rates.electricity,
        "watts_per_device": rates.watts,
        "watts_source": rates.watts_source,
        "model_flops_utilisation": rates.mfu,
        "model_flops_utilisation_source": rates.mfu_source,
    }


def _rung(costs: PlanCosts, stage: Stage) -> dict[str, Any]:
    settings, cost = stage.settings, costs.trainings.get(stage.id)
    params = settings.get("params") or _params(costs, stage)
    found = {
        "stage": stage.id,
        "rung": settings["rung"],
        "seed": settings["seed"],
        "shape": settings["shape"],
        "parameters_total": params["total"],
        "parameters_non_embedding": params["non_embedding"],
        "parameters_matmul": params["matmul"],
    }
    if cost is None:
        return found | {"tokens": stage.tokens, "flops": stage.flops}
    tokens = stage.tokens or cost.load.tokens
    return found | {
        "tokens": tokens,
        "stage_tokens": cost.load.tokens * cost.load.trials,
        "steps": cost.load.steps * cost.load.trials,
        "batch_rows": cost.load.rows,
        "batch_tokens": cost.load.rows * cost.load.row_tokens,
        "flops": cost.load.flops_per_token * tokens,
        "stage_flops": cost.load.flops,
        "flops_6nd_total": _6nd(params["total"], tokens),
        "flops_6nd_non_embedding": _6nd(params["non_embedding"], tokens),
        "layout": _layout(costs, cost.layout),
        "memory_without_checkpointing": _memory(costs, cost.keeping),
        "memory_with_checkpointing": _memory(costs, cost.recomputing),
        "activations_by_tokens_at_once": _by_micro_tokens(costs, cost),
        "disk": {"kept_bytes": cost.kept_bytes, "checkpoints_while_training_bytes": cost.checkpoint_bytes},
        **_spent(costs, cost),
    }


def _6nd(parameters: int | None, tokens: int) -> float | None:
    return None if parameters is None else flops_6nd(parameters, tokens)


def _params(costs: PlanCosts, stage: Stage) -> dict[str, int | None]:
    """Of a fine-tuned model: those of the one it begins with."""
    found: dict[str, int | None] = costs.plan.stage(stage.inputs[0]).settings["params"]
    return found


def _layout(costs: PlanCosts, layout: Layout) -> dict[str, Any]:
    return {
        "fits": layout.fits,
        "kind": layout.kind if layout.fits else None,
        "devices": layout.workers if layout.fits else None,
        "tokens_at_once_per_device": layout.tokens_at_once,
        "parts_a_batch": layout.parts,
        "activation_checkpointing": layout.checkpointing,
        "settings_needed": list(layout.needs),
        "instead": layout.instead,
        "memory": _memory(costs, layout.memory),
    }


def _memory(costs: PlanCosts, memory: Memory) -> dict[str, int]:
    """Bytes a device."""
    process = CPU_PROCESS_BYTES if costs.machine.device is None else 0
    return memory.in_bytes() | {"process_bytes": process}


def _by_micro_tokens(costs: PlanCosts, cost: Cost) -> list[dict[str, int]]:
    """Activations of a device for a row, two, four, … at once, up to its share of a batch."""
    load, found, rows = cost.load, [], 1
    share = -(-load.rows // cost.layout.workers)
    while rows <= share:
        tokens = rows * load.row_tokens
        kept, again = (
            activations(load.work, cost.layout, costs.machine, checkpointing, tokens).activations
            for checkpointing in (False, True)
        )
        found.append(
            {
                "tokens_at_once": tokens,
                "activations_bytes": kept,
                "activations_with_checkpointing_bytes": again,
            }
        )
        rows *= 2
    return found


def _spent(costs: PlanCosts, cost: Cost) -> dict[str, Any]:
    seconds, busy = cost.seconds, cost.device_seconds
    return {
        "seconds": seconds,
        "bound_by": cost.bound,
        "tokens_per_second": seconds and cost.load.tokens * cost.load.trials / seconds,
        "device_hours": busy and busy / 3600,
        "energy_kwh": costs.energy_kwh(busy),
        "energy_source": None if costs.rates.watts is None else "estimated from declared watts",
        "money": costs.money(busy, busy),
    }


def _corpus(costs: PlanCosts) -> dict[str, Any] | None:
    size = costs.corpus
    if size is None:
        return None
    return {
        "train_tokens": round(size.train_tokens),
        "train_tokens_source": "prepared" if size.exact else "estimated from sizes",
        "text_bytes": None if size.text_bytes is None else round(size.text_bytes),
    }


def _total(costs: PlanCosts) -> dict[str, Any]:
    every = list(costs.trainings.values())
    pretrained = [cost for cost in every if cost.load.stage.kind == "pretrain"]
    return {
        "stages": len(costs.plan.stages),
        "pretrainings": sum(stage.kind == "pretrain" for stage in costs.plan.stages),
        "pretraining_tokens": sum(cost.load.tokens for cost in pretrained),
        "pretraining_flops": sum(cost.load.flops for cost in pretrained),
        "training_flops": sum(cost.load.flops for cost in every),
        "peak_bytes_per_device": max((cost.layout.memory.peak for cost in every), default=None),
        "preparation_seconds": costs.preparation_seconds,
        "seconds": costs.seconds,
        "paid_device_hours": costs.paid_device_seconds and costs.paid_device_seconds / 3600,
        "busy_device_hours": costs.busy_device_seconds and costs.busy_device_seconds / 3600,
        "energy_kwh": costs.energy_kwh(costs.busy_device_seconds),
        "money": costs.money(costs.busy_device_seconds, costs.paid_device_seconds),
        "disk_bytes": costs.disk_bytes and round(costs.disk_bytes),
        "disk_streams_bytes": round(stream_bytes(every, costs.corpus)),
        "disk_documents_bytes": round(document_bytes(costs.corpus)),
        "disk_free_bytes": costs.disk_free_bytes,
    }
