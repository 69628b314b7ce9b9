"""Several runs in one report: runs of one name told apart, what their run.json say put side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from eval.results import Result

Run = Mapping[str, Any]


@dataclass(frozen=True)
class Source:
    """One results file, what is in it, and the run.json beside it (None where there is none)."""

    table: Path
    results: Sequence[Result]
    run: Run | None
    name: str = ""


def name_sources(sources: Sequence[Source]) -> list[Source]:
    """The sources with their names and with runs that no other run shares its name with.

    A source is named as its run is; where several are called the same, or it holds several runs, as its
    folder is. Runs of one name are the same run where they share a model's fingerprint (a run, and later
    evaluations of its models); else results get the folder's name.
    """
    folders = _folder_names([source.table for source in sources])
    owners = _owners(sources)
    named = []
    for place, source in enumerate(sources):
        runs = _runs(source)
        new = {
            run: folders[min(_same(owners, run, place))]
            for run in runs
            if len({min(_same(owners, run, at)) for at in owners[run]}) > 1
        }
        if len(runs) > 1:
            new = {run: f"{folder}: {run}" for run, folder in new.items()}
        results = [
            replace(result, run=new.get(result.run, result.run)) if result.run else result
            for result in source.results
        ]
        own = source.run.get("run") if source.run else None
        name = new.get(own, own) if isinstance(own, str) else None
        named.append(replace(source, results=results, name=name or folders[place]))
    return _names_apart(named, folders)


def merge_results(sources: Iterable[Source]) -> list[Result]:
    """All results; those of no run get their source's name, so that sources stay apart."""
    return [
        result if result.run or result.family == "baseline" else _of_run(result, source.name)
        for source in sources
        for result in source.results
    ]


def merge_runs(sources: Sequence[Source]) -> dict[str, Any]:
    """What the sources' run.json say, in the shape of one: rungs, stages and facts under their run's name.

    Learning curves are left out: losses per token of several tokenizers and objectives share no axis.
    Samples of the same item are put side by side.
    """
    told = [(source.name, source.run) for source in sources if source.run is not None]
    return {
        "run": " and ".join(source.name for source in sources),
        "made": max((str(run["made"]) for _, run in told if run.get("made")), default=None),
        "command": _joined(told, "command", "{text}"),
        "recipe_yaml": _joined(told, "recipe_yaml", "# {name}\n{text}"),
        "rungs": [
            {**rung, "rung": f"{name}: {rung['rung']}"}
            for name, run in told
            for rung in run.get("rungs") or []
        ],
        "stages": [
            {**stage, "stage": f"{name}: {stage['stage']}"}
            for name, run in told
            for stage in run.get("stages") or []
        ],
        "samples": _samples(told),
        "curves": [],
        **{part: _facts(told, part) for part in ("corpus", "tokenizer", "tasks", "machine", "versions")},
    }


def _runs(source: Source) -> set[str]:
    return {result.run for result in source.results if result.run}


def _owners(sources: Sequence[Source]) -> dict[str, dict[int, set[str]]]:
    """Of each run's name the sources that have it, and the fingerprints of its models there."""
    owners: dict[str, dict[int, set[str]]] = {}
    for place, source in enumerate(sources):
        for result in source.results:
            if result.run:
                models = owners.setdefault(result.run, {}).setdefault(place, set())
                models |= {result.model_fingerprint} if result.model_fingerprint else set()
    return owners


def _same(owners: Mapping[str, Mapping[int, set[str]]], run: str, place: int) -> set[int]:
    """The sources that hold the same run of this name as the one at `place`."""
    found, models = {place}, set(owners[run][place])
    while more := {at for at, theirs in owners[run].items() if at not in found and theirs & models}:
        found |= more
        models |= set().union(*(owners[run][at] for at in more))
    return found


def _folder_names(tables: Sequence[Path]) -> list[str]:
    """Each table by as much of the end of its path as no other has; results.jsonl goes without saying."""
    parts = []
    for table in tables:
        path = table.resolve()
        stem = path.name.split(".")[0]
        parts.append(path.parent.parts if stem == "results" else (*path.parent.parts, stem))
    depths = range(1, max(len(one) for one in parts) + 1)
    depth = next((d for d in depths if len({one[-d:] for one in parts}) == len(parts)), depths[-1])
    return ["/".join(one[-depth:]) for one in parts]


def _names_apart(sources: Sequence[Source], folders: Sequence[str]) -> list[Source]:
    names = [source.name for source in sources]
    return [
        replace(source, name=folder) if names.count(source.name) > 1 else source
        for source, folder in zip(sources, folders, strict=True)
    ]


def _of_run(result: Result, run: str) -> Result:
    missing = {field: reason for field, reason in result.missing.items() if field != "run"}
    return replace(result, run=run, missing=missing)


def _joined(told: Sequence[tuple[str, Run]], part: str, form: str) -> str | None:
    texts = [form.format(name=name, text=run[part]) for name, run in told if run.get(part)]
    return "\n".join(texts) or None


def _facts(told: Sequence[tuple[str, Run]], part: str) -> dict[str, Any]:
    """One part's facts: once where all runs say the same, else each under its run's name."""
    facts = [run.get(part) or {} for _, run in told]
    if facts and all(one == facts[0] for one in facts):
        return dict(facts[0])
    return {
        f"{name}: {key}": value
        for (name, _), values in zip(told, facts, strict=True)
        for key, value in values.items()
    }


def _samples(told: Sequence[tuple[str, Run]]) -> list[dict[str, Any]]:
    items: dict[tuple[str, ...], dict[str, Any]] = {}
    for name, run in told:
        for sample in run.get("samples") or []:
            key = tuple(str(sample[field]) for field in ("task", "id", "prompt", "reference"))
            item = items.setdefault(key, {**sample, "outputs": []})
            item["outputs"] += [{**one, "rung": f"{name}: {one['rung']}"} for one in sample["outputs"]]
    return list(items.values())
