"""Bytes that a training step holds: weights, gradients, optimiser's state, activations; in closed form.

Weights, gradients and moments are float32 here, whatever the precision: 4 + 4 + 8 bytes a parameter for
AdamW, the 16 of Rajbhandari et al. 2020 (ZeRO, section 3.1), who count 2 + 2 + 12 for weights kept twice.
Under autocast the blocks' matrices are there once more in two bytes.

Activations follow Korthikanti et al. 2022 (Reducing Activation Recomputation in Large Transformer Models,
eq. 1: s·b·h·(34 + 5·a·s/h) bytes a layer at 16 bits). Counted anew for what this package runs: no dropout
masks unless there is dropout, a residual stream in float32, and no 5·a·s/h where attention is fused; on a
processor the softmax is kept, half of it under a causal mask (`pipelines.attention`). With checkpointing a
layer keeps its input alone; what one layer computes again counts as working memory.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from pipelines.ladder import Shape, count_params

WEIGHT = 4  # bytes of a float32
CPU_BLOCK = 64  # queries of a block, `attention.BLOCK`
CHUNK_LOGITS = {"cpu": 2**21, "cuda": 2**27}  # `fused_loss.CHUNK_LOGITS`
# Beside the tensors: a CUDA context with its libraries, and what the allocator cannot give again. Assumed.
GPU_CONTEXT_BYTES = 1.5e9
FRAGMENTED = 0.05
CPU_PROCESS_BYTES = 450 * 2**20  # Python with torch and transformers imported
# Values a token and width that the way back through one layer needs beside what was kept: measured, see
# docs/planning.md. What is kept goes while these come.
_WORKING = 4


@dataclass(frozen=True, kw_only=True)
class Work:
    """One training step, as far as memory goes. `tokens_at_once`: what goes through the model at once;
    `parts`: how many such parts a batch has; `fused_attention`: as on a GPU. `precision`: fp32, bf16, fp16.
    `trained`: parameters that move, where not all do (LoRA)."""

    shape: Shape
    family: str
    vocab_size: int
    context: int
    tokens_at_once: int
    parts: int = 1
    optimizer: str = "adamw"
    momentum: float = 0.9
    precision: str = "fp32"
    dropout: float = 0.0
    checkpointing: bool = False
    fused_attention: bool = True
    scored_share: float = 1.0
    trained: int | None = None


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes on one device. `activations`: kept for the way back; `working`: what one layer and the head
    need for a moment; `gathered`: what sharding puts together for a moment, or DDP's buckets."""

    weights: int
    gradients: int
    optimiser: int
    activations: int
    working: int
    gathered: int = 0

    @property
    def peak(self) -> int:
        """All of it at once: an upper bound, for activations go while gradients come."""
        return self.states + self.activations + self.working + self.gathered

    @property
    def states(self) -> int:
        """Weights, gradients and the optimiser's state: what sharding divides."""
        return self.weights + self.gradients + self.optimiser

    def in_bytes(self) -> dict[str, int]:
        """By name with its unit, for JSON."""
        return {f"{name}_bytes": value for name, value in asdict(self).items()} | {"peak_bytes": self.peak}


def count_memory(work: Work) -> Memory:
    """Bytes of one device that has the whole model."""
    params = count_params(work.shape, work.vocab_size, work.context, work.family)["total"]
    moved = params if work.trained is None else work.trained
    low = 0 if work.precision == "fp32" else 2 * work.shape.n_layer * _block_params(work.shape.n_embd)
    return Memory(
        weights=WEIGHT * params + low,
        gradients=WEIGHT * moved,
        optimiser=optimiser_bytes(work, moved),
        activations=round(work.tokens_at_once * _kept_a_token(work)),
        working=round(_working(work)),
    )


def data_parallel(memory: Memory) -> Memory:
    """Bytes of one of several devices that each have the whole model: DDP's buckets hold gradients again."""
    return replace(memory, gathered=memory.gradients)


