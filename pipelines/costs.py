"""What a plan costs on a named machine: memory, layout, time, energy and money, a rung and in all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from pipelines.corpus_size import CorpusSize, corpus_size
from pipelines.environment import native_bf16
from pipelines.estimate import GUESSED_ROWS, finetuning_tokens, usable_cores
from pipelines.executors.local import choose_jobs
from pipelines.hardware import Machine
from pipelines.layout import Asked, Layout, activations, choose_layout, room
from pipelines.memory import WEIGHT, Memory, optimiser_bytes
from pipelines.plan import Plan, Stage
from pipelines.plan_notes import full, repeated, several, too_large
from pipelines.rates import Rates, Terms, resolve_rates
from pipelines.recipe import Recipe
from pipelines.stages import LoopSettings
from pipelines.training_time import (
    RECOMPUTED,
    Load,
    find_loads,
    gpu_seconds,
    total_params,
)
from pipelines.workers import workers_of

CHECKPOINTS = 3  # two are kept while a third is written
GZIPPED = 0.3  # of a document's bytes, as they are kept
SPOOLED = 1.05  # of a cleaned document's bytes, as it lies unpacked until its split is written
# Cleaning at 5.6 MB/s a core, tokenising at 2 (docs/performance.md): bytes a second and core of both.
PREPARED_A_SECOND = 1.5e6
JOULES_A_KWH = 3.6e6
ENOUGH = 1.1  # times the fastest: fewer devices are chosen where they come so near


@dataclass(frozen=True, kw_only=True)
class Cost:
    """One training stage. `seconds` are from its start to its end; None where nothing fits."""

    load: Load
    layout: Layout
    keeping: Memory
    """The layout's memory with activations kept, and `recomputing` with checkpointing, to compare."""
    recomputing: Memory
    seconds: float | None
    bound: str
    kept_bytes: int
    checkpoint_bytes: int

    @property
    def device_seconds(self) -> float | None:
        """Seconds times the devices that work."""
        return None if self.seconds is None else self.seconds * self.layout.workers


@dataclass(frozen=True, kw_only=True)
class PlanCosts:
    """All of a plan: `trainings` by stage id; `seconds` of everything; None where a part is not known."""

    plan: Plan
    machine: Machine
    rates: Rates
    free_bytes: float
    trainings: dict[str, Cost]
    corpus: CorpusSize | None
    preparation_seconds: float
    seconds: float | None
    busy_device_seconds: float | None
    disk_bytes: float | None
    disk_free_bytes: int
    warnings: tuple[str, ...]

    @property
    def paid_device_seconds(self) -> float | None:
        """Device-seconds that are paid for: GPUs from the first training on, this machine all the time."""
        if self.seconds is None:
            return None
        before = 0.0 if self.machine.device is None else self.preparation_seconds
        return (self.seconds - before) * self.machine.devices

    def energy_kwh(self, device_seconds: float | None) -> float | None:
        """Of devices that work so long, from declared watts."""
        if device_seconds is None or self.rates.watts is None:
            return None
        return self.rates.watts * device_seconds / JOULES_A_KWH

    def money(self, device_seconds: float | None, paid_seconds: float | None) -> float | None:
        """Of devices that work `device_seconds` and are paid for `paid_seconds`."""
        rates = self.rates
        if device_seconds is None or paid_seconds is None:
            return None
        rent = None if rates.price is None else rates.price * paid_seconds / 3600
        if rates.electricity is None:
            return rent
        energy = self.energy_kwh(device_seconds)
        return None if energy is None else (rent or 0.0) + energy * rates.electricity


def plan_costs(plan: Plan, recipe: Recipe, terms: Terms, run: Path) -> PlanCosts:
    """The costs of a plan whose run folder is, or would be, `run`."""
    machine = terms.machine
    precision = "bf16" if machine.device is not None or native_bf16() else "fp32"
    free = room(machine, _memory_here())
    rates = resolve_rates(terms, recipe)
    trainings = {
        name: _cost(load, machine, free, recipe, rates)
        for name, load in find_loads(plan, precision, run).items()
    }
    corpus = corpus_size(plan, run)
    preparation = _preparation(plan, corpus)
    seconds, busy = _schedule(plan, trainings, machine)
    if busy is not None and machine.device is None:
        busy += preparation  # which is this machine's own work
    jobs = choose_jobs(plan, there=machine.devices if machine.device is not None else 0)
    disk = _disk(trainings, corpus, jobs)
    free_disk = shutil.disk_usage(_existing(run)).free
    known = all(
        stage.id in trainings for stage in plan.stages if stage.kind in ("pretrain", "sweep", "finetune")
    )
    return PlanCosts(
        plan=plan,
        machine=machine,
        rates=rates,
        free_bytes=free,
        trainings=trainings,
        corpus=corpus,
        preparation_seconds=preparation,
        seconds=seconds + preparation if seconds is not None and known else None,
        busy_device_seconds=busy if known else None,
        disk_bytes=disk if known else None,
        disk_free_bytes=free_disk,
        warnings=(
            *too_large(trainings.values()),
            *several(trainings.values()),
            *repeated(plan, corpus),
            *full(disk, free_disk, run),
        ),
    )


def _memory_here() -> float:
    """This machine's memory in bytes."""
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    import psutil  # which takes longer to load than all of this takes

    return float(psutil.virtual_memory().total)


