"""Run tasks of lm-evaluation-harness on a checkpoint and file what it finds as Results (extra `lm-eval`)."""

from __future__ import annotations

import difflib
import math
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from eval.files import InputError, hash_file, hash_json, read_text
from eval.metrics import Score
from eval.records import Setting, make_result
from eval.results import METRICS, Origin, Result
from eval.settings import EvalSettings
from eval.silence import silence

PREFIX = "lm-eval:"

# Its names of metrics, and ours where both mean the same scale and direction.
NAMES = {
    "acc": "accuracy",
    "acc_norm": "accuracy_norm",
    "exact_match": "exact_match",
    "f1": "f1",
    "mcc": "mcc",
    "bleu": "bleu",
    "chrf": "chrf",
    "ter": "ter",
    "perplexity": "answer_perplexity",
    "word_perplexity": "word_perplexity",
    "byte_perplexity": "byte_perplexity",
    "bits_per_byte": "bits_per_byte",
}
_MEANS = ("accuracy", "accuracy_norm", "exact_match")  # of a number an item: it and 1 are its statistics
_ROLLING = ("word_perplexity", "byte_perplexity", "bits_per_byte")  # (log-likelihood, weight) an item


@dataclass(frozen=True)
class Filed:
    """What one of its tasks gave under one filter of its outputs.

    `items` have id, input, output, reference and statistics by metric; none for a group of tasks. `left_out`:
    "metric: why" for numbers that have no name here.
    """

    task: str
    results: list[Result]
    items: list[dict[str, Any]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def check_harness(tasks: Sequence[str], task_folder: Path | None = None) -> None:
    """Raise `InputError` where the package is missing, or knows no task or group of one of the names."""
    if find_spec("lm_eval") is None:
        raise InputError("lm-evaluation-harness is not installed; pip install 'stepladder[lm-eval]'")
    if task_folder is not None and not Path(task_folder).is_dir():
        raise InputError(f"{task_folder}: no such folder; name one that holds tasks of lm-eval (YAML)")
    for name in tasks:
        with silence():
            known = _manager(name, task_folder).all_tasks
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3)
            advice = f"did you mean {' or '.join(near)}?" if near else "see `lm-eval ls tasks`"
            raise InputError(f"--lm-eval: {name!r} is no task of lm-eval; {advice}")


def task_fingerprint(name: str, task_folder: Path | None) -> str:
    """What tells a task from another: its name, the package's version, the task folder's files, and those
    files elsewhere that its YAML names.
    """
    files = {path for path in task_folder.rglob("*") if path.is_file()} if task_folder else set()
    named = {Path(word) for path in files if path.suffix in (".yaml", ".yml") for word in _words(path)}
    files |= {path for path in named if path.is_file()}
    return hash_json([name, version("lm_eval"), sorted((path.name, hash_file(path)) for path in files)])


def _words(path: Path) -> list[str]:
    """What in a YAML file may be a path."""
    return re.findall(r"[^\s'\"{}\[\],:]{1,255}", read_text(path))


def load_harness(model_dir: Path, settings: EvalSettings) -> Any:
    """Its own model class, `HFLM`, around the checkpoint: safetensors only, no foreign code, no network.

    Raises `InputError` for files that are missing or broken.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    where: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    with silence():
        from lm_eval.models.huggingface import HFLM

        cuda = torch.cuda.is_available()
        try:
            network = AutoModelForCausalLM.from_pretrained(
                model_dir, dtype=getattr(torch, settings.dtype), use_safetensors=True, **where
            )
            tokenizer = AutoTokenizer.from_pretrained(model_dir, **where)
        except OSError as error:
            reason = str(error).strip().splitlines()[0]
            raise InputError(f"{model_dir}: cannot be loaded ({reason}); save it again") from error
        return HFLM(
            pretrained=network.eval().to("cuda" if cuda else "cpu"),
            tokenizer=tokenizer,
            backend="causal",
            max_length=settings.context,
            batch_size=settings.batch_size or ("auto" if cuda else 16),
        )


def run_harness(
    lm: Any, task: str, origin: Origin, *, task_folder: Path | None = None, settings: EvalSettings
) -> list[Filed]:
    """Its task, or group of tasks, of that name measured on the model that `load_harness` gave.

    Results have the task name `lm-eval:<name>`, with `:<filter>` behind it for outputs that were filtered,
    its standard errors, and a signature of its version and the task's, the shots and the limit. `max_items`
    are its `limit`: the first ones. Raises `InputError` where the data set cannot be had or read.
    """
    from lm_eval import simple_evaluate

    began = time.perf_counter()
    try:
        with silence():
            found = simple_evaluate(
                model=lm,
                tasks=[task],
                limit=settings.max_items,
                bootstrap_iters=settings.bootstrap,
                task_manager=_manager(task, task_folder),
            )
    except Exception as error:  # its tasks are other people's code and data: whatever fails in one is its own
        reason = f"{type(error).__name__}: {error.__cause__ or error}".strip().splitlines()[0]
        raise InputError(f"lm-eval {task}: {reason}; mend the task's file, or see to its data set") from error
    assert found is not None, "one process is the first one"
    seconds = round(time.perf_counter() - began, 3)
    how = f"limit:{settings.max_items or 'none'}|context:{lm.max_length}|dtype:{settings.dtype}"
    return [
        _file(_Found(found, name, filtered), origin, how, seconds)
        for name in found["results"]
        for filtered in _filters(found["results"][name])
    ]


@dataclass(frozen=True)
class _Found:
    """Its results of one task, or group, under one filter."""

    whole: Mapping[str, Any]
    name: str
    filtered: str

    @property
    def label(self) -> str:
        return PREFIX + self.name + ("" if self.filtered == "none" else f":{self.filtered}")

    @property
    def members(self) -> list[str]:
        """The tasks of a group, of groups in it, too; a task's own name."""
        inside = self.whole.get("group_subtasks", {}).get(self.name)
        if not inside:
            return [self.name]
        return [name for one in inside for name in _Found(self.whole, one, self.filtered).members]

    @property
    def samples(self) -> list[Mapping[str, Any]]:
        return [
            sample
            for name in self.members
            for sample in self.whole["samples"].get(name, ())
            if sample["filter"] == self.filtered
        ]

    @property
    def split(self) -> str:
        tested = self.whole["configs"].get(self.members[0], {}).get("test_split")
        return "test" if tested else "validation"

    def signature(self, metric: str, how: str) -> str:
        """Everything that decides the value besides texts and model."""
        task_version = self.whole["versions"].get(self.name)
        shots = self.whole["n-shot"].get(self.name)
        return (
            f"lm-eval:{metric}|task-version:{task_version}|shots:{shots}|filter:{self.filtered}|{how}"
            f"|version:{version('lm_eval')}"
        )


