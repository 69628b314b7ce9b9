"""Two parts of a model card: what data a model has seen, and how it is asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.plan import Plan, Stage
    from pipelines.store import RunFolder

LOADERS = {
    "text-generation": "AutoModelForCausalLM",
    "fill-mask": "AutoModelForMaskedLM",
    "text-classification": "AutoModelForSequenceClassification",
    "question-answering": "AutoModelForQuestionAnswering",
    "token-classification": "AutoModelForTokenClassification",
}


@dataclass(frozen=True)
class Sources:
    """What a model was made from: sentences for readers, data sets and the model it began as by hub name."""

    lines: tuple[str, ...] = ()
    hub: tuple[str, ...] = ()
    base_model: str | None = None


def gather_sources(run: RunFolder, plan: Plan, stage: Stage) -> Sources:
    """From the manifests of all stages that `stage` was made from, as far as they are finished."""
    lines: list[str] = []
    hub: list[str] = []
    base_model = None
    chain = list(_before(plan, stage))
    learnt = {name for one in [*chain, stage] if one.kind == "finetune" for name in one.inputs}
    for one in chain:
        manifest = run.manifest(one)
        if manifest is None:
            continue
        if one.id == "prepare-corpus":
            lines.append(_corpus(manifest))
            hub += [manifest["settings"]["hub"]] if manifest["settings"].get("hub") else []
        elif one.kind == "prepare" and one.id in learnt and "rows" in manifest["facts"]:
            lines.append(_rows(manifest))
            place = (manifest["settings"].get("source") or {}).get("hub")
            hub += [place["name"]] if place else []
        elif one.kind == "fetch":
            name = str(one.settings["model"])
            base_model = None if name.startswith((".", "/", "~")) else name
            lines.append(f"before this: all that `{_last(name)}` was trained on")
    return Sources(tuple(lines), tuple(dict.fromkeys(hub)), base_model)


def _before(plan: Plan, stage: Stage) -> Iterator[Stage]:
    """The stages that `stage` was made from, each once, in the order of the plan."""
    wanted = {stage.id}
    for one in reversed(plan.stages):
        if one.id in wanted:
            wanted |= set(one.inputs)
    yield from (one for one in plan.stages if one.id in wanted - {stage.id})


def _last(name: str) -> str:
    """A hub name as it is; of a path, which says something of somebody's machine, only the end that tells."""
    parts = [part for part in name.split("/") if part != "model"]
    return name if not name.startswith((".", "/", "~")) else (parts or [name])[-1]


def _corpus(manifest: Mapping[str, Any]) -> str:
    facts = manifest["facts"]
    removed = ", ".join(f"{one['count']:,} {name}" for name, one in facts.get("removed", {}).items())
    without = f"; left out: {removed}" if removed else ""
    size = f"{facts['documents']['train']:,} documents ({facts['bytes']['train']:,} bytes of UTF-8)"
    return f"pretrained on {size} of {facts['source']}, fingerprint `{facts['fingerprint']}`{without}"


def _rows(manifest: Mapping[str, Any]) -> str:
    source, facts = manifest["settings"].get("source") or {}, manifest["facts"]
    place = source.get("hub")
    where = f" of {' '.join(filter(None, (place['name'], place.get('config'))))}" if place else ""
    counts = ", ".join(f"{count:,} {split}" for split, count in facts["rows"].items())
    return f"task {facts['task']}{where}: {counts} rows (only those of train were learnt)"


def make_use(stage: Stage, pipeline: str) -> str:
    """How to ask the model in plain transformers, as it was taught, and with Stepladder."""
    loader, settings = LOADERS[pipeline], stage.settings
    lines = [
        "## Use\n",
        "```python",
        f"from transformers import {loader}, AutoTokenizer\n",
        f'model = {loader}.from_pretrained("FOLDER")',
        'tokenizer = AutoTokenizer.from_pretrained("FOLDER")',
    ]
    if settings["family"] == "gpt2" and stage.kind == "finetune":
        text = f"source + {_cue(settings)!r}" if settings["objective"] == "conditional-generation" else "text"
        lines += [
            "# in training a text began with this token, which the tokenizer does not add",
            f'inputs = tokenizer(tokenizer.bos_token + {text}, return_tensors="pt")',
        ]
    lines.append("```\n")
    if stage.kind == "finetune":
        lines.append("Or, with Stepladder: `stepladder predict FOLDER rows.jsonl`.\n")
    elif settings["family"] == "gpt2":
        lines.append('Or, with Stepladder: `stepladder generate FOLDER "a text to go on from"`.\n')
    return "\n".join(lines)


def _cue(settings: Mapping[str, Any]) -> str:
    """What stands between a source and what is to be written."""
    from eval.tasks import Generation
    from pipelines.using.task_file import TaskFile

    task = TaskFile(
        task=settings["task"],
        definition=settings["definition"],
        objective=settings["objective"],
        max_tokens=settings["max_tokens"],
    ).make()
    assert isinstance(task, Generation)
    return task.cue
