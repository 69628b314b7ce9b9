"""What a plan's figures rest on, and what is wrong with the plan, in sentences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.corpus_size import CorpusSize
from pipelines.estimate import GUESSED_ROWS, calibration, usable_cores
from pipelines.hardware import Machine
from pipelines.ladder import human_count
from pipelines.layout import WORKERS
from pipelines.plan import Plan
from pipelines.plan_units import size
from pipelines.rates import Rates
from pipelines.training_time import LAUNCH_S_PER_LAYER

if TYPE_CHECKING:
    from pipelines.costs import Cost, PlanCosts

REPEATED = (
    4.0  # epochs nearly worth new data (Muennighoff et al. 2023, Scaling Data-Constrained Language Models)
)


def where(machine: Machine) -> str:
    """The machine in words."""
    if machine.device is None:
        return f"this processor ({usable_cores()} cores)"
    return machine.name + (f" ({machine.nodes} nodes)" if machine.nodes > 1 else "")


def time_source(machine: Machine, rates: Rates) -> str:
    """What times rest on."""
    if machine.device is None:
        return calibration().source
    return (
        f"{rates.mfu:g} of the peak reached ({rates.mfu_source}), kernels started in "
        f"{LAUNCH_S_PER_LAYER * 1e3:g} ms a layer (assumed); communication hidden, text prepared on this "
        "processor"
    )


def assumptions(costs: PlanCosts) -> list[str]:
    """What the figures rest on, a sentence each."""
    machine, rates = costs.machine, costs.rates
    lines = [f"time: {time_source(machine, rates)}"]
    if rates.watts is None:
        lines.append(f"energy: watts {rates.watts_source}")
    else:
        lines.append(
            f"energy: estimated from declared watts, {rates.watts:g} a device ({rates.watts_source})"
        )
    if rates.price is not None:
        lines.append(f"money: {rates.price:g} {rates.currency} a device and hour ({rates.price_source})")
        if machine.device is not None:
            lines.append("money: devices are paid for from the first training on, not while text is prepared")
    elif rates.electricity is None:
        lines.append("money: no price; give --price or --electricity")
    if rates.electricity is not None:
        lines.append(f"money: {rates.electricity:g} {rates.currency} a kWh (as given)")
    if any(cost.load.guessed for cost in costs.trainings.values()):
        lines.append(
            f"fine-tuning: {GUESSED_ROWS:,} rows are guessed where max_rows is not given and rows are not "
            "prepared"
        )
    return lines


def too_large(costs: Iterable[Cost]) -> Iterator[str]:
    """A line for each rung that does not fit, or only with settings that the recipe lacks."""
    told: set[str] = set()
    for cost in costs:
        layout, settings = cost.layout, cost.load.stage.settings
        what = settings["rung"] + (f" (fine-tuned on {settings['task']})" if "task" in settings else "")
        if layout.instead is not None:
            text = f"{what} does not fit: {layout.instead}"
        elif settled := [setting for setting in layout.needs if not setting.startswith(WORKERS)]:
            text = f"{what} fits with {' '.join(settled)} only"
        else:
            continue
        if text not in told:
            told.add(text)
            yield text


def several(costs: Iterable[Cost]) -> Iterator[str]:
    """A line where rungs are planned on other numbers of devices than the recipe has them trained on."""
    counts: dict[str, int] = {}
    rungs = set()
    for cost in costs:
        rung, layout = cost.load.stage.settings["rung"], cost.layout
        rungs.add(rung)
        if any(setting.startswith(WORKERS) for setting in layout.needs):
            counts[rung] = max(counts.get(rung, 1), layout.workers)
    if counts:
        by_rung = ", ".join(f"{rung}: {count}" for rung, count in counts.items())
        alike = len(set(counts.values())) == 1 and rungs == set(counts)
        value = str(next(iter(counts.values()))) if alike else f'"{{{by_rung}}}"'
        yield (
            f"so many devices need {WORKERS}{value} with --executor ray, or all of the run under torchrun; "
            "else a rung is trained on one"
        )


def repeated(plan: Plan, corpus: CorpusSize | None) -> Iterator[str]:
    """A line where the longest training reads the corpus more than four times."""
    lengths = {
        stage.settings["rung"]: stage.tokens
        for stage in plan.stages
        if stage.kind == "pretrain" and stage.tokens
    }
    if corpus is None or not lengths or not corpus.train_tokens:
        return
    rung = max(lengths, key=lambda name: lengths[name])
    epochs = lengths[rung] / corpus.train_tokens
    if epochs > REPEATED:
        known = "" if corpus.exact else "about "
        times = f"{epochs:.1f}" if epochs < 100 else human_count(epochs)
        yield (
            f"the corpus has {known}{human_count(corpus.train_tokens)} tokens to train on, and {rung} reads "
            f"them {known}{times} times; beyond four times repeated text is worth much less than new "
            "(Muennighoff 2023)"
        )


def full(disk: float, free: int, run: Path) -> Iterator[str]:
    """A line where the run folder's disk has less free than is needed."""
    if disk > free:
        yield (
            f"needs about {size(disk)} of disk in {run}, where {size(free)} are free; free some, or choose "
            "another --out"
        )
