"""FLOPs of a GPT-2 or BERT, in closed form.

Convention, to be stated wherever the numbers are shown: a multiply-add is two FLOPs; every `matmul` parameter
(blocks and output head, see `ladder.count_params`) costs one multiply-add a token, the head at every token
that is processed, scored or not (for BERT that includes the transform before the head; a classifier's pooler
is as large); attention's scores and values are counted in full, not halved for the causal mask; training
costs three forward passes. These are model FLOPs: what a faster kernel skips is still counted.
"""

from __future__ import annotations

from pipelines.ladder import Shape, count_non_embedding


def forward_flops_per_token(shape: Shape, outputs: int, sequence_length: int, family: str = "gpt2") -> int:
    """FLOPs of one token's forward pass: 2·matmul + 4·n_layer·T·d.

    `outputs`: rows of the output head, counted at every token: a language model's vocabulary, a classifier's
    labels. `sequence_length`: T, the tokens each token attends over. Source: Kaplan 2020, table 1, with the
    head added.
    """
    matmul = count_non_embedding(shape, family) + outputs * shape.n_embd
    if family == "bert":
        matmul += outputs  # its head has biases
    return 2 * matmul + 4 * shape.n_layer * sequence_length * shape.n_embd


def training_flops_per_token(shape: Shape, outputs: int, sequence_length: int, family: str = "gpt2") -> int:
    """FLOPs of one token's forward and backward pass: three forward passes."""
    return 3 * forward_flops_per_token(shape, outputs, sequence_length, family)


def flops_6nd(parameters: float, tokens: float) -> float:
    """Training FLOPs by the short form 6·N·D: neither the head's products nor attention's are counted apart.

    N is whatever the figure it is compared with counts: without embeddings in Kaplan 2020, all parameters in
    Brown 2020 (GPT-3: 3.14e23) and Hoffmann 2022 (Chinchilla: 5.88e23).
    """
    return 6.0 * parameters * tokens