def _cost(load: Load, machine: Machine, free: float, recipe: Recipe, rates: Rates) -> Cost:
    training = recipe.training
    asked = Asked(
        micro_tokens=training.micro_tokens,
        checkpointing=training.activation_checkpointing,
        sharding=training.sharding,
        workers=workers_of(load.stage, LoopSettings(workers=training.workers)),
    )
    layout, seconds, bound = _fewest(load, machine, free, asked, rates.mfu)
    params = total_params(load)
    state = WEIGHT * params + optimiser_bytes(load.work, load.work.trained or params)
    settings = load.stage.settings
    stable = load.stage.kind == "pretrain" and settings["hyper"]["schedule"] == "wsd"
    model = 0 if load.stage.kind == "sweep" else WEIGHT * params
    return Cost(
        load=load,
        layout=layout,
        keeping=activations(load.work, layout, machine, False),
        recomputing=activations(load.work, layout, machine, True),
        seconds=seconds,
        bound=bound,
        kept_bytes=model + (state if stable and settings["leaves_stable"] else 0),
        checkpoint_bytes=CHECKPOINTS * state + (WEIGHT * params if settings["early_stopping"] else 0),
    )


def _fewest(
    load: Load, machine: Machine, free: float, asked: Asked, mfu: float | None
) -> tuple[Layout, float | None, str]:
    """The layout on the fewest devices that is within a tenth of the fastest; its seconds, what binds them.

    More devices do nothing for a training that waits for its kernels to start; other rungs can have them.
    Where the recipe says how many processes train the rung, so many devices.
    """
    counts = [2**power for power in range(machine.devices.bit_length()) if 2**power < machine.devices]
    if asked.workers > 1:
        counts, machine = [], replace(machine, devices=min(asked.workers, machine.devices))
    tried = []
    for count in (*counts, machine.devices):
        part = replace(machine, devices=count)
        layout = choose_layout(load.work, load.rows, load.row_tokens, part, free, asked)
        tried.append((layout, *_seconds(load, layout, part, mfu)))
    fastest = min((seconds for _, seconds, _ in tried if seconds is not None), default=None)
    if fastest is None:
        return tried[-1]
    return next(one for one in tried if one[1] is not None and one[1] <= ENOUGH * fastest)


def _seconds(load: Load, layout: Layout, machine: Machine, mfu: float | None) -> tuple[float | None, str]:
    if not layout.fits:
        return None, "memory"
    if machine.device is not None:
        assert mfu is not None
        return gpu_seconds(load, layout, machine.device, mfu)
    stage = load.stage
    assert stage.seconds_estimate is not None, "the vocabulary is known"
    estimated = stage.tokens
    if stage.kind == "finetune":
        estimated = finetuning_tokens(stage.settings, stage.settings["max_rows"] or GUESSED_ROWS)
    share = load.tokens / estimated if estimated else 1.0  # of a chain its own tokens, of a task its own rows
    again = RECOMPUTED if layout.checkpointing else 1.0
    return stage.seconds_estimate * share * load.trials * again, "calibration"


def _preparation(plan: Plan, corpus: CorpusSize | None) -> float:
    """Seconds on this machine's processor, which prepares text wherever the models are trained."""
    fixed = sum(stage.seconds_estimate or 0.0 for stage in plan.stages if stage.kind in ("prepare", "fetch"))
    if corpus is None or corpus.text_bytes is None:
        return fixed
    return max(fixed, corpus.text_bytes / PREPARED_A_SECOND / usable_cores())


def _schedule(plan: Plan, trainings: dict[str, Cost], machine: Machine) -> tuple[float | None, float | None]:
    """(seconds from the first training to the end, device-seconds that devices work).

    Rungs lie side by side where they leave devices free; a chain's stages, its tuning and measuring come one
    after another. On a processor the estimates are of the whole machine, so all stages add up.
    """
    chains: dict[tuple[str, int], float] = {}
    busy = 0.0
    for stage in plan.stages:
        if stage.kind in ("prepare", "fetch"):
            continue
        cost = trainings.get(stage.id)
        seconds = cost.seconds if cost else stage.seconds_estimate
        if seconds is None:
            return None, None
        workers = cost.layout.workers if cost else 1
        busy += seconds * workers
        settings = _model_of(plan, stage).settings
        chain = str(settings.get("rung", "")), int(settings.get("seed", 0))
        chains[chain] = chains.get(chain, 0.0) + seconds
    if machine.device is None:
        return busy, busy
    return max(max(chains.values(), default=0.0), busy / machine.devices), busy


def _model_of(plan: Plan, stage: Stage) -> Stage:
    """The stage whose model a stage measures; itself where it trains one."""
    return plan.stage(stage.inputs[0]) if stage.kind == "evaluate" else stage


def _disk(trainings: dict[str, Cost], corpus: CorpusSize | None, jobs: int) -> float:
    """Bytes in the run folder when it is fullest: while documents lie unpacked beside the packed ones, or
    with all that is kept and the checkpoints of the largest trainings, `jobs` side by side."""
    kept = float(sum(cost.kept_bytes for cost in trainings.values()))
    checkpoints = sum(sorted((cost.checkpoint_bytes for cost in trainings.values()), reverse=True)[:jobs])
    documents = document_bytes(corpus)
    preparing = documents + SPOOLED * (0.0 if corpus is None else corpus.cleaned_bytes)
    return max(preparing, kept + checkpoints + stream_bytes(trainings.values(), corpus) + documents)


def stream_bytes(trainings: Iterable[Cost], corpus: CorpusSize | None) -> float:
    """Of the token streams: two bytes a token up to 65,536 ids, four above."""
    widest = max((cost.load.work.vocab_size for cost in trainings), default=0)
    return 0.0 if corpus is None else corpus.train_tokens * (2 if widest <= 2**16 else 4)


def document_bytes(corpus: CorpusSize | None) -> float:
    """Of the cleaned documents, which are kept gzipped."""
    return 0.0 if corpus is None or corpus.text_bytes is None else GZIPPED * corpus.text_bytes


def _existing(path: Path) -> Path:
    """The nearest folder above that is there."""
    return next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.is_dir())