def _file(found: _Found, origin: Origin, how: str, seconds: float) -> Filed:
    numbers = found.whole["results"][found.name]
    samples = found.samples
    setting = Setting(
        split=found.split,
        data_fingerprint=hash_json([[s["doc_hash"], s["prompt_hash"], s["target_hash"]] for s in samples]),
        versions={name: version(name) for name in ("lm_eval", "torch", "transformers")},
        seconds=seconds,
    )
    absent = "not given by the run" if origin.run else "a checkpoint from elsewhere does not say"
    results, left_out = [], []
    for key, value in numbers.items():
        theirs, _, filtered = key.rpartition(",")
        if filtered != found.filtered or not theirs or theirs.endswith("_stderr"):
            continue
        if reason := _why_left_out(theirs, value, samples):
            left_out.append(f"{theirs}: {reason}")
            continue
        stderr = numbers.get(f"{theirs}_stderr,{filtered}")
        known = stderr if isinstance(stderr, float) and math.isfinite(stderr) else None
        reason = None if known is not None else "lm-eval gives none"
        score = Score(NAMES[theirs], float(value), known, len(samples), found.signature(theirs, how), reason)
        results.append(make_result(score, found.label, setting, origin, absent))
    items = _items(samples, found) if found.members == [found.name] else []
    return Filed(found.label, results, items, left_out)


def _why_left_out(theirs: str, value: Any, samples: Sequence[Mapping[str, Any]]) -> str | None:
    """Why a number of its is no result here; None for those that are."""
    if theirs not in NAMES:
        return "no metric here has this meaning"
    meaning = METRICS[NAMES[theirs]]
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        return f"its value is {value!r}"
    low, high = meaning.floor, meaning.ceiling
    if high == 1 and any(_is_of_squad(sample.get(theirs)) for sample in samples):
        return f"SQuAD's script counts it to 100, {NAMES[theirs]} here to 1"
    if (low is not None and value < low) or (high is not None and value > high):
        return f"{value:g} is on another scale than {NAMES[theirs]} here ({low:g} to {high or math.inf:g})"
    return None


def _is_of_squad(statistic: Any) -> bool:
    """Whether an item's is what lm-eval hands to the script of SQuAD 2: its answer and the right ones."""
    return isinstance(statistic, (tuple, list)) and any(isinstance(part, Mapping) for part in statistic)


def _items(samples: Sequence[Mapping[str, Any]], found: _Found) -> list[dict[str, Any]]:
    items = []
    for sample in samples:
        prompt, output = _shown(sample)
        statistics: dict[str, list[float]] = {}
        for theirs in sample["metrics"]:
            ours, value = NAMES.get(theirs), sample[theirs]
            if ours in _MEANS and isinstance(value, (int, float)):
                statistics[ours] = [float(value), 1.0]
            elif ours in _ROLLING and isinstance(value, tuple):
                statistics[ours] = [-float(value[0]), float(value[1])]
        items.append(
            {
                "id": f"{found.name}#{sample['doc_id']}",
                "task": found.label,
                "input": prompt,
                "output": output,
                "reference": _text(sample["target"]),
                "statistics": statistics,
            }
        )
    return items


def _shown(sample: Mapping[str, Any]) -> tuple[str, str | None]:
    """What was read, and what was answered: the likeliest of several continuations, or the text written."""
    asked, answers = sample["arguments"], sample["filtered_resps"]
    prompt = str(asked[0][0])
    if isinstance(answers[0], str):
        return prompt, answers[0]
    if len(asked[0]) == 2 and len(asked) == len(answers) and isinstance(asked[0][1], str):
        likeliest = max(range(len(answers)), key=lambda place: answers[place][0])
        return prompt, str(asked[likeliest][1])
    return prompt, None  # a text that was only scored


def _text(target: Any) -> str:
    return target if isinstance(target, str) else str(target)


def _filters(numbers: Mapping[str, Any]) -> list[str]:
    """The filters of a task's numbers, whose names are `metric,filter`."""
    return list(dict.fromkeys(key.rpartition(",")[2] for key in numbers if "," in key))


def _manager(name: str, task_folder: Path | None) -> Any:
    """Its index of tasks: of the folder alone where that has the task, for all of its own take seconds.

    A group in the folder may be one of tasks elsewhere.
    """
    if task_folder is not None and name in (own := _index(task_folder, False)).all_subtasks:
        return own
    return _index(task_folder, True)


@cache
def _index(task_folder: Path | None, defaults: bool) -> Any:
    from lm_eval.tasks import TaskManager

    return TaskManager(include_path=str(task_folder) if task_folder else None, include_defaults=defaults)
