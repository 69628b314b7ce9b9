"""The README.md of each trained model: what it is, how it was made and what it scored."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from eval.files import hash_json, read_text, write_atomic
from eval.results import Result, read_results
from pipelines.model_card_parts import Sources, gather_sources, make_use

if TYPE_CHECKING:
    from pipelines.plan import Plan, Stage
    from pipelines.recipe_file import LoadedRecipe
    from pipelines.store import RunFolder

CARD = "README.md"
# What the hub calls a kind of model's task.
PIPELINES = {
    "causal-lm": "text-generation",
    "conditional-generation": "text-generation",
    "masked-lm": "fill-mask",
    "classification": "text-classification",
    "multi-label": "text-classification",
    "regression": "text-classification",
    "span": "question-answering",
    "tagging": "token-classification",
}


def write_cards(run: RunFolder, plan: Plan, loaded: LoadedRecipe) -> int:
    """Write the card of every model that the run trained, where it would change; how many were written.

    A card is no part of its artefact: no hash and no size of it is kept, so that results measured later stand
    in it, too. A card that somebody has changed, to add a licence say, is theirs and stays.
    """
    scored: defaultdict[str, list[Result]] = defaultdict(list)
    for stage in plan.stages:
        if stage.kind == "evaluate" and run.manifest(stage) is not None:
            found = read_results(run.folder(stage) / "results.jsonl")
            scored[stage.inputs[0]] += [result for result in found if result.family != "baseline"]
    written = 0
    for stage in plan.stages:
        manifest = run.manifest(stage)
        if stage.kind not in ("pretrain", "finetune") or manifest is None:
            continue
        path = run.folder(stage) / "model" / CARD
        card = make_card(
            plan.recipe, stage, manifest, scored[stage.id], loaded.command, gather_sources(run, plan, stage)
        )
        there = read_text(path) if path.is_file() else ""
        if there != card and is_ours(there):
            write_atomic(path, card)
            written += 1
    return written


def make_card(
    recipe: str,
    stage: Stage,
    manifest: Mapping[str, Any],
    results: Sequence[Result],
    command: str,
    sources: Sources | None = None,
) -> str:
    """The text of one card: YAML with a `model-index` of the results, then the same for readers."""
    from huggingface_hub import ModelCardData

    sources = sources or Sources()
    objective = str(stage.settings["objective"])
    pipeline = PIPELINES[objective]
    data = ModelCardData(
        library_name="transformers",
        pipeline_tag=pipeline,
        tags=["stepladder", str(stage.settings["family"]), objective],
        datasets=list(sources.hub) or None,
        base_model=sources.base_model,
        model_name=f"{recipe}-{stage.name}",
        eval_results=[_entry(result, pipeline) for result in results if result.value is not None] or None,
    )
    parts = [
        f"---\n{data.to_yaml()}\n---\n",
        f"# {recipe}-{stage.name}\n",
        _what(recipe, stage, manifest),
        _scores(results),
        "## Data\n\n" + ("\n".join(f"- {line}" for line in sources.lines) or "Not told.") + "\n",
        _made(stage, manifest, command),
        make_use(stage, pipeline),
        _limits(manifest, results),
    ]
    return signed("\n".join(parts))


def signed(text: str) -> str:
    """The text with a last line that tells whether somebody has changed it since."""
    return f"{text}\n<!-- stepladder {hash_json(text)} -->\n"


def is_ours(card: str) -> bool:
    """Whether a card is as it was written here (or is not there), so that it may be written again."""
    text, _, mark = card.rpartition("\n<!-- stepladder ")
    return not card or mark == f"{hash_json(text)} -->\n"


_ARGS = ("stderr", "n", "signature")


def _entry(result: Result, pipeline: str) -> Any:
    from huggingface_hub import EvalResult

    return EvalResult(
        task_type=pipeline,
        dataset_type=result.task,
        dataset_name=result.task,
        dataset_split=result.split,
        metric_type=result.metric,
        metric_name=result.metric,
        metric_value=result.value,
        metric_args={name: value for name in _ARGS if (value := getattr(result, name)) is not None},
    )


def _what(recipe: str, stage: Stage, manifest: Mapping[str, Any]) -> str:
    settings, facts = manifest["settings"], manifest["facts"]
    params, shape = facts["params"], settings["shape"]
    after = f", fine-tuned on {settings['task']}" if stage.kind == "finetune" else ""
    return (
        f"A {settings['family']} of shape {shape['n_layer']}x{shape['n_embd']} (layers x width){after}: rung "
        f"`{settings['rung']}`, seed {settings['seed']}, of the ladder `{recipe}`. {params['total']:,} "
        f"parameters, {params['non_embedding']:,} of them outside embedding tables; it reads at most "
        f"{settings['context']} tokens.\n"
    )


def _scores(results: Sequence[Result]) -> str:
    if not results:
        return "## Results\n\nNot measured.\n"
    lines = [
        "## Results\n",
        "| task | split | metric | value | standard error | n |",
        "| --- | --- | --- | ---: | ---: | ---: |",
    ]
    for result in results:
        value = "–" if result.value is None else f"{result.value:.5g}"
        error = "–" if result.stderr is None else f"{result.stderr:.2g}"
        lines.append(f"| {result.task} | {result.split} | {result.metric} | {value} | {error} | {result.n} |")
    signatures = dict.fromkeys(f"- {r.metric}: `{r.signature}`" for r in results if r.signature)
    return "\n".join([*lines, "", *signatures, ""])


def _made(stage: Stage, manifest: Mapping[str, Any], command: str) -> str:
    settings, facts = manifest["settings"], manifest["facts"]
    told = {
        "tokens seen": _number(facts.get("tokens")),
        "of them distinct": _number(facts.get("unique_tokens")),
        "training FLOPs": _number(facts.get("flops")),
        "peak learning rate": _number(facts.get("learning_rate")),
        "precision": facts.get("precision"),
        "objective": settings["objective"],
        "made": manifest["made"],
        "key": f"`{manifest['key']}`",
    } | {
        name: _number(value)
        for name, value in (settings | settings.get("hyper", {})).items()
        if name in _SHOWN and value is not None
    }
    rows = [f"| {name.replace('_', ' ')} | {value} |" for name, value in told.items() if value is not None]
    table = "\n".join(["| | |", "| --- | --- |", *rows])
    return f"## How it was made\n\n    {command}\n\n{table}\n"


# Of the settings of a pretraining, and of a fine-tuning.
_SHOWN = (
    "optimizer batch_tokens batch_size epochs warmup_tokens warmup_fraction weight_decay beta1 beta2 clip "
    "schedule decay_fraction dropout label_smoothing max_tokens steps"
).split()


def _number(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None if value is None else str(value)
    return f"{value:,}" if isinstance(value, int) and value < 10**15 else f"{value:.4g}"


def _limits(manifest: Mapping[str, Any], results: Sequence[Result]) -> str:
    """What the model was not made for, as far as its own manifest tells."""
    settings, facts = manifest["settings"], manifest["facts"]
    measured = ", ".join(dict.fromkeys(f"{result.task} ({result.split})" for result in results))
    told = [
        "A measuring instrument of a scaling ladder: never tuned to be safe, nor to decide about people.",
        f"What it is worth is known only for what it was measured on: {measured or 'nothing'}.",
        f"It reads at most {settings.get('max_tokens', settings['context'])} tokens; longer texts are cut.",
        "It knows the languages and subjects of its data, and what is wrong in them.",
    ]
    if facts.get("annealed") is False:
        told.append(
            "Its learning rate was not annealed: a stage of a longer training, and worse than its end."
        )
    licence = "No licence is given: it follows from that of the data, which Stepladder does not know."
    return "\n".join(["## Limits\n", *(f"- {line}" for line in told), "", licence, ""])