def sharded(work: Work, devices: int) -> Memory:
    """Bytes of one of `devices` under FSDP: states divided; the block at work and the next, whole.

    Embeddings with the tied head are one more unit, whole from the way in to the way back. What is gathered
    is float32; autocast's two-byte copies of all blocks' matrices stay for the way back, undivided.
    """
    whole = count_memory(work)
    block, width = _block_params(work.shape.n_embd), work.shape.n_embd
    tables = (work.vocab_size + work.context) * width
    low = 0 if work.precision == "fp32" else 2 * work.shape.n_layer * block
    params = count_params(work.shape, work.vocab_size, work.context, work.family)["total"]
    return replace(
        whole,
        weights=-(-WEIGHT * params // devices),
        gradients=-(-whole.gradients // devices),
        optimiser=-(-whole.optimiser // devices),
        gathered=WEIGHT * (2 * tables + 3 * block) + low,
    )


def optimiser_bytes(work: Work, params: int) -> int:
    """The optimiser's state for so many parameters: AdamW two moments, SGD momentum, RMSprop squares and
    momentum; Adafactor a row and a column of each matrix (Shazeer and Stern 2018)."""
    if work.optimizer == "adafactor":
        return WEIGHT * _rows_and_columns(work)
    momentum = 1 if work.momentum else 0
    copies = {"adamw": 2, "sgd": momentum, "rmsprop": 1 + momentum}[work.optimizer]
    return WEIGHT * copies * params


def _rows_and_columns(work: Work) -> int:
    d = work.shape.n_embd
    matrices = [(d, 3 * d), (d, d), (d, 4 * d), (4 * d, d)]
    if work.family == "bert":
        matrices = [(d, d)] * 4 + matrices[2:]
    vectors = 13 * d
    layers = work.shape.n_layer * (sum(map(sum, matrices)) + vectors)
    tables = work.vocab_size + d + work.context + d
    if work.family == "gpt2":
        return layers + tables + 2 * d
    # types, their norm, the head's transform with its norm, and its bias
    return layers + tables + (2 + d) + 2 * d + (2 * d + 3 * d) + work.vocab_size


def _block_params(width: int) -> int:
    return 12 * width * width + 13 * width


def _kept_a_token(work: Work) -> float:
    """Bytes a token kept from the way in to the way back, all layers and what lies around them."""
    d, layers = work.shape.n_embd, work.shape.n_layer
    inside = layers * (WEIGHT * d if work.checkpointing else _layer_a_token(work))
    low = WEIGHT if work.precision == "fp32" else 2
    # the last norm's input, its output, and the head's gradient for it, which is made on the way in
    around = WEIGHT * d + WEIGHT * d + work.scored_share * 2 * low * d
    return inside + around + 4 * 8  # ids and targets, 8 bytes each, and masks


def _layer_a_token(work: Work) -> float:
    """Bytes a token that one layer keeps.

    In float32, of the width: norm's input and output (2 + 2), queries, keys, values (3), attention's output
    (1), the MLP's inside before and after its non-linearity (4 + 4): 16 values. Under autocast the norms'
    inputs stay in float32; BERT casts one input three times, for queries, keys and values.
    """
    d, heads = work.shape.n_embd, work.shape.n_head
    if work.precision == "fp32":
        width, value = 16 * WEIGHT, WEIGHT
    else:
        width, value = (36, 2) if work.family == "gpt2" else (40, 2)
    bytes_ = width * d + 2 * 2 * WEIGHT  # mean and deviation of two norms
    if work.dropout:
        bytes_ += 2 * d  # masks of a byte after attention and MLP
    if work.fused_attention:
        return bytes_ + WEIGHT * heads  # the softmax's normaliser
    length = work.context
    if work.dropout:  # torch's own attention: softmax, mask and what is left of it
        return bytes_ + heads * length * (2 * value + 1)
    seen = (length + CPU_BLOCK) / 2 if work.family == "gpt2" and length > CPU_BLOCK else length
    return bytes_ + heads * seen * value


def _working(work: Work) -> float:
    """Bytes that the largest moment needs: the way back through a layer, with what is computed again for it,
    or the head's chunk of logits."""
    d = work.shape.n_embd
    low = WEIGHT if work.precision == "fp32" else 2
    again = _layer_a_token(work) if work.checkpointing else 0.0
    layer = work.tokens_at_once * (_WORKING * d * low + again)
    if not work.scored_share:  # labels, not tokens, come out: there is no head to speak of
        return layer
    place = "cuda" if work.fused_attention else "cpu"
    scored = max(1, round(work.tokens_at_once * work.scored_share))
    rows = min(scored, max(64, CHUNK_LOGITS[place] // work.vocab_size))
    logits = rows * work.vocab_size * (WEIGHT if work.precision == "fp32" else 2 * low + WEIGHT)
    table = work.vocab_size * d
    # the head's gradient, its scaled copy and a product's result; under autocast the table in two bytes
    head = table * (2 * WEIGHT + low) + (table * low if work.precision != "fp32" else 0)
    return max(layer, head + logits)
