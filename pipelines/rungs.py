"""The rungs of a recipe with all that planning needs of them: built here, or read from models that exist."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.files import InputError, hash_file, hash_json, read_text
from pipelines.known_models import KnownModel, published, read_config
from pipelines.ladder import Shape, count_non_embedding, count_params
from pipelines.tokenizer_files import check_tokenizer_folder

if TYPE_CHECKING:
    from pipelines.recipe import Recipe

SAMPLED_BYTES = 2**20  # of the beginning and the end of each weight file, for a fingerprint in no time
WEIGHTS = (".safetensors", ".bin")
# What a later run wants to know of the models that it goes on from.
CARRIED_FACTS = ("tokens", "unique_tokens", "flops", "step", "learning_rate")


@dataclass(frozen=True, kw_only=True)
class Existing:
    """A model to start from. `model`: an absolute folder, or a hub name with its revision, if any.

    `before`: what its own run says of it (CARRIED_FACTS); empty for anybody else's.
    """

    model: str
    revision: str | None
    fingerprint: str
    before: dict[str, Any] = field(default_factory=dict)


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


def resolve_rungs(recipe: Recipe, base: Path) -> tuple[LadderRung, ...]:
    """The recipe's rungs, smallest first. Raises InputError for a model missing or of another family."""
    wanted = recipe.ladder.rungs
    if wanted.from_scratch:
        return _from_scratch(recipe, base)
    if wanted.init_from is not None:
        rungs = _from_run(recipe, (base / Path(wanted.init_from).expanduser()).resolve())
    else:
        rungs = _from_models(recipe, base)
    return tuple(sorted(rungs, key=lambda rung: rung.params["non_embedding"] or 0))


def _from_scratch(recipe: Recipe, base: Path) -> tuple[LadderRung, ...]:
    assert recipe.tokenizer is not None, "the recipe checked that rungs from scratch have a tokenizer"
    family, context = recipe.family, recipe.context
    vocab_size = recipe.tokenizer.vocab_size or _vocabulary(recipe, base)
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


def _vocabulary(recipe: Recipe, base: Path) -> int | None:
    """The size of a tokenizer in a folder, which must suit the objective; None for one on the hub."""
    assert recipe.tokenizer is not None
    wanted = base / Path(recipe.tokenizer.pretrained or "").expanduser()
    if not wanted.is_dir():
        return None
    known = check_tokenizer_folder(wanted)
    where = f"tokenizer.pretrained: {recipe.tokenizer.pretrained}"
    if recipe.learns == "masked-lm" and not known.masks:
        raise InputError(f"{where}: has no mask token, which masked-lm needs; name a BERT's tokenizer")
    if recipe.learns == "causal-lm" and not known.ends:
        raise InputError(f"{where}: has no end-of-text token, which causal-lm needs; name a GPT-2's")
    return known.vocab_size


def _from_models(recipe: Recipe, base: Path) -> list[LadderRung]:
    names = recipe.ladder.rungs.pretrained or ()
    rungs: list[LadderRung] = []
    for index, (name, seeds) in enumerate(zip(names, recipe.ladder.seed_counts(len(names)), strict=True)):
        where = f"ladder.rungs.pretrained.{index}: {name}"
        known, existing = _look_up(name, base, where)
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
        tokens = facts.get("tokens") or 0
        if settings["seed"] not in seeds or tokens > seeds[settings["seed"]][0]:
            seeds[settings["seed"]] = (tokens, run / "stages" / stage["folder"] / "model", facts)
    if not found:
        raise InputError(f"ladder.rungs.init_from: {run}: no finished rung in it; finish that run first")
    rungs = []
    for name, seeds in found.items():
        where = f"ladder.rungs.init_from: {run}: {name}"
        existing = {
            seed: Existing(
                model=str(model),
                revision=None,
                fingerprint=_fingerprint(model, where),
                before={key: facts.get(key) for key in CARRIED_FACTS},
            )
            for seed, (_, model, facts) in sorted(seeds.items())
        }
        known = read_config(_config(next(iter(seeds.values()))[1], where), where)
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


def _look_up(name: str, base: Path, where: str) -> tuple[KnownModel, Existing]:
    """A folder below `base`, else a hub name, `owner/name@revision`."""
    folder = base / Path(name).expanduser()
    if folder.is_dir():
        folder = folder.resolve()
        known = read_config(_config(folder, where), where)
        ids = check_tokenizer_folder(folder, where).vocab_size
        if ids is not None and ids > known.vocab_size:
            raise InputError(
                f"{where}: its tokenizer has {ids} ids, the model {known.vocab_size}; they do not fit"
            )
        return known, Existing(model=str(folder), revision=None, fingerprint=_fingerprint(folder, where))
    hub_name, _, revision = name.partition("@")
    fingerprint = hash_json({"hub": hub_name, "revision": revision})
    existing = Existing(model=hub_name, revision=revision or None, fingerprint=fingerprint)
    known_by_name = published(hub_name)
    return known_by_name or read_config(_hub_config(hub_name, revision, where), where), existing


def _config(folder: Path, where: str) -> dict[str, Any]:
    path = folder / "config.json"
    if not path.is_file():
        raise InputError(f"{where}: no config.json in it; name a folder that save_pretrained wrote")
    try:
        config = json.loads(read_text(path))
    except ValueError as error:
        raise InputError(f"{where}: its config.json is broken ({error}); save the model again") from error
    if not isinstance(config, dict):
        raise InputError(f"{where}: its config.json is no model's; save the model again")
    return config


def _hub_config(name: str, revision: str, where: str) -> dict[str, Any]:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        path = hf_hub_download(name, "config.json", revision=revision or None)
    except (HfHubHTTPError, OSError, ValueError) as error:
        reason = (str(error).strip().splitlines() or ["no answer"])[0]
        raise InputError(
            f"{where}: no such folder, and not on the hub ({reason}); check the name and the network"
        ) from error
    return _config(Path(path).parent, where)


def _fingerprint(folder: Path, where: str) -> str:
    """Tells one model from another by its config and its weights' sizes, beginnings and ends."""
    weights = sorted(path for path in folder.iterdir() if path.suffix in WEIGHTS)
    if not weights:
        raise InputError(f"{where}: no weights in it; name a folder that save_pretrained wrote")
    parts = {path.name: [path.stat().st_size, _sample(path)] for path in weights}
    return hash_json({"config": hash_file(folder / "config.json"), "weights": parts})


def _sample(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        digest.update(file.read(SAMPLED_BYTES))
        file.seek(max(0, path.stat().st_size - SAMPLED_BYTES))
        digest.update(file.read(SAMPLED_BYTES))
    return digest.hexdigest()


def _slug(name: str) -> str:
    """A rung's name from a model's: the last part of it, in small letters; of `…/x/model` it is `x`."""
    parts = [part for part in name.partition("@")[0].replace("\\", "/").split("/") if part not in ("", ".")]
    last = parts[-2] if len(parts) > 1 and parts[-1] == "model" else parts[-1]
    return re.sub(r"[^a-z0-9.]+", "-", last.lower()).strip("-.") or "model"
