"""The README.md of each trained model: what it is, how it was made and what it scored."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from eval.files import read_text, write_atomic
from eval.results import Result, read_results

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
LOADERS = {
    "text-generation": "AutoModelForCausalLM",
    "fill-mask": "AutoModelForMaskedLM",
    "text-classification": "AutoModelForSequenceClassification",
    "question-answering": "AutoModelForQuestionAnswering",
    "token-classification": "AutoModelForTokenClassification",
}


LIMITS = """\
## Limits

A measuring instrument of a scaling ladder: small, trained briefly, never tuned to be safe or useful. No
licence is given here: it follows from that of the data, which Stepladder does not know.
"""


def write_cards(run: RunFolder, plan: Plan, loaded: LoadedRecipe) -> int:
    """Write the card of every model that the run trained, where it would change; how many were written.

    A card is no part of its artefact: no hash and no size of it is kept, so that results measured later stand
    in it, too.
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
        card = make_card(plan.recipe, stage, manifest, scored[stage.id], loaded.command)
        if not path.is_file() or read_text(path) != card:
            write_atomic(path, card)
            written += 1
    return written


def make_card(
    recipe: str, stage: Stage, manifest: Mapping[str, Any], results: Sequence[Result], command: str
) -> str:
    """The text of one card: YAML with a `model-index` of the results, then the same for readers."""
    from huggingface_hub import ModelCardData

    objective = str(stage.settings["objective"])
    pipeline = PIPELINES[objective]
    data = ModelCardData(
        library_name="transformers",
        pipeline_tag=pipeline,
        tags=["stepladder", str(stage.settings["family"]), objective],
        model_name=f"{recipe}-{stage.name}",
        eval_results=[_entry(result, pipeline) for result in results if result.value is not None] or None,
    )
    parts = [
        f"---\n{data.to_yaml()}\n---\n",
        f"# {recipe}-{stage.name}\n",
        _what(recipe, stage, manifest),
        _scores(results),
        _made(stage, manifest, command),
        _use(pipeline),
        LIMITS,
    ]
    return "\n".join(parts)


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
    } | {name: _number(value) for name, value in settings.get("hyper", {}).items() if name in _SHOWN}
    rows = [f"| {name.replace('_', ' ')} | {value} |" for name, value in told.items() if value is not None]
    table = "\n".join(["| | |", "| --- | --- |", *rows])
    return f"## How it was made\n\n    {command}\n\n{table}\n"


_SHOWN = ("optimizer", "batch_tokens", "warmup_tokens", "weight_decay", "schedule", "dropout", "steps")


def _number(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None if value is None else str(value)
    return f"{value:,}" if isinstance(value, int) and value < 10**15 else f"{value:.4g}"


def _use(pipeline: str) -> str:
    loader = LOADERS[pipeline]
    return (
        "## Use\n\n```python\n"
        f"from transformers import {loader}, AutoTokenizer\n\n"
        f'model = {loader}.from_pretrained("FOLDER")\n'
        'tokenizer = AutoTokenizer.from_pretrained("FOLDER")\n```\n'
    )
