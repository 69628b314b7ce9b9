"""Find a checkpoint, check it, load it: from a folder or the hub, safetensors only, never its own code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from eval.files import InputError, hash_file, hash_json, read_json
from eval.labels import output_names
from eval.model import Model, fills_gaps
from eval.settings import EvalSettings
from eval.tasks import Task
from eval.tasks.encoding import encode_texts, pad_id

# Weights and what describes them; pickled weights are neither fetched nor read.
_FILES = ("*.json", "*.safetensors", "*.txt", "*.model")

_CONFIG = "config.json"
_TOKENIZER = ("*token*.json", "*.model", "vocab*", "merges*")

# The class of `transformers` with the head that each objective trains.
_HEADS = {
    "causal-lm": "AutoModelForCausalLM",
    "conditional-generation": "AutoModelForCausalLM",
    "masked-lm": "AutoModelForMaskedLM",
    "classification": "AutoModelForSequenceClassification",
    "multi-label": "AutoModelForSequenceClassification",
    "regression": "AutoModelForSequenceClassification",
    "span": "AutoModelForQuestionAnswering",
    "tagging": "AutoModelForTokenClassification",
}
# Classes with a head that only fine-tuning makes; a model saved as another class has none.
_TRAINED_HEADS = ("ForSequenceClassification", "ForQuestionAnswering", "ForTokenClassification")
_POOLED = ("classification", "multi-label", "regression")


# What `from_pretrained` ends in for files that are broken, or not of one model.
_UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError)


def find_checkpoint(model: str | Path) -> Path:
    """The folder of a checkpoint: `model`, or of a stage of a run the `model` in it; else the hub's, fetched.

    Raises `InputError` when it is neither, or when the hub cannot be reached and nothing was fetched before.
    """
    folder = Path(model)
    if folder.is_dir():
        inside = folder / "model"
        return inside if (inside / _CONFIG).is_file() and not (folder / _CONFIG).is_file() else folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return Path(snapshot_download(str(model), allow_patterns=list(_FILES)))
    except (HfHubHTTPError, OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(
            f"model {str(model)!r}: no such folder, and not to be had from the hub ({reason}); "
            "check the name, or fetch it where there is a network and name its folder"
        ) from error


def model_name(model: str | Path) -> str:
    """A hub name as it is; of a folder its own name, or the one above where that is only `model`."""
    folder = Path(model)
    if not folder.is_dir():
        return str(model)
    whole = folder.resolve()
    return whole.parent.name if whole.name == "model" else whole.name


def fingerprint(model_dir: Path) -> str:
    """16 hex digits of the checkpoint's content: its config.json and every safetensors file."""
    return hash_json({path.name: hash_file(path) for path in _files(Path(model_dir))})


def find_context(model_dir: Path, settings: EvalSettings) -> int:
    """How many tokens a model reads at once, at most, by its config.json; raises as loading does."""
    positions = getattr(_config(model_dir), "max_position_embeddings", None)
    return _context(positions, settings.context, model_dir)


def tokenizer_fingerprint(model_dir: Path) -> str:
    """16 hex digits of the files that say how the checkpoint in a folder reads text."""
    names = {path for pattern in _TOKENIZER for path in Path(model_dir).glob(pattern)}
    return hash_json({path.name: hash_file(path) for path in names if path.is_file()})


def _files(folder: Path) -> list[Path]:
    weights = sorted(folder.glob("*.safetensors"))
    if not (folder / _CONFIG).is_file() or not weights:
        raise InputError(f"{folder}: no checkpoint; config.json and *.safetensors are wanted")
    return [folder / _CONFIG, *weights]


def load_model(model_dir: Path, task: Task, settings: EvalSettings) -> Model:
    """The checkpoint in `model_dir` with the head the task needs, on the GPU if there is one.

    Raises `InputError` when files or weights are missing (a base model has no trained head), when the kind of
    model cannot do the task, or when `settings.context` is more than the model has positions for.
    """
    import torch
    import transformers

    head = check_family(model_dir, task)
    config = _config(model_dir)
    tokenizer = _load(transformers.AutoTokenizer, model_dir)
    if not encode_texts(tokenizer, ["the"])[0]:  # what transformers makes where no file of it is there
        raise InputError(f"{model_dir}: has no tokenizer, or an empty one; save it beside the model")
    network, info = _load(
        getattr(transformers, head),
        model_dir,
        config=config,
        dtype=torch.float32,
        use_safetensors=True,
        output_loading_info=True,
    )
    if lost := sorted(info["missing_keys"]):
        raise InputError(
            f"{model_dir}: has no trained {lost[0]}, which {task.name} needs; fine-tune it on that first"
        )
    # A GPT-2 classifier pools each row's last unpadded token; the others never look at padding.
    network.config.pad_token_id = pad_id(tokenizer) if task.objective in _POOLED else None
    device = "cuda" if torch.cuda.is_available() else "cpu"
    context = _context(_positions(network), settings.context, model_dir)
    return Model(network.eval().to(device), tokenizer, context, pad_id(tokenizer), settings.dtype)


