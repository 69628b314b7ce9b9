"""From a recipe to its plan: every stage with its settings, inputs and content key; nothing runs, no torch.

A stage's key is the hash of what decides its content: its settings, its inputs' keys, its kind's version.
Whatever only changes speed, logging or the report is in no stage's settings, so that changing it makes
nothing again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.files import hash_file, hash_json
from eval.tasks import TASKS
from pipelines.budget import FINETUNE_RATE_SHARE, choose_hyper, tokens_of
from pipelines.estimate import estimate_costs, usable_cores
from pipelines.flops import training_flops_per_token
from pipelines.ladder import Rung, count_non_embedding, count_params
from pipelines.recipe import Finetune, Recipe

if TYPE_CHECKING:
    from pipelines.recipe_file import LoadedRecipe

# Raised by hand when what a kind of stage makes from the same settings changes.
VERSIONS = {
    "prepare-corpus": 1,
    "prepare-tokens": 1,
    "prepare-rows": 1,
    "pretrain": 1,
    "finetune": 1,
    "evaluate": 1,
}

FINETUNE_WARMUP_FRACTION = 0.1
FINETUNE_SCHEDULE = "linear"
# What fine-tuning takes over from the pretraining it continues.
_CARRIED = ("family", "rung", "shape", "vocab_size", "context", "precision", "seed")

# Settings of `eval` that change nothing a stage leaves, by kind of task; `tasks` chooses the stages
# themselves.
_UNUSED_BY_ALL = {"tasks", "batch_tokens"}
_UNUSED_BY_KIND = {"language-modelling": {"samples"}, "generation": {"stride"}, "classification": {"stride"}}


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One unit of work. What is None is not known before the stages it needs have run."""

    kind: str
    name: str
    settings: dict[str, Any]
    inputs: tuple[str, ...]
    version: int
    key: str
    flops: int | None = None
    tokens: int | None = None
    seconds_estimate: float | None = None
    memory_bytes: int | None = None
    disk_bytes: int | None = None

    @property
    def id(self) -> str:
        """Unique in a plan: `pretrain-13k-s0`."""
        return f"{self.kind}-{self.name}"

    @property
    def folder(self) -> str:
        """The artefact's folder below `stages/`."""
        return f"{self.id}-{self.key}"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The stages of a recipe, every stage after its inputs; `base` is where relative files are looked up."""

    recipe: str
    base: Path
    stages: tuple[Stage, ...]

    def stage(self, stage_id: str) -> Stage:
        """The stage of that id; `KeyError` when there is none."""
        return {stage.id: stage for stage in self.stages}[stage_id]


def make_plan(loaded: LoadedRecipe) -> Plan:
    """All stages of a recipe, in an order they can be run in.

    Of the corpus only the fingerprint is read; raises `InputError` where its source is missing or empty.
    """
    recipe = loaded.recipe
    prepared = {stage.name: stage for stage in _preparation(recipe, loaded.base)}
    stages = list(prepared.values())
    for rung in recipe.ladder.named_rungs():
        for seed in rung.seeds:
            stages += _run(recipe, rung, seed, prepared)
    return Plan(recipe=recipe.name, base=loaded.base, stages=tuple(stages))


def _stage(work: str, name: str, settings: dict[str, Any], *inputs: Stage) -> Stage:
    """A stage that does `work` (a key of VERSIONS, which begins with the stage's kind)."""
    version = VERSIONS[work]
    content = {"settings": settings, "inputs": [stage.key for stage in inputs], "version": version}
    return Stage(
        kind=work.partition("-")[0],
        name=name,
        settings=settings,
        inputs=tuple(stage.id for stage in inputs),
        version=version,
        key=hash_json(content)[:12],
        flops=settings.get("flops"),
        tokens=settings.get("tokens"),
        **vars(estimate_costs(work, settings, usable_cores())),
    )


def _preparation(recipe: Recipe, base: Path) -> Iterator[Stage]:
    """The corpus, its tokens, and the rows of every downstream task."""
    from pipelines.corpus import source_fingerprint

    settings = recipe.corpus.model_dump(mode="json")
    corpus = _stage(
        "prepare-corpus", "corpus", settings | {"fingerprint": source_fingerprint(settings, base)}
    )
    yield corpus
    yield _stage("prepare-tokens", "tokens", _tokenizer_settings(recipe, base), corpus)
    for finetune in recipe.finetune:
        yield _stage("prepare-rows", finetune.task, {"task": finetune.task}, corpus)


def _tokenizer_settings(recipe: Recipe, base: Path) -> dict[str, Any]:
    """The recipe's, with the context; a tokenizer in a folder is told from another by its content."""
    settings = recipe.tokenizer.model_dump(mode="json") | {"context": recipe.context}
    folder = base / (recipe.tokenizer.pretrained or "")
    if recipe.tokenizer.pretrained and folder.is_dir():
        files = [path for path in sorted(folder.iterdir()) if path.suffix in (".json", ".txt", ".model")]
        fingerprint = hash_json({path.name: hash_file(path) for path in files})
        settings |= {"pretrained": str(folder.resolve()), "fingerprint": fingerprint}
    return settings


def _run(recipe: Recipe, rung: Rung, seed: int, prepared: dict[str, Stage]) -> Iterator[Stage]:
    """What one seed of one rung goes through: pretraining, and what is measured and fine-tuned from it."""
    pretrain = _pretrain(recipe, rung, seed, prepared["tokens"])
    yield pretrain
    if "perplexity" in recipe.eval.tasks:
        yield _evaluate(recipe, "perplexity", pretrain, prepared["corpus"], f"{rung.name}-s{seed}")
    for finetune in recipe.finetune:
        if seed < finetune.seeds:
            tuned = _finetune(recipe, finetune, pretrain, prepared[finetune.task])
            yield tuned
            if finetune.task in recipe.eval.tasks:
                yield _evaluate(recipe, finetune.task, tuned, prepared[finetune.task], f"{rung.name}-s{seed}")


def _pretrain(recipe: Recipe, rung: Rung, seed: int, tokens: Stage) -> Stage:
    n = count_non_embedding(rung.shape)
    vocab_size = recipe.tokenizer.vocab_size
    params: dict[str, int | None] = {"total": None, "non_embedding": n, "matmul": None}
    flops_per_token = None
    if vocab_size is not None:
        params |= count_params(rung.shape, vocab_size, recipe.context)
        flops_per_token = training_flops_per_token(rung.shape, vocab_size, recipe.context)
    hyper = choose_hyper(recipe.training, n, tokens_of(recipe.budget, n, flops_per_token), recipe.context)
    settings = {
        "family": recipe.family,
        "objective": recipe.objective,
        "rung": rung.name,
        "shape": asdict(rung.shape),
        "vocab_size": vocab_size,
        "context": recipe.context,
        "params": params,
        "hyper": asdict(hyper),
        "seed": seed,
        "precision": recipe.training.precision,
        "tokens": hyper.tokens,
        "flops": None if flops_per_token is None else flops_per_token * hyper.tokens,
        "flops_per_token": flops_per_token,
    }
    return _stage("pretrain", f"{rung.name}-s{seed}", settings, tokens)


def _finetune(recipe: Recipe, finetune: Finetune, pretrain: Stage, rows: Stage) -> Stage:
    hyper = pretrain.settings["hyper"]
    settings = {name: pretrain.settings[name] for name in _CARRIED} | {
        "task": finetune.task,
        "objective": TASKS[finetune.task].objective,
        "epochs": finetune.epochs,
        "batch_size": finetune.batch_size,
        "max_rows": finetune.max_rows,
        "max_tokens": finetune.max_tokens or recipe.context,
        "learning_rate": finetune.learning_rate or hyper["learning_rate"] * FINETUNE_RATE_SHARE,
        "warmup_fraction": FINETUNE_WARMUP_FRACTION,
        "schedule": FINETUNE_SCHEDULE,
        **{name: hyper[name] for name in ("weight_decay", "beta1", "beta2", "clip")},
    }
    return _stage("finetune", f"{pretrain.name}-{finetune.task}", settings, pretrain, rows)


def _evaluate(recipe: Recipe, task: str, model: Stage, data: Stage, run_name: str) -> Stage:
    """A model that was fine-tuned on rows of some length is measured on rows of that length."""
    unused = _UNUSED_BY_ALL | _UNUSED_BY_KIND[TASKS[task].kind]
    settings = {"task": task} | recipe.eval.model_dump(mode="json", exclude=unused)
    if settings["context"] is None and model.kind == "finetune":
        settings["context"] = model.settings["max_tokens"]
    return _stage("evaluate", f"{run_name}-{task}", settings, model, data)
