"""What a run has come to, gathered from its artefacts: `results.jsonl` and `run.json`."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from eval.files import InputError, read_jsonl, read_sealed, read_text, write_sealed
from eval.results import Result, read_results, write_results
from pipelines.environment import cpu_name
from pipelines.estimate import usable_cores
from pipelines.plan import Plan, Stage
from pipelines.recipe_file import LoadedRecipe
from pipelines.stages import Outcome
from pipelines.store import RunFolder, now

VERSIONS_SHOWN = (
    "stepladder",
    "torch",
    "transformers",
    "datasets",
    "accelerate",
    "tokenizers",
    "sacrebleu",
    "rouge-score",
    "scipy",
)


def write_summary(run: RunFolder, plan: Plan, loaded: LoadedRecipe, outcomes: Mapping[str, Outcome]) -> None:
    """Write both from what is finished, where they would change."""
    results = [
        result
        for stage in plan.stages
        if stage.kind == "evaluate" and run.manifest(stage)
        for result in read_results(run.folder(stage) / "results.jsonl")
    ]
    results = _without_repeated_baselines(results)
    if results != _read_results(run.root / "results.jsonl"):
        write_results(run.root / "results.jsonl", results)
    summary = summarise(run, plan, loaded, outcomes)
    if summary | {"made": None} != _read_summary(run.root / "run.json") | {"made": None}:
        write_sealed(run.root / "run.json", summary)


def _read_results(path: Path) -> list[Result] | None:
    try:
        return read_results(path)
    except InputError:  # not there yet, or broken: written anew
        return None


def _read_summary(path: Path) -> dict[str, Any]:
    """What the run said last; empty where that is not there or broken: it is written anew."""
    try:
        return read_sealed(path)
    except InputError:
        return {}


def summarise(
    run: RunFolder, plan: Plan, loaded: LoadedRecipe, outcomes: Mapping[str, Outcome]
) -> dict[str, Any]:
    """The content of run.json: provenance, every rung's settings and fate, curves, samples, a passage."""
    corpus, tokens = (_manifest(run, plan, name) for name in ("prepare-corpus", "prepare-tokens"))
    pretrained = [stage for stage in plan.stages if stage.kind == "pretrain"]
    models = [stage for stage in plan.stages if stage.kind in ("pretrain", "fetch")]
    return {
        "run": plan.recipe,
        "made": now(),
        "command": loaded.command,
        "recipe_yaml": loaded.text,
        **_trained_on(run, models),
        "corpus": corpus and {"settings": corpus["settings"], **corpus["facts"]},
        "tokenizer": tokens and {**tokens["settings"], **tokens["facts"]},
        "tasks": _tasks(run, plan),
        "rungs": [_rung(run, stage, outcomes) for stage in models],
        "learning_rate_sweep": _sweep(run, plan),
        "stages": [_stage(run, stage, outcomes) for stage in plan.stages],
        "curves": [_curve(run, stage) for stage in _longest(pretrained)],
        "samples": _samples(run, plan),
        "passage": _passage(run, plan),
    }


def _manifest(run: RunFolder, plan: Plan, stage_id: str) -> dict[str, Any] | None:
    """The manifest of a stage that a plan may not have: models that exist bring their own tokens."""
    stage = plan.find(stage_id)
    return None if stage is None else run.manifest(stage)


def _tasks(run: RunFolder, plan: Plan) -> dict[str, Any]:
    """By task, what its rows are: how many, which were left out, how many of the test share n-grams."""
    manifests = [run.manifest(stage) for stage in plan.stages if stage.kind == "prepare"]
    facts = [manifest["facts"] for manifest in manifests if manifest and "task" in manifest["facts"]]
    told = ("rows", "labels", "removed", "overlap", "notes", "revision")
    return {each["task"]: {name: each[name] for name in told if name in each} for each in facts}


def _longest(pretrained: list[Stage]) -> list[Stage]:
    """Of each rung and seed the longest training, whose log holds the shorter ones' steps."""
    return list({(stage.settings["rung"], stage.settings["seed"]): stage for stage in pretrained}.values())


def _sweep(run: RunFolder, plan: Plan) -> dict[str, Any] | None:
    """What was tried and chosen, where the learning rate was swept."""
    tune = _manifest(run, plan, "tune-ladder")
    return None if tune is None else tune["facts"]


def _trained_on(run: RunFolder, pretrained: list[Stage]) -> dict[str, Any]:
    """The machine and versions that trained the last rung; before any is trained, those here and now."""
    manifests = [manifest for stage in pretrained if (manifest := run.manifest(stage))]
    facts = manifests[-1]["facts"] if manifests else here_and_now()
    return {name: facts[name] for name in ("machine", "versions")}


