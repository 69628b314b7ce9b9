"""A loaded model with what it takes to predict: which head it has, and what its task is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from eval.files import InputError, read_json
from eval.loading import load_model
from eval.model import Model
from eval.settings import EvalSettings
from eval.tasks.base import Generation, Task
from eval.tasks.encoding import stop_ids
from pipelines.using.inputs import Columns
from pipelines.using.task_file import TaskFile, own_task, read_task_file

# What the class of a saved model says it is for, by the end of the class's name.
_HEADS = {
    "ForSequenceClassification": "classification",
    "ForTokenClassification": "tagging",
    "ForQuestionAnswering": "span",
}
_PROBLEMS = {"regression": "regression", "multi_label_classification": "multi-label"}


@dataclass(frozen=True)
class Predictor:
    """`model` answers, `task` says what is asked; `own`: texts are framed as the model's task was taught.

    A model from elsewhere reads what its own tokenizer makes of a text, as in transformers' pipelines.
    `columns`: where the fields of a row are.
    """

    model: Model
    task: Task
    own: bool
    columns: Columns

    @property
    def labels(self) -> list[str]:
        """The names of the head's outputs, in their order."""
        names = {int(index): str(name) for index, name in self.model.network.config.id2label.items()}
        return [names[index] for index in sorted(names)]

    @cached_property
    def stops(self) -> list[int]:
        """The tokens that end an answer of a task: end of text, and every token with a line break."""
        return stop_ids(self.model.tokenizer)


def load_predictor(folder: Path, columns: Mapping[str, str]) -> Predictor:
    """Load the model in `folder` with its head. `columns`: field -> column, where the reader names one.

    Raises InputError for a folder that is no checkpoint, and for a model that was taught no task.
    """
    found = read_task_file(folder)
    task = found.make() if found else own_task(_kind(folder), folder.name)
    model = _load(folder, task)
    if found is None:  # its tokenizer may know of positions that the model keeps to itself
        model = _shortened(model, model.tokenizer.model_max_length)
        return Predictor(model, task, False, Columns(columns))
    templates = {"source": found.prompt} if found.prompt is not None else {}
    places = Columns(columns, found.columns, templates)
    return Predictor(_shortened(model, found.max_tokens), task, True, places)


def load_writer(folder: Path, columns: Mapping[str, str]) -> Predictor:
    """Load the model in `folder` to write with: one taught to write for a source, or a language model.

    `columns` as for `load_predictor`; the field is `prompt`. Raises InputError for models that do not write.
    """
    found = check_writes(folder)
    task = found.make() if found else own_task("generation", folder.name)
    model = _load(folder, task)
    if found is None:
        return Predictor(model, task, False, Columns(columns))
    source = {"prompt": found.columns["source"]} if "source" in found.columns else {}
    templates = {"prompt": found.prompt} if found.prompt is not None else {}
    return Predictor(_shortened(model, found.max_tokens), task, True, Columns(columns, source, templates))


def check_writes(folder: Path) -> TaskFile | None:
    """The task that a writing model was taught, None for a language model; reads no weights.

    Raises InputError for a folder that is no checkpoint, and for a model that does not write.
    """
    found = read_task_file(folder)
    if found is not None and not isinstance(task := found.make(), Generation):
        raise InputError(f"{folder}: learnt {task.name}, which is {task.kind}; use `stepladder predict`")
    config = read_config(folder)
    if found is None and (head := _head(folder)) is not None:
        raise InputError(f"{folder}: has a head for {head} and does not write; use `stepladder predict`")
    if config.get("model_type") == "bert" and not config.get("is_decoder"):
        raise InputError(f"{folder}: a bert fills gaps and does not write; name a GPT-2")
    return found


def _load(folder: Path, task: Task) -> Model:
    """Load a model, or say in a line that its files are broken."""
    try:
        return load_model(folder, task, EvalSettings())
    except InputError:
        raise
    except Exception as error:  # safetensors' and torch's own; of a broken tokenizer.json a bare Exception
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"{folder}: cannot be loaded ({reason}); save or fetch the model again") from error


def _shortened(model: Model, limit: int) -> Model:
    """Reading at most `limit` tokens: what the task was taught and measured with, so answers are those."""
    return replace(model, context=min(model.context, limit))


def _kind(folder: Path) -> str:
    """The kind of task that a model from elsewhere has a head for."""
    config = read_config(folder)
    head = _head(folder)
    if head is None:
        named = ", ".join(config.get("architectures") or ()) or "no class named"
        raise InputError(
            f"{folder}: a language model without a task ({named}); `stepladder generate` writes with a "
            "GPT-2, fine-tuning teaches it or a BERT a task to predict"
        )
    if head == "classification":
        outputs = len(config.get("id2label") or {0: "", 1: ""})
        # transformers' own reading: one output without a word is a yes or no by itself
        return _PROBLEMS.get(config.get("problem_type") or "", "multi-label" if outputs == 1 else head)
    return head


def _head(folder: Path) -> str | None:
    """What the saved class is for; None for a language model, or a class that is not named."""
    named = read_config(folder).get("architectures") or ()
    return next((kind for name in named for end, kind in _HEADS.items() if name.endswith(end)), None)


def read_config(folder: Path) -> dict[str, Any]:
    """The model's config.json. Raises InputError for one that is missing, broken or no object."""
    config = read_json(folder / "config.json")
    if not isinstance(config, dict):
        raise InputError(f"{folder / 'config.json'}: not an object; save the model again")
    return config