def count_params(network: Any) -> dict[str, int]:
    """Exact parameters of a loaded model by convention: total, non_embedding, matmul.

    Embedding tables are left out of non_embedding, and so is the output head, tied or not; matmul adds it.
    """
    import torch

    embeddings = [module for module in network.modules() if isinstance(module, torch.nn.Embedding)]
    tables = {id(table.weight): table.weight.numel() for table in embeddings}
    output = network.get_output_embeddings()
    head = {id(p): p.numel() for p in output.parameters()} if output is not None else {}
    total = sum(parameter.numel() for parameter in network.parameters())  # a tied table is one parameter
    non_embedding = total - sum((tables | head).values())
    return {"total": total, "non_embedding": non_embedding, "matmul": non_embedding + sum(head.values())}


def check_family(model_dir: Path, task: Task) -> str:
    """The class of `transformers` that does the task; from config.json alone, before anything is loaded.

    Raises `InputError` for a folder that is no checkpoint, and where a model reads both ways and should write
    from left to right, or the other way round.
    """
    config = read_json(_files(Path(model_dir))[0])
    if not isinstance(config, dict):
        raise InputError(f"{model_dir}: config.json holds no object; save the model again")
    kind = str(config.get("model_type"))
    encoder = fills_gaps(kind, bool(config.get("is_decoder", False)))
    if task.objective == "any-lm":
        return _HEADS["masked-lm" if encoder else "causal-lm"]
    if encoder and task.objective in ("causal-lm", "conditional-generation"):
        wants = f"{task.name} is for models that write text from left to right, such as gpt2"
    elif not encoder and task.objective == "masked-lm":
        wants = f"{task.name} is for models that fill gaps, such as bert"
    else:
        return _trained(_HEADS[task.objective], config.get("architectures"), model_dir, task)
    raise InputError(f"{model_dir}: a {kind} cannot do {task.name}; {wants}")


def _trained(head: str, saved: Any, model_dir: Path, task: Task) -> str:
    """`head`; `InputError` where the class that the model was `saved` as is known, and has no such head."""
    wanted = head.removeprefix("AutoModel")
    named = saved if isinstance(saved, list) else []  # XLNetForQuestionAnsweringSimple is one, too
    if wanted in _TRAINED_HEADS and named and not any(wanted in str(name) for name in named):
        raise InputError(
            f"{model_dir}: was saved as {named[0]}, which has no trained head for {task.name}; fine-tune it "
            f"on that first, or name a model …{wanted}"
        )
    return head


def output_names_of(model_dir: Path) -> list[str]:
    """The names of a classifier's outputs, by its config.json; raises as loading does."""
    return output_names(_config(model_dir).id2label)


def _config(model_dir: Path) -> Any:
    from transformers import AutoConfig

    config = _load(AutoConfig, model_dir)
    if getattr(config, "activation_function", None) == "gelu_new":
        # The same function: gelu_new writes it out in six operations, torch has it as one.
        config.activation_function = "gelu_pytorch_tanh"
    return config


def _load(auto_class: Any, model_dir: Path, **options: Any) -> Any:
    """`from_pretrained` on a folder: no network, no foreign code, no progress bar; may raise `InputError`."""
    from safetensors import SafetensorError
    from transformers.utils import logging

    bar = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        return auto_class.from_pretrained(
            model_dir, local_files_only=True, trust_remote_code=False, **options
        )
    except (*_UNREADABLE, SafetensorError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"{model_dir}: cannot be loaded ({reason}); save it again") from error
    finally:
        if bar:
            logging.enable_progress_bar()


def _context(positions: int | None, wanted: int | None, model_dir: Path) -> int:
    if wanted is None:
        if positions is None:
            raise InputError(f"{model_dir}: config.json does not give the longest text; set eval.context")
        return positions
    if positions is not None and wanted > positions:
        raise InputError(f"eval.context: {wanted} is more than the model's {positions} positions; lower it")
    return wanted


def _positions(network: Any) -> int | None:
    """The longest text that a model has positions for; None where it has no such end.

    A RoBERTa counts positions from behind the padding's, so its table has some more rows than that.
    """
    most = getattr(network.config, "max_position_embeddings", None)
    for name, module in network.named_modules():
        padding = getattr(module, "padding_idx", None)
        if most is not None and name.endswith("position_embeddings") and padding is not None:
            most = min(most, module.num_embeddings - padding - 1)
    return None if most is None else int(most)
