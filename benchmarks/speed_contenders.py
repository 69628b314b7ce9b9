"""What the speed benchmark sets side by side: each contender trains some steps and says its tokens/s."""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bare_gpt import BareGPT
from transformers import (
    BertConfig,
    BertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from pipelines.batches import Batch, PackedWindows
from pipelines.compiling import decide_compile
from pipelines.fast import tune_for_training
from pipelines.fused_loss import IGNORED
from pipelines.ladder import Shape
from pipelines.micro_batch import find_micro_tokens
from pipelines.objectives import objective
from pipelines.optim import Optimisation
from pipelines.ranks import make_accelerator
from pipelines.train import Run, train
from pipelines.training_setup import DTYPES, native_precision

# (warm steps, timed steps) -> tokens a second over the timed ones, and what they took beyond their forward
# and backward passes as a share of those: None where that is not looked at
Contender = Callable[[int, int], tuple[float, float | None]]
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
PRECISION = native_precision()
DTYPE = DTYPES[PRECISION]
# Of the rung whose start-up and compiling count.
RUNG_TOKENS = {"cpu": 2_000_000, "cuda": 2_000_000_000}[DEVICE]


@dataclass(frozen=True)
class Setting:
    """What all contenders share."""

    shape: Shape
    vocabulary: int
    context: int
    rows: int
    family: str = "gpt2"

    @property
    def tokens_a_step(self) -> int:
        return self.rows * self.context


@dataclass(frozen=True)
class Masked:
    """Packed windows of which every seventh position or so is scored, as in masked language modelling."""

    packed: PackedWindows

    def batch(self, step: int) -> Batch:
        ids = self.packed.batch(step)["input_ids"]
        chosen = torch.rand(ids.shape, generator=torch.Generator().manual_seed(step)) < 0.15
        return {"input_ids": ids.masked_fill(chosen, 0), "targets": ids.masked_fill(~chosen, IGNORED)}

    def lengths(self, step: int) -> list[int]:
        return self.packed.lengths(step)


def batches(setting: Setting) -> PackedWindows:
    """The same windows in the same order for all, of tokens as frequent as words are (1 / rank)."""
    odds = 1 / np.arange(1, setting.vocabulary + 1)
    random = np.random.default_rng(0)
    stream = random.choice(setting.vocabulary, size=2_100_000, p=odds / odds.sum()).astype(np.uint16)
    return PackedWindows(stream, setting.context, setting.rows, seed=0)


def model_of(setting: Setting) -> Any:
    """Transformers' model with new weights, without dropout."""
    torch.manual_seed(0)
    shape = setting.shape
    if setting.family == "bert":
        return BertForMaskedLM(
            BertConfig(
                vocab_size=setting.vocabulary,
                hidden_size=shape.n_embd,
                num_hidden_layers=shape.n_layer,
                num_attention_heads=shape.n_head,
                intermediate_size=4 * shape.n_embd,
                max_position_embeddings=setting.context,
                hidden_dropout_prob=0.0,
                attention_probs_dropout_prob=0.0,
            )
        )
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=setting.vocabulary,
            n_positions=setting.context,
            n_layer=shape.n_layer,
            n_embd=shape.n_embd,
            n_head=shape.n_head,
            bos_token_id=0,
            eos_token_id=0,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
        )
    )


def module_of(setting: Setting) -> torch.nn.Module:
    """The real objective around the tuned model."""
    name = "masked-lm" if setting.family == "bert" else "causal-lm"
    tuned = tune_for_training(model_of(setting).train(), on_cpu=DEVICE == "cpu")
    return objective(name, tuned, DTYPE).to(DEVICE)


