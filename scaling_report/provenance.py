"""run.json -> what says how a run was made: every rung's settings, failures, corpus, machine, samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scaling_report.notation import MISSING, duration, integer, power_of_ten, short, significant
from scaling_report.parts import Column, Sample, Table

Run = Mapping[str, Any]


def rung_tables(run: Run) -> tuple[Table, ...]:
    """What each rung is, with which settings it was trained, and how that went; none without rungs."""
    rungs = run.get("rungs") or []
    return (_sizes(rungs), _settings(rungs), _outcomes(rungs)) if rungs else ()


def failure_table(run: Run) -> Table | None:
    """Stages that failed or never ran, and why; None when every stage is done."""
    rows = tuple(
        (stage["stage"], stage["status"], stage.get("reason") or "no reason given")
        for stage in run.get("stages") or []
        if stage["status"] != "done"
    )
    columns = (Column("Stage", numeric=False), Column("Status", numeric=False), Column("Why", numeric=False))
    return Table("Not everything was finished", columns, rows) if rows else None


def fact_tables(run: Run) -> tuple[Table, ...]:
    """Corpus, tokenizer, tasks, machine and versions as tables of two columns, each where run.json has it."""
    titles = (
        ("corpus", "Corpus"),
        ("tokenizer", "Tokenizer"),
        ("tasks", "Tasks"),
        ("machine", "Machine"),
        ("versions", "Versions"),
    )
    columns = (Column("", numeric=False), Column("", numeric=False))
    return tuple(
        Table(
            title,
            columns,
            tuple((_name(key), told) for key, value in run[part].items() if (told := _fact(value))),
        )
        for part, title in titles
        if run.get(part)
    )


def stage_table(run: Run) -> Table | None:
    """How long each finished stage took."""
    rows = tuple(
        (stage["stage"], duration(stage["seconds"]))
        for stage in run.get("stages") or []
        if stage.get("seconds") is not None
    )
    return (
        Table("Time of each stage", (Column("Stage", numeric=False), Column("Time")), rows) if rows else None
    )


def read_samples(run: Run) -> tuple[Sample, ...]:
    """What each rung wrote for the same few items."""
    return tuple(
        Sample(
            task=sample["task"],
            id=str(sample["id"]),
            prompt=sample["prompt"],
            reference=sample["reference"],
            outputs=tuple(
                (one["rung"], one["text"], one["text"].strip() == sample["reference"].strip())
                for one in sample["outputs"]
            ),
        )
        for sample in run.get("samples") or []
    )


def _sizes(rungs: Sequence[Run]) -> Table:
    titles = (
        "Seed", "Layers × width", "Heads", "Non-embedding", "Matmul", "With embeddings",
        "FLOPs a token", "FLOPs",
    )  # fmt: skip
    rows = tuple(
        (
            rung["rung"],
            str(rung["seed"]),
            f"{rung['shape']['n_layer']} × {rung['shape']['n_embd']}",
            str(rung["shape"]["n_head"]),
            integer(rung["params"]["non_embedding"]),
            integer(rung["params"]["matmul"]),
            integer(rung["params"]["total"]),
            integer(rung["flops_per_token"]),
            power_of_ten(rung["flops"]),
        )
        for rung in rungs
    )
    return Table(
        "Sizes, in parameters and training FLOPs", (Column("Rung", numeric=False), *map(Column, titles)), rows
    )


def _outcomes(rungs: Sequence[Run]) -> Table:
    titles = ("Seed", "Tokens", "Unique tokens", "Final loss, nats", "Tokens/s", "Of peak FLOP/s", "Time")
    rows = tuple(
        (
            rung["rung"],
            str(rung["seed"]),
            integer(rung["tokens"]),
            integer(rung["unique_tokens"]),
            significant(rung["final_loss_nats"]),
            integer(rung["tokens_per_second"]),
            MISSING if (share := rung.get("flops_utilisation")) is None else f"{100 * share:.1f} %",
            duration(rung["seconds"]),
            rung["status"],
        )
        for rung in rungs
    )
    columns = (Column("Rung", numeric=False), *map(Column, titles), Column("Status", numeric=False))
    return Table("Training, as it went", columns, rows)


def _settings(rungs: Sequence[Run]) -> Table:
    titles = (
        "Seed", "Peak learning rate", "Batch, tokens", "Warm-up, tokens", "Steps", "Decay share",
        "Weight decay", "Betas", "Clip", "Threads",
    )  # fmt: skip
    rows = tuple(
        (
            rung["rung"],
            str(rung["seed"]),
            significant(hyper["learning_rate"], 3),
            integer(hyper["batch_tokens"]),
            integer(hyper["warmup_tokens"]),
            integer(hyper["steps"]),
            f"{hyper['decay_fraction']:g}",
            f"{hyper['weight_decay']:g}",
            f"{hyper['beta1']:g}, {hyper['beta2']:g}",
            f"{hyper['clip']:g}",
            MISSING if rung["threads"] is None else str(rung["threads"]),
            hyper["schedule"],
            rung["precision"] or MISSING,
        )
        for rung in rungs
        if (hyper := rung["hyper"]) is not None
    )
    columns = (
        Column("Rung", numeric=False),
        *map(Column, titles),
        Column("Schedule", numeric=False),
        Column("Precision", numeric=False),
    )
    return Table("Training, as it was set", columns, rows)


def _name(key: str) -> str:
    return str(key).replace("_", " ")


def _fact(value: Any) -> str:
    """A value of run.json in one line; empty for what is None or empty."""
    if isinstance(value, Mapping):
        if "count" in value:  # what was removed, or shared: how many, of how many, and which for example
            examples = ", ".join(map(str, value.get("examples") or []))
            number = _fact(value["count"]) + (f" of {_fact(value['of'])}" if "of" in value else "")
            return f"{number}{f' (such as {examples})' if examples else ''}"
        return " · ".join(f"{_name(key)} {told}" for key, part in value.items() if (told := _fact(part)))
    if isinstance(value, list | tuple):
        return ", ".join(map(_fact, value))
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return integer(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def training_facts(run: Run) -> tuple[tuple[str, str], ...]:
    """Two numbers of the run's cost, for the page's head: tokens a rung saw, and training time in all."""
    done = [rung for rung in run.get("rungs") or [] if rung["status"] == "done"]
    tokens = {rung["tokens"] for rung in done if rung["tokens"]}
    seconds = [rung["seconds"] for rung in done if rung["seconds"] is not None]
    facts = []
    if tokens:
        ends = list(dict.fromkeys((short(min(tokens)), short(max(tokens)))))
        facts.append((" to ".join(ends), "training tokens a rung"))
    if seconds:
        facts.append((duration(sum(seconds)), "of training, all rungs together"))
    return tuple(facts)


def cost_facts(run: Run, settings: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Energy and cost: what pretraining's counters measured, where every rung has it; and of all finished
    stages, from what the recipe says an hour takes; else nothing."""
    stages = run.get("stages") or []
    seconds = sum(stage["seconds"] for stage in stages if stage.get("seconds") is not None)
    watts, price = settings.get("watts"), settings.get("price_per_hour")
    facts = _measured_energy(run)
    if seconds and watts:
        energy = significant(watts * seconds / 3.6e6, 2)
        over = f"estimated from {watts:g} W declared, over {duration(seconds)}, all stages added up"
        facts.append((f"{energy} kWh", over))
    if seconds and price:
        cost = significant(price * seconds / 3600, 2)
        facts.append((f"{cost} {settings['currency']}", f"at {price:g} an hour over {duration(seconds)}"))
    return tuple(facts)


def _measured_energy(run: Run) -> list[tuple[str, str]]:
    """What the machine's counters say of pretraining; nothing where one finished rung lacks it."""
    done = [rung for rung in run.get("rungs") or [] if rung.get("status") == "done"]
    joules = [rung.get("energy_joules") for rung in done if rung.get("stage") != "fetch"]
    if not joules or any(value is None for value in joules):
        return []
    sources = ", ".join(sorted({rung["energy_source"] for rung in done if rung.get("energy_source")}))
    energy = significant(sum(value for value in joules if value is not None) / 3.6e6, 2)
    return [(f"{energy} kWh", f"measured ({sources}), pretraining alone")]
