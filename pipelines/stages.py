"""What each kind of stage does: from settings and its inputs' folders to one artefact and its facts.

`run_stage` is what an executor calls, in a worker process: it finds out whether the artefact is there, locks
its folder, runs the stage's function and writes the manifest last. Heavy libraries are imported by the
functions that need them.
"""

from __future__ import annotations

import contextlib
import errno
import shutil
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from eval.files import InputError, write_sealed
from eval.safety import redact
from pipelines.disk import as_input_error, disk_is_full
from pipelines.heartbeat import Heart
from pipelines.plan import Stage
from pipelines.stopping import Stopped
from pipelines.store import ERROR, FAILURE, read_manifest, refuse_links, write_manifest

if TYPE_CHECKING:
    from pipelines.recipe_file import LoadedRecipe

# A worker whose run was killed dies within a second or two; the next run waits for it to let go of the
# folder.
LOCK_TIMEOUT_S = 60
# What a shared folder or a network says of a moment, not of the work: the stage is tried again.
PASSING = (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ECONNRESET, errno.ENOTCONN, errno.EHOSTDOWN)


@dataclass(frozen=True, kw_only=True)
class LoopSettings:
    """How a stage is run, whatever it makes: in no key. The recipe's `training` describes each."""

    checkpoint_every_s: float = 15.0
    stalled_after_s: float = 1800.0
    log_every_tokens: int | None = None
    compile: str = "auto"
    micro_tokens: int | None = None
    activation_checkpointing: bool = False
    sharding: str = "none"
    deepspeed: Path | None = None
    workers: int | Mapping[str, int] = 1
    trackers: tuple[str, ...] = ()

    @classmethod
    def of(cls, loaded: LoadedRecipe) -> LoopSettings:
        """Those of a recipe; a DeepSpeed file is looked up where the recipe's files are."""
        values = {name: getattr(loaded.recipe.training, name) for name in cls.__dataclass_fields__}
        file = values["deepspeed"] and (loaded.base / Path(values["deepspeed"]).expanduser()).absolute()
        return cls(**values | {"deepspeed": file})


@dataclass(frozen=True)
class Message:
    """What a stage tells while it works: `what` is 'progress', 'warning' or 'resumed'."""

    stage: str
    what: str
    values: dict[str, Any]


@dataclass(frozen=True)
class Job:
    """A stage with all that another process needs to run it: its place and its inputs' places."""

    stage: Stage
    run: str
    base: Path
    folder: Path
    inputs: dict[str, Path]
    threads: int
    loop: LoopSettings = LoopSettings()
    rank: int = 0
    """This process's number where several work on the stage: the first one writes."""

    def input(self, kind: str) -> Path:
        """The folder of the one input whose id begins with `kind`."""
        found = self.find_input(kind)
        assert found is not None, f"{self.stage.id} has no input {kind}"
        return found

    def find_input(self, kind: str) -> Path | None:
        """The folder of the input whose id begins with `kind`; None where there is none."""
        found = [path for stage_id, path in self.inputs.items() if stage_id.startswith(kind)]
        assert len(found) <= 1, f"{self.stage.id} has several inputs {kind}"
        return found[0] if found else None


@dataclass(frozen=True)
class Outcome:
    """How a stage ended: done (made now or found), failed for a one-line reason, or stopped when asked to."""

    stage: str
    status: str  # done | failed | stopped
    seconds: float
    reason: str | None = None


Tell = Callable[[Message], None]


class StageFailed(RuntimeError):
    """A stage that cannot succeed with these settings; the reason in one line."""


def run_stage(job: Job, tell: Tell, *, raise_bugs: bool = False) -> Outcome:
    """Make `job.stage`'s artefact unless it is there. A user's mistake and a full disk go up: InputError.

    `raise_bugs`: any other exception goes up too, where others work on the stage and would wait for this one.
    """
    began = time.monotonic()
    job.folder.mkdir(parents=True, exist_ok=True)
    refuse_links(job.folder, depth=2)
    with _sole_worker(job) as alone:
        if not alone:
            reason = f"another process still works in {job.folder} after {LOCK_TIMEOUT_S} s"
            return Outcome(job.stage.id, "stopped", 0.0, reason)
        if read_manifest(job.folder) is not None:
            shutil.rmtree(
                job.folder / "checkpoints", ignore_errors=True
            )  # left by a kill just after the manifest
            return Outcome(job.stage.id, "done", 0.0)
        for left in (job.folder / FAILURE, job.folder / ERROR, *job.folder.rglob(".*.part")):
            left.unlink(missing_ok=True)
        with Heart(job.stage.id, job.folder) as heart:
            outcome = _make(job, _heard(heart, tell), began, raise_bugs)
        if outcome.status == "done":
            shutil.rmtree(job.folder / "checkpoints", ignore_errors=True)
        return outcome


@contextlib.contextmanager
def _sole_worker(job: Job) -> Iterator[bool]:
    """Hold the stage's folder; whether it is held: one of a lost node may not have let go of it yet."""
    lock = FileLock(job.folder / ".lock")
    try:
        lock.acquire(timeout=LOCK_TIMEOUT_S)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def _heard(heart: Heart, tell: Tell) -> Tell:
    """`tell`, with progress also in the stage's signs of life."""

    def told(message: Message) -> None:
        if message.what == "progress":
            heart.told(message.values)
        tell(message)

    return told


