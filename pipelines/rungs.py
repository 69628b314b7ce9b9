"""The rungs of a recipe with all that planning needs of them: built here, or read from models that exist."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.files import InputError, hash_json
from eval.hub import fetch_files
from pipelines.known_models import KnownModel, published, read_config
from pipelines.ladder import Shape, count_non_embedding, count_params
from pipelines.model_files import check_weights, read_model_config
from pipelines.recipe_checks import too_many_hidden
from pipelines.tokenizer_files import FILES, below, check_tokenizer_folder

if TYPE_CHECKING:
    from pipelines.recipe import Recipe

# What a later run wants to know of the models that it goes on from.
CARRIED_FACTS = ("tokens", "unique_tokens", "flops", "step", "learning_rate", "annealed")


@dataclass(frozen=True, kw_only=True)
class Existing:
    """A model to start from. `model`: an absolute folder, or a hub name with its revision, if any.

    `before`: what its own run says of it (CARRIED_FACTS); empty for anybody else's. `numbering`: a hash of
    its tokenizer's ids; None where nobody needs to know.
    """

    model: str
    revision: str | None
    fingerprint: str
    before: dict[str, Any] = field(default_factory=dict)
    numbering: str | None = None


@dataclass(frozen=True, kw_only=True)
class LadderRung:
    """One size: its name, shape, seeds and exact counts (None: known only once its tokenizer is loaded)."""

    name: str
    shape: Shape
    seeds: tuple[int, ...]
    params: dict[str, int | None]
    vocab_size: int | None
    context: int
    existing: dict[int, Existing] = field(default_factory=dict)
    """By seed, the model to start from; empty for a rung from scratch."""


def resolve_rungs(recipe: Recipe, base: Path, vocab_size: int | None) -> tuple[LadderRung, ...]:
    """The recipe's rungs, smallest first. Raises InputError for a model missing or of another family.

    `vocab_size`: of a tokenizer that exists; None where that is not known, or there is none.
    """
    wanted = recipe.ladder.rungs
    if wanted.from_scratch:
        return _from_scratch(recipe, vocab_size)
    if wanted.init_from is not None:
        rungs = _from_run(recipe, below(base, wanted.init_from).resolve())
        if hidden := too_many_hidden(recipe, len(rungs)):
            raise InputError(f"report.holdout: {hidden}")
    else:
        rungs = _from_models(recipe, base)
    return tuple(sorted(rungs, key=lambda rung: rung.params["non_embedding"] or 0))


def check_numbering(rungs: Sequence[LadderRung]) -> None:
    """Raise InputError where models that shall learn from one token stream number tokens differently."""
    models = [(rung.name, existing) for rung in rungs for existing in rung.existing.values()]
    name, first = models[0]
    for other, existing in models:
        if existing.numbering != first.numbering:
            raise InputError(
                f"ladder.rungs: {name} and {other} have different tokenizers, and are to be trained on the "
                "same tokens; choose models of one tokenizer, or train each in a recipe of its own"
            )


def _from_scratch(recipe: Recipe, vocab_size: int | None) -> tuple[LadderRung, ...]:
    assert recipe.tokenizer is not None, "the recipe checked that rungs from scratch have a tokenizer"
    family, context = recipe.family, recipe.context
    vocab_size = recipe.tokenizer.vocab_size or vocab_size
    rungs = []
    for rung in recipe.ladder.named_rungs():
        n = count_non_embedding(rung.shape, family)
        params: dict[str, int | None] = {"total": None, "non_embedding": n, "matmul": None}
        if vocab_size is not None:
            params |= count_params(rung.shape, vocab_size, context, family)
        rungs.append(
            LadderRung(
                name=rung.name,
                shape=rung.shape,
                seeds=rung.seeds,
                params=params,
                vocab_size=vocab_size,
                context=context,
            )
        )
    return tuple(rungs)


def _from_models(recipe: Recipe, base: Path) -> list[LadderRung]:
    names = recipe.ladder.rungs.pretrained or ()
    rungs: list[LadderRung] = []
    for index, (name, seeds) in enumerate(zip(names, recipe.ladder.seed_counts(len(names)), strict=True)):
        where = f"ladder.rungs.pretrained.{index}: {name}"
        known, existing = _look_up(recipe, name, base, where)
        rung = _slug(name)
        if any(rung == other.name for other in rungs):
            rung = f"{rung}-{index + 1}"
        rungs.append(_existing_rung(recipe, rung, known, dict.fromkeys(range(seeds), existing), where))
    return rungs


def _from_run(recipe: Recipe, run: Path) -> list[LadderRung]:
    """The finished rungs of a run: of each name and seed the model that was trained longest."""
    from pipelines.store import RunFolder, read_manifest

    found: dict[str, dict[int, tuple[int, Path, dict[str, Any]]]] = {}
    for stage in RunFolder(run).read_plan()["stages"]:
        manifest = read_manifest(run / "stages" / stage["folder"])
        if stage.get("kind") not in ("pretrain", "fetch") or manifest is None:
            continue
        settings, facts = manifest["settings"], manifest["facts"]
        seeds = found.setdefault(settings["rung"], {})
        tokens = facts.get("tokens") or 0  # not known where the run began with somebody else's model
        # of a plan's models the later one goes on from the earlier
        if settings["seed"] not in seeds or tokens >= seeds[settings["seed"]][0]:
            seeds[settings["seed"]] = (tokens, run / "stages" / stage["folder"] / "model", facts)
    if not found:
        raise InputError(f"ladder.rungs.init_from: {run}: no finished rung in it; finish that run first")
    rungs = []
    for name, seeds in found.items():
        where = f"ladder.rungs.init_from: {run}: {name}"
        existing: dict[int, Existing] = {}
        for seed, (_, model, facts) in sorted(seeds.items()):
            known, taken = _in_folder(model, where)
            existing[seed] = replace(taken, before={key: facts.get(key) for key in CARRIED_FACTS})
        rungs.append(_existing_rung(recipe, name, known, existing, where))
    return rungs


def _existing_rung(
    recipe: Recipe, name: str, known: KnownModel, existing: dict[int, Existing], where: str
) -> LadderRung:
    if known.family != recipe.family:
        raise InputError(f"{where}: is a {known.family}, not a {recipe.family}; set family: {known.family}")
    if recipe.context > known.context:
        raise InputError(
            f"{where}: has {known.context} positions, fewer than context: {recipe.context}; lower it"
        )
    return LadderRung(
        name=name,
        shape=known.shape,
        seeds=tuple(existing),
        params=dict(known.params),
        vocab_size=known.vocab_size,
        context=recipe.context,
        existing=existing,
    )


def _look_up(recipe: Recipe, name: str, base: Path, where: str) -> tuple[KnownModel, Existing]:
    """A folder below `base`, else a hub name, `owner/name@revision`."""
    folder = below(base, name)
    if folder.is_dir():
        return _in_folder(folder.resolve(), where)
    hub_name, _, revision = name.partition("@")
    existing = Existing(
        model=hub_name,
        revision=revision or None,
        fingerprint=hash_json({"hub": hub_name, "revision": revision}),
    )
    known = published(hub_name)
    if known is not None and not recipe.pretrains:
        return known, existing
    files = FILES if known else ("config.json", *FILES)
    folder = fetch_files(hub_name, existing.revision, files, where)
    known = known or read_config(read_model_config(folder, where), where)
    return known, replace(existing, numbering=_check_tokenizer(folder, known, where))


def _in_folder(folder: Path, where: str) -> tuple[KnownModel, Existing]:
    known = read_config(read_model_config(folder, where), where)
    numbering = _check_tokenizer(folder, known, where)
    fingerprint = check_weights(folder, known, where)
    return known, Existing(model=str(folder), revision=None, fingerprint=fingerprint, numbering=numbering)


def _check_tokenizer(folder: Path, known: KnownModel, where: str) -> str:
    """The numbering of a model's tokenizer, which must have no id that the model lacks."""
    tokenizer = check_tokenizer_folder(folder, where)
    if tokenizer.vocab_size is not None and tokenizer.vocab_size > known.vocab_size:
        raise InputError(
            f"{where}: its tokenizer has {tokenizer.vocab_size} ids, the model {known.vocab_size}; "
            "they do not fit"
        )
    return tokenizer.numbering


def _slug(name: str) -> str:
    """A rung's name from a model's: the last part of it, in small letters; of `…/x/model` it is `x`."""
    parts = [part for part in name.partition("@")[0].replace("\\", "/").split("/") if part not in ("", ".")]
    last = parts[-2] if len(parts) > 1 and parts[-1] == "model" else parts[-1]
    return re.sub(r"[^a-z0-9.]+", "-", last.lower()).strip("-.") or "model"
