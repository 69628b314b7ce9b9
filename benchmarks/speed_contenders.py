"""What the speed benchmark sets side by side: each contender trains some steps and says its tokens a second."""

from __future__ import annotations

import contextlib
import io
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bare_gpt import BareGPT
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainerCallback, TrainingArguments

from pipelines.batches import PackedWindows
from pipelines.fast import tune_for_training
from pipelines.ladder import Shape
from pipelines.objectives import objective
from pipelines.optim import Optimisation
from pipelines.ranks import make_accelerator
from pipelines.train import Run, train

# (warm steps, timed steps) -> tokens a second over the timed ones
Contender = Callable[[int, int], float]


@dataclass(frozen=True)
class Setting:
    """What all contenders share."""

    shape: Shape
    vocabulary: int
    context: int
    rows: int

    @property
    def tokens_a_step(self) -> int:
        return self.rows * self.context


def make_contender(name: str, setting: Setting) -> Contender:
    return CONTENDERS[name](setting)


def batches(setting: Setting) -> PackedWindows:
    """The same windows in the same order for all, of tokens as frequent as words are (1 / rank)."""
    odds = 1 / np.arange(1, setting.vocabulary + 1)
    random = np.random.default_rng(0)
    stream = random.choice(setting.vocabulary, size=2_100_000, p=odds / odds.sum()).astype(np.uint16)
    return PackedWindows(stream, setting.context, setting.rows, seed=0)


def gpt2(setting: Setting) -> Any:
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=setting.vocabulary,
        n_positions=setting.context,
        n_layer=setting.shape.n_layer,
        n_embd=setting.shape.n_embd,
        n_head=setting.shape.n_head,
        bos_token_id=0,
        eos_token_id=0,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
    )
    return GPT2LMHeadModel(config)


def ours(setting: Setting) -> Contender:
    """`pipelines.train.train` with the real objective, its log written every `warm` steps."""
    data, tuned = batches(setting), tune_for_training(gpt2(setting), on_cpu=not torch.cuda.is_available())

    def run(warm: int, timed: int) -> float:
        times: list[tuple[int, float]] = []
        with tempfile.TemporaryDirectory() as folder:
            train(
                objective("causal-lm", tuned, torch.bfloat16),
                Run(
                    batches=data,
                    how=optimisation(warm + timed),
                    folder=Path(folder),
                    log_every_tokens=warm * setting.tokens_a_step,
                    checkpoint_every_s=1e9,
                    on_progress=lambda progress: times.append((progress.step, time.perf_counter())),
                    on_warning=lambda text: None,
                    highest_loss_nats=1e9,
                ),
                make_accelerator("bf16"),
            )
        (first, began), (last, ended) = times[0], times[-1]
        return (last - first) * setting.tokens_a_step / (ended - began)

    return run


def passes(setting: Setting) -> Contender:
    """Forward and backward of the same objective alone: what the loop's overhead is measured against."""
    data, tuned = batches(setting), tune_for_training(gpt2(setting), on_cpu=not torch.cuda.is_available())
    module = objective("causal-lm", tuned, torch.bfloat16)

    def step(index: int) -> None:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = module(made[index % len(made)])
        ((loss[0] if isinstance(loss, tuple) else loss) / setting.tokens_a_step).backward()
        module.zero_grad(set_to_none=True)

    made = [data.batch(index) for index in range(4)]
    return lambda warm, timed: timed_steps(step, warm, timed, setting)


def bare(setting: Setting, compiled: bool = False) -> Contender:
    """The benchmark's own model in the plainest loop: no logs, no checks, batches made in place."""
    data, shape = batches(setting), setting.shape
    torch.manual_seed(0)
    model = BareGPT(shape.n_layer, shape.n_embd, shape.n_head, setting.vocabulary, setting.context)
    called = torch.compile(model, dynamic=False) if compiled else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1, fused=True)

    def step(index: int) -> None:
        batch = data.batch(index)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = called(batch["input_ids"], batch["targets"])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return lambda warm, timed: timed_steps(step, warm, timed, setting)


def timed_steps(step: Callable[[int], None], warm: int, timed: int, setting: Setting) -> float:
    for index in range(warm):
        step(index)
    began = time.perf_counter()
    for index in range(warm, warm + timed):
        step(index)
    return timed * setting.tokens_a_step / (time.perf_counter() - began)


def trainer(setting: Setting) -> Contender:
    """transformers' Trainer with its defaults, but for the order of the data, saving and reporting."""
    model, data = gpt2(setting), Rows(batches(setting))

    def run(warm: int, timed: int) -> float:
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
                use_cpu=not torch.cuda.is_available(),
            )
            Trainer(model=model, args=arguments, train_dataset=data, callbacks=[clock]).train()
        return timed * setting.tokens_a_step / (clock.ended - clock.began)

    return run


class Clock(TrainerCallback):
    """The moments after the warm steps and after the last."""

    def __init__(self, warm: int) -> None:
        self.warm, self.began, self.ended = warm, 0.0, 0.0

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step <= self.warm:
            self.began = time.perf_counter()
        self.ended = time.perf_counter()


class Rows(torch.utils.data.Dataset):
    """The rows of the batches, in their order; labels are the ids, which the model shifts itself."""

    def __init__(self, data: PackedWindows) -> None:
        self.data = data

    def __len__(self) -> int:
        return self.data.windows // self.data.batch_size * self.data.batch_size

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        ids = torch.from_numpy(self.data._window(index)[:-1].astype(np.int64))
        return {"input_ids": ids, "labels": ids}


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
    "passes": passes,
}