def ours(setting: Setting) -> Contender:
    """`pipelines.train.train` with the real objective; a log line after the warm steps and at the end.

    Compiled, and in such parts of a batch, as a stage of so many tokens decides.
    """
    packed = batches(setting)
    data = Masked(packed) if setting.family == "bert" else packed
    module = module_of(setting)
    accelerator = make_accelerator(PRECISION)
    micro_tokens = find_micro_tokens(module, data, accelerator)
    compiled = decide_compile(
        module,
        data,
        optimisation(RUNG_TOKENS // setting.tokens_a_step),
        micro_tokens=micro_tokens,
        autocast=accelerator.autocast,
        device=accelerator.device,
    )
    print(f"{setting.shape}: {compiled.reason}", file=sys.stderr)

    def run(warm: int, timed: int) -> tuple[float, float | None]:
        times: list[tuple[float, float]] = []
        accelerator = make_accelerator(PRECISION)
        passes = Passes(module, accelerator)
        with tempfile.TemporaryDirectory() as folder:
            asked = Run(
                batches=data,
                how=optimisation(warm + timed),
                folder=Path(folder),
                log_every_tokens=warm * setting.tokens_a_step,
                checkpoint_every_s=1e9,
                on_progress=lambda progress: times.append((time.perf_counter(), passes.seconds)),
                on_warning=lambda text: None,
                highest_loss_nats=1e9,
                micro_tokens=micro_tokens,
                compile=compiled.compile,
            )
            train(module, asked, accelerator)
        passes.hook.remove()
        (began, before), (ended, after) = times[0], times[-1]
        seconds = ended - began
        # a GPU works on by itself, and a compiled model has no place to look at the clock
        seen = DEVICE == "cpu" and not compiled.compile
        overhead = seconds / (after - before) - 1 if seen else None
        return timed * setting.tokens_a_step / seconds, overhead

    return run


class Passes:
    """Adds up the seconds from the start of each forward pass to the end of its backward pass."""

    def __init__(self, module: torch.nn.Module, accelerator: Any) -> None:
        self.seconds, self.began, self.backward = 0.0, 0.0, accelerator.backward
        self.hook = module.register_forward_pre_hook(self.start)
        accelerator.backward = self.back

    @torch.compiler.disable
    def start(self, *_: Any) -> None:
        self.began = time.perf_counter()

    def back(self, loss: torch.Tensor, **more: Any) -> None:
        self.backward(loss, **more)
        self.seconds += time.perf_counter() - self.began


def bare(setting: Setting, compiled: bool = False) -> Contender:
    """The benchmark's own model in the plainest loop: no logs, no checks, batches made in place."""
    data, shape = batches(setting), setting.shape
    torch.manual_seed(0)
    model = BareGPT(shape.n_layer, shape.n_embd, shape.n_head, setting.vocabulary, setting.context).to(DEVICE)
    called = torch.compile(model, dynamic=False) if compiled else model
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1, fused=True
    )

    def step(index: int) -> None:
        batch = {name: value.to(DEVICE) for name, value in data.batch(index).items()}
        with torch.autocast(DEVICE, dtype=DTYPE, enabled=PRECISION != "fp32"):
            loss = called(batch["input_ids"], batch["targets"])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return lambda warm, timed: timed_steps(step, warm, timed, setting)


def timed_steps(
    step: Callable[[int], None], warm: int, timed: int, setting: Setting
) -> tuple[float, float | None]:
    for index in range(warm):
        step(index)
    finish()
    began = time.perf_counter()
    for index in range(warm, warm + timed):
        step(index)
    finish()
    return timed * setting.tokens_a_step / (time.perf_counter() - began), None


def finish() -> None:
    """Wait for what was handed to the GPU."""
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def trainer(setting: Setting) -> Contender:
    """transformers' Trainer with its defaults, but for the order of the data, saving and reporting."""
    model, data = model_of(setting), Rows(batches(setting))

    def run(warm: int, timed: int) -> tuple[float, float | None]:
        clock = Clock(warm)
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            arguments = TrainingArguments(
                output_dir=folder,
                per_device_train_batch_size=setting.rows,
                max_steps=warm + timed,
                train_sampling_strategy="sequential",
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
            )
            Trainer(model=model, args=arguments, train_dataset=data, callbacks=[clock]).train()
        return timed * setting.tokens_a_step / (clock.ended - clock.began), None

    return run


class Clock(TrainerCallback):
    """The moments after the warm steps and after the last."""

    def __init__(self, warm: int) -> None:
        self.warm, self.began, self.ended = warm, 0.0, 0.0

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        finish()
        if state.global_step <= self.warm:
            self.began = time.perf_counter()
        self.ended = time.perf_counter()


class Rows(torch.utils.data.Dataset):
    """The rows of the batches, in their order; labels are the ids, which the model shifts itself."""

    def __init__(self, data: PackedWindows) -> None:
        steps = data.windows // data.batch_size
        self.ids = torch.cat([data.batch(step)["input_ids"] for step in range(steps)])  # (rows, T)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"input_ids": self.ids[index], "labels": self.ids[index]}


def optimisation(steps: int) -> Optimisation:
    return Optimisation(
        learning_rate=1e-3,
        steps=steps,
        warmup_steps=0,
        schedule="constant",
        decay_fraction=0.0,
        weight_decay=0.1,
        beta1=0.9,
        beta2=0.95,
        clip=1.0,
    )


CONTENDERS: dict[str, Callable[[Setting], Contender]] = {
    "ours": ours,
    "trainer": trainer,
    "bare": bare,
    "bare-compiled": lambda setting: bare(setting, compiled=True),
}
