"""Where a model of a run comes from, as the manifest of the stage that made it says."""

from __future__ import annotations

from pathlib import Path

from eval.loading import fingerprint
from eval.results import Origin
from pipelines.store import RunFolder, read_manifest

MODEL_STAGES = ("finetune", "pretrain", "fetch")


def origin_of(run: str, stage: Path) -> Origin:
    """The origin of the model in a finished stage's folder, of the run of that name."""
    manifest = read_manifest(stage)
    assert manifest is not None, f"{stage}: an input of a running stage is finished"
    facts, made_with = manifest["facts"], manifest["settings"]
    return Origin(
        run=run,
        stage=str(manifest["stage"]).split("-")[0],
        family=made_with["family"],
        objective=made_with["objective"],
        rung=made_with["rung"],
        seed=made_with["seed"],
        model_fingerprint=fingerprint(stage / "model"),
        **{
            name: facts[name]
            for name in ("params", "tokens", "unique_tokens", "flops", "stage_flops", "step", "annealed")
        },
    )


def find_origin(checkpoint: Path) -> tuple[Origin, int | None] | None:
    """The origin of a model's folder that lies in a run as its stage left it; None for any other folder.

    Beside it the tokens of a row that the model was fine-tuned on; None for one that was not.
    """
    folder = checkpoint.resolve()
    stage, root = folder.parent, folder.parent.parent.parent
    if folder.name != "model" or stage.parent.name != "stages" or not (root / "plan.json").is_file():
        return None
    manifest = read_manifest(stage)
    if manifest is None or str(manifest["stage"]).split("-")[0] not in MODEL_STAGES:
        return None
    return origin_of(RunFolder(root).recipe_name(), stage), manifest["settings"].get("max_tokens")
