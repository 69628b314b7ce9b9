"""From what a reader types to the folder of one model: a folder, a stage's or a run's folder, a hub name."""

from __future__ import annotations

from pathlib import Path

from eval.files import InputError
from eval.loading import find_checkpoint

SHOWN = 4  # models of a run that an error lists


def find_model(name: str) -> Path:
    """The folder with the config.json of the model that `name` means; a hub name is fetched.

    Of a stage's folder it is the `model/` in it. Raises InputError for a file, a folder without a model, a
    run with several (with some of them), and a name that neither this machine nor the hub has.
    """
    path = Path(name).expanduser()
    if path.is_file():
        raise InputError(f"{path}: is a file; name the folder of a model")
    if path.is_dir():
        return _inside(path)
    if name.startswith((".", "~", "/")) or name.count("/") > 1 or not name:
        raise InputError(f"{name!r}: no such folder; name the folder of a model, or a model of the hub")
    return find_checkpoint(name)


def find_models(run: Path) -> list[Path]:
    """The model folders of a run's stages, by name; none for any other folder."""
    return sorted(config.parent for config in run.glob("stages/*/model/config.json"))


def _inside(folder: Path) -> Path:
    checkpoint = find_checkpoint(folder)
    if (checkpoint / "config.json").is_file():
        return checkpoint
    models = find_models(folder)
    if len(models) == 1:
        return models[0]
    if models:
        there = ", ".join(str(path) for path in models[:SHOWN])
        more = f" and {len(models) - SHOWN} more" if len(models) > SHOWN else ""
        raise InputError(f"{folder}: holds {len(models)} models; name one of {there}{more}")
    raise InputError(
        f"{folder}: no model (config.json is not there); name a folder that save_pretrained wrote"
    )
