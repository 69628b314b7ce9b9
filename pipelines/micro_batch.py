"""How much of a batch goes through the model at once: memory and speed, not meaning."""

from __future__ import annotations

from typing import Any

import torch
from accelerate import Accelerator

from pipelines.batches import Batch, Batches

# On a processor more than this gains nothing: what a layer hands to the next should stay near its caches.
CPU_TOKENS = 4096
# On a GPU, beside the weights: gradients and AdamW's two moments, which are not there yet while probing.
STATE_COPIES = 3


def find_micro_tokens(module: torch.nn.Module, batches: Batches, accelerator: Accelerator) -> int:
    """Padded tokens of a part of a batch: on a GPU the most that fit, found by trying, alike on all ranks.

    module: an objective in training, before its first step; no weight moves, and random states are restored.
    Tries a rank's whole share of the first batch, then half of it, and so on; a row at the least.
    """
    if accelerator.device.type != "cuda":
        return CPU_TOKENS
    batch = batches.batch(0)
    rows, length = batch["input_ids"].shape
    share = -(-rows // accelerator.num_processes)
    while share > 1 and not fits(module, {name: value[:share] for name, value in batch.items()}, accelerator):
        share = -(-share // 2)
    least = torch.tensor([float(share)], device=accelerator.device)
    found = accelerator.gather(least).min()
    return int(found.item()) * length


def fits(module: Any, batch: Batch, accelerator: Accelerator) -> bool:
    """Whether a forward and a backward pass find memory beside what the optimiser will need."""
    device = accelerator.device
    trained = sum(value.numel() for value in module.parameters() if value.requires_grad)
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            held = torch.empty(STATE_COPIES * trained, dtype=torch.float32, device=device)
            with accelerator.autocast():
                nats = module({name: value.to(device) for name, value in batch.items()})
            nats.backward()
            del held, nats
    except torch.OutOfMemoryError:
        return False
    finally:
        module.zero_grad(set_to_none=True)
        if device.type == "cuda":
            torch.cuda.empty_cache()
    return True