def here_and_now() -> dict[str, Any]:
    """This machine and the versions installed on it, for a stage to keep with what it makes."""
    return {"machine": machine(), "versions": {name: version(name) for name in VERSIONS_SHOWN}}


def machine() -> dict[str, Any]:
    """The machine in words: processor, cores, memory in GiB, Python, platform."""
    import psutil

    return {
        "cpu": cpu_name(),
        "cores": usable_cores(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "python": platform.python_version(),
        "platform": platform.platform(terse=True),
    }


def _rung(run: RunFolder, stage: Stage, outcomes: Mapping[str, Outcome]) -> dict[str, Any]:
    settings = stage.settings
    manifest = run.manifest(stage)
    facts = manifest["facts"] if manifest else {}
    outcome = outcomes.get(stage.id)
    return {
        "rung": settings["rung"],
        "seed": settings["seed"],
        "shape": settings["shape"],
        "params": facts.get("params", settings["params"]),
        "hyper": _hyper(settings, facts),
        "stage": stage.kind,
        "status": outcome.status if outcome else "waiting",
        "reason": outcome.reason if outcome else "not run yet",
        **{
            name: facts.get(name)
            for name in (
                "tokens",
                "unique_tokens",
                "flops",
                "flops_per_token",
                "precision",
                "threads",
                "tokens_per_second",
                "flops_utilisation",
                "seconds",
                "energy_joules",
                "energy_source",
                "final_loss_nats",
            )
        },
        **({"missing": facts["missing"]} if facts.get("missing") else {}),
    }


def _hyper(settings: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any] | None:
    """How the rung was trained, with the learning rate that a sweep corrected; None where it was fetched."""
    if "hyper" not in settings:
        return None
    return settings["hyper"] | {
        name: facts[name] for name in ("learning_rate",) if facts.get(name) is not None
    }


def _stage(run: RunFolder, stage: Stage, outcomes: Mapping[str, Outcome]) -> dict[str, Any]:
    outcome = outcomes.get(stage.id)
    manifest = run.manifest(stage)
    return {
        "stage": stage.id,
        "status": outcome.status if outcome else "waiting",
        "seconds": manifest["seconds"] if manifest else None,
        "reason": outcome.reason if outcome else "not run yet",
    }


def _curve(run: RunFolder, stage: Stage) -> dict[str, Any]:
    log = run.folder(stage) / "log.jsonl"
    points = [[line["tokens"], line["loss_nats"]] for line in read_jsonl(log)] if log.is_file() else []
    return {"rung": stage.settings["rung"], "seed": stage.settings["seed"], "points": points}


def _samples(run: RunFolder, plan: Plan) -> list[dict[str, Any]]:
    """The first items of each generating task, with what each rung wrote for them."""
    items: dict[tuple[str, str], dict[str, Any]] = {}
    for stage in plan.stages:
        path = run.folder(stage) / "samples.jsonl"
        if stage.kind != "evaluate" or not run.manifest(stage):
            continue
        made_with = plan.stage(stage.inputs[0]).settings
        if made_with["seed"] != 0:
            continue  # one text a rung; further seeds are for the spread of the scores
        rung = made_with["rung"]
        for sample in list(read_jsonl(path)):
            task = stage.settings["task"]
            item = items.setdefault(
                (task, sample["id"]),
                {"task": task, **{k: sample[k] for k in ("id", "prompt", "reference")}, "outputs": []},
            )
            item["outputs"].append({"rung": rung, "text": sample["output"]})
    return list(items.values())


def _passage(run: RunFolder, plan: Plan) -> dict[str, Any] | None:
    """A piece of one held-out document, and each pretrained rung's nats for its tokens; None without any."""
    found: dict[str, dict[str, Any]] = {}
    for stage in plan.stages:
        path = run.folder(stage) / "facts.json"
        if stage.kind != "evaluate" or not run.manifest(stage) or not path.is_file():
            continue
        made_with = plan.stage(stage.inputs[0])
        if made_with.kind not in ("pretrain", "fetch") or made_with.settings["seed"] != 0:
            continue
        if passage := json.loads(read_text(path)).get("passage"):
            found[made_with.settings["rung"]] = passage  # of several budgets the longest, planned last
    if not found:
        return None
    document = next(iter(found.values()))["id"]
    tokens = ("text", "starts", "nats")
    return {
        "id": document,
        "rungs": [
            {"rung": rung, **{name: one[name] for name in tokens}}
            for rung, one in found.items()
            if one["id"] == document
        ],
    }


def _without_repeated_baselines(results: list[Result]) -> list[Result]:
    """A baseline is measured with every rung and is the same each time: keep it once."""
    kept, seen = [], set()
    for result in results:
        name = (result.rung, result.task, result.split, result.metric, result.data_fingerprint)
        if result.family == "baseline" and name in seen:
            continue
        seen.add(name)
        kept.append(result)
    return kept