def _make(job: Job, tell: Tell, began: float, raise_bugs: bool) -> Outcome:
    """Run the stage's function and leave its manifest, or say why not."""
    try:
        facts = _function(job.stage)(job, tell)
    except StageFailed as failure:
        reason = redact(str(failure))
        write_sealed(job.folder / FAILURE, {"stage": job.stage.id, "reason": reason})
        return Outcome(job.stage.id, "failed", time.monotonic() - began, reason)
    except Stopped as stopped:
        return Outcome(job.stage.id, "stopped", time.monotonic() - began, str(stopped))
    except InputError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in PASSING:
            return Outcome(job.stage.id, "stopped", time.monotonic() - began, str(error))
        if isinstance(error, OSError) or disk_is_full(job.folder, error):
            raise as_input_error(error, job.folder) from error
        # a bug: the other stages go on, and the traceback is kept beside the work
        with contextlib.suppress(OSError):
            (job.folder / ERROR).write_text(redact(traceback.format_exc()), encoding="utf-8")
        if raise_bugs:
            raise
        told = redact(str(error)).splitlines()[0] if str(error) else "no message"
        reason = f"{type(error).__name__}: {told}"
        reason += f" (traceback: {job.folder / ERROR})"
        return Outcome(job.stage.id, "failed", time.monotonic() - began, reason)
    seconds = time.monotonic() - began
    write_manifest(job.stage, job.folder, facts, seconds)
    return Outcome(job.stage.id, "done", seconds)


def follow_stage(job: Job) -> None:
    """Work on a stage beside the process that runs it, and leave nothing. Raises Stopped as that one stops.

    What fails for all of them is the first one's to tell; a bug of one goes up, and the launcher ends all.
    """
    with contextlib.suppress(StageFailed), Heart(job.stage.id, None):
        _function(job.stage)(job, lambda message: None)


def _function(stage: Stage) -> Callable[[Job, Tell], dict[str, Any]]:
    if stage.kind == "prepare":
        return PREPARE.get(stage.name, prepare_rows)
    return STAGES[stage.kind]


def prepare_corpus(job: Job, tell: Tell) -> dict[str, Any]:
    """Documents by split, as JSON lines; what the recipe's own evaluation sets hold is kept out of them."""
    from pipelines import corpus

    against = {
        f"{stage_id.removeprefix('prepare-')} {split}": rows
        for stage_id, path in job.inputs.items()
        for split in ("validation", "test")
        if (rows := path / f"{split}.jsonl").is_file()  # what is not learnt need not have both
    }
    facts = corpus.prepare_corpus(job.stage.settings, job.base, job.folder, against=against)
    for note in facts.get("notes", ()):
        tell(Message(job.stage.id, "warning", {"text": note}))
    return facts


def prepare_tokens(job: Job, tell: Tell) -> dict[str, Any]:
    """A tokenizer and a token stream a split."""
    from pipelines import tokenizer

    return tokenizer.prepare_tokens(job.stage.settings, job.input("prepare-corpus"), job.folder)


def prepare_rows(job: Job, tell: Tell) -> dict[str, Any]:
    """The rows of a downstream task: from its own files, or by the corpus's own file split."""
    from pipelines import rows, rows_own

    settings = job.stage.settings
    if settings.get("source"):
        facts = rows_own.load_own_rows(settings, job.base, job.folder)
    else:
        facts = rows.prepare_rows(settings["task"], job.input("prepare-corpus"), job.folder)
    if unknown := sorted(set(settings["weighed"]) - set(facts.get("labels", {}).get("train", ()))):
        there = ", ".join(facts["labels"]["train"])
        raise InputError(
            f"finetune: class_weights of {settings['task']}: no train row has the label {unknown[0]!r}; "
            f"there are {there}"
        )
    return facts


def fetch(job: Job, tell: Tell) -> dict[str, Any]:
    """A model that exists, as an artefact of this run; leaves `model/`."""
    from pipelines import training_stages

    return training_stages.fetch(job, tell)


def tune(job: Job, tell: Tell) -> dict[str, Any]:
    """The learning rate that a sweep found; leaves `choice.json`."""
    from pipelines import tuning_stage

    return tuning_stage.tune(job, tell)


def sweep(job: Job, tell: Tell) -> dict[str, Any]:
    """One learning rate tried on a rung; leaves `log.jsonl`."""
    from pipelines import training_stages

    return training_stages.sweep(job, tell)


def pretrain(job: Job, tell: Tell) -> dict[str, Any]:
    """One rung on the corpus; leaves `model/` and `log.jsonl`."""
    from pipelines import training_stages

    return training_stages.pretrain(job, tell)


def finetune(job: Job, tell: Tell) -> dict[str, Any]:
    """A pretrained rung on a downstream task; leaves `model/` and `log.jsonl`."""
    from pipelines import finetuning_stage

    return finetuning_stage.finetune(job, tell)


def evaluate(job: Job, tell: Tell) -> dict[str, Any]:
    """A model on a task; leaves `results.jsonl`, `samples.jsonl` and `items.jsonl.gz`."""
    from pipelines import evaluation_stage

    return evaluation_stage.evaluate(job, tell)


PREPARE = {"corpus": prepare_corpus, "tokens": prepare_tokens}
STAGES = {
    "fetch": fetch,
    "sweep": sweep,
    "tune": tune,
    "pretrain": pretrain,
    "finetune": finetune,
    "evaluate": evaluate,
}
