"""What runs, evaluations and other programs leave behind, to damage: results, run.json, plans, laws, logs."""

from __future__ import annotations

import contextlib
import gzip
import json
import random
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import scaling_report
from eval.comparing import compare
from eval.files import hash_json, write_sealed
from eval.results import CHECK, Result
from pipelines.observer import Observer
from pipelines.status_view import lines, summary
from scaling_report.frame import from_results
from scaling_report.report import make_report
from scaling_report.saved import FittedLaw
from scaling_report.settings import ReportSettings
from scaling_report.sources import open_table, select_runs
from tests.fuzz.mutations import MARK, NAMES, damage, damage_bytes, damage_text, nested, nudge
from tests.scaling_report.sample_run import sample_run
from tests.scaling_report.synthetic import ladder


def write_json(rng: random.Random, path: Path, value: Any, most: int = 3, *, sealed: bool = False) -> None:
    """JSON damaged as data, as text or as bytes; `sealed` with the hash of what it says now."""
    way = rng.choice(("near", "near", "near", "data", "data", "data", "text", "bytes", "deep"))
    if way == "near":
        value = nudge(rng, value, most)
    elif way == "data":
        value = damage(rng, value, most)
    elif way == "deep":
        value = nested(rng.choice((50, 5000)), None) if rng.random() < 0.3 else damage(rng, value, 12)
    if sealed and isinstance(value, dict) and rng.random() < 0.9:
        seal = "0" * 16  # what NaN and half a character have, which have no hash
        with contextlib.suppress(ValueError, RecursionError, TypeError):
            seal = hash_json(json.loads(json.dumps(value)))
        value = {**value, "sha256": seal}
    try:
        text = json.dumps(value)
    except RecursionError:
        text = "[" * 200_000
    if way == "text":
        text = damage_text(rng, text)
    data = text.encode("utf-8", "surrogatepass")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(damage_bytes(rng, data) if way == "bytes" else data)


def write_lines(rng: random.Random, path: Path, rows: list[Any]) -> None:
    """JSON Lines, some line of them damaged; packed where the name says so."""
    rows = list(rows)
    for _ in range(rng.randint(0, 2)):
        place = rng.randrange(len(rows))
        rows[place] = (nudge if rng.random() < 0.5 else damage)(rng, rows[place])
    text = "".join(json.dumps(row) + "\n" for row in rows)
    if rng.random() < 0.25:
        text = damage_text(rng, text, 2)
    data = text.encode("utf-8", "surrogatepass")
    data = gzip.compress(data) if path.suffix == ".gz" else data
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(damage_bytes(rng, data, 2) if rng.random() < 0.15 else data)


# results


@cache
def _results() -> list[dict[str, Any]]:
    return [one.to_dict() for one in ladder()]


def write_results(rng: random.Random, folder: Path) -> None:
    """`results.jsonl`, a few rungs of it."""
    some = rng.sample(_results(), rng.choice((3, 12)))
    if rng.random() < 0.3:
        some = [{**one, CHECK: hash_json(one)} for one in some]
    write_lines(rng, folder / "results.jsonl", some)


def read_all(folder: Path) -> None:
    """A results file as a report and as a fit read it."""
    from eval.results import read_results

    results = read_results(folder / "results.jsonl")
    assert all(isinstance(one, Result) for one in results)
    from_results(results)
    select_runs(open_table(folder), {"n": "n"}, "bits_per_byte", ("split=test",))


def write_run(rng: random.Random, folder: Path) -> None:
    """`run/` with whole or damaged results, run.json, plan.json and a report's manifest."""
    run = folder / "run"
    run.mkdir()
    whole = rng.choice(("results", "run", "run", "run", "report"))
    rows = [one for one in _results() if one["metric"] == "bits_per_byte"]
    if rng.random() < 0.3:
        rows = [{**one, "task": MARK, "rung": f"{one['rung']}{MARK}"} for one in rows]
    if whole == "results":
        write_lines(rng, run / "results.jsonl", rows)
    else:
        (run / "results.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    if whole == "run":
        write_json(rng, run / "run.json", sample_run())
    elif rng.random() < 0.5:
        (run / "run.json").write_text(json.dumps(sample_run()))
    if whole == "report":
        files = {rng.choice((*NAMES, "figures/x.svg")): "0" * 16, "../../kept/precious": "0" * 16}
        write_json(rng, run / "report" / "manifest.json", {"version": 2, "key": "x", "files": files})


def report_run(folder: Path) -> None:
    """`stepladder report`: the page, the Markdown and laws.json; marks in names must come out escaped."""
    page = make_report(folder / "run", ReportSettings(x=("non_embedding",), bootstrap=100), force=False)
    for path in (page, page.parent / "report.md"):
        assert MARK not in path.read_text(encoding="utf-8"), f"{path.name} holds HTML from the data"


# run folders


_PLAN = {
    "format": 1,
    "recipe": "quickstart",
    "stages": [
        {
            "id": "prepare-corpus",
            "folder": "prepare-corpus-0123456789ab",
            "kind": "prepare",
            "name": "corpus",
            "settings": {},
        },
        {
            "id": "pretrain-13k-s0",
            "folder": "pretrain-13k-s0-0123456789ab",
            "kind": "pretrain",
            "name": "13k-s0",
            "settings": {},
        },
        {
            "id": "evaluate-13k-s0",
            "folder": "evaluate-13k-s0-0123456789ab",
            "kind": "evaluate",
            "name": "13k-s0",
            "settings": {},
        },
    ],
}
_EVENTS = [
    {
        "time": "2026-01-31T12:00:00Z",
        "event": "planned",
        "stages": [{"id": one["id"], "folder": one["folder"]} for one in _PLAN["stages"]],
    },
    {
        "time": "2026-01-31T12:00:00Z",
        "event": "run-started",
        "stages": 3,
        "done": 0,
        "jobs": 2,
        "executor": "local",
        "host": "h",
        "pid": 1,
    },
    {
        "time": "2026-01-31T12:00:01Z",
        "event": "stage-started",
        "stage": "prepare-corpus",
        "key": "0123456789ab",
        "attempt": 1,
    },
    {"time": "2026-01-31T12:00:09Z", "event": "stage-done", "stage": "prepare-corpus", "seconds": 8.1},
    {
        "time": "2026-01-31T12:00:10Z",
        "event": "stage-started",
        "stage": "pretrain-13k-s0",
        "key": "0123456789ab",
    },
    {
        "time": "2026-01-31T12:00:12Z",
        "event": "stage-failed",
        "stage": "evaluate-13k-s0",
        "seconds": 1.0,
        "reason": "no space",
    },
]
_MANIFEST = {
    "format": 1,
    "stage": "prepare-corpus",
    "key": "0123456789ab",
    "version": 3,
    "settings": {},
    "inputs": [],
    "facts": {"documents": {"train": 3}},
    "files": {
        "log.jsonl": {
            "bytes": 0,
            "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        }
    },
    "seconds": 8.1,
    "made": "2026-01-31T12:00:09Z",
}
_LIVE = {
    "stage": "pretrain-13k-s0",
    "host": "h",
    "pid": 1,
    "beat": 4,
    "time": "2026-01-31T12:00:11Z",
    "seconds": 2.0,
    "step": 3,
    "steps": 9,
    "tokens": 300,
    "tokens_per_second": 150.0,
    "loss_nats": 5.1,
}


SEALED = ("plan.json", "manifest.json", "failure.json")


def write_folder(rng: random.Random, folder: Path) -> None:
    """A run folder half way, some of its small files damaged."""
    run = folder / "run"
    stages = [run / "stages" / str(one["folder"]) for one in _PLAN["stages"]]
    for stage in stages:
        stage.mkdir(parents=True)
    (stages[0] / "log.jsonl").touch()
    parts: dict[Path, Any] = {
        run / "plan.json": _PLAN,
        stages[0] / "manifest.json": _MANIFEST,
        stages[1] / ".live.json": _LIVE,
        stages[2] / "failure.json": {"stage": "evaluate-13k-s0", "reason": "no space"},
        run / ".owner.json": {"pid": 1, "since": "2026-01-31T12:00:00Z"},
    }
    for path, value in parts.items():
        if rng.random() < 0.35:
            write_json(rng, path, value, sealed=path.name in SEALED)
        elif path.name in SEALED:
            write_sealed(path, value)
        else:
            path.write_text(json.dumps(value))
    write_lines(rng, run / "events.jsonl", _EVENTS)
    steps = [{"step": n, "tokens": 100 * n, "loss_nats": 5.5 - n / 10, "seconds": n} for n in range(1, 4)]
    write_lines(rng, stages[1] / "log.jsonl", steps)


def show_status(folder: Path) -> None:
    """`stepladder status DIR`, as people and as programs read it, at one look."""
    status = Observer(folder / "run").look()
    json.dumps(status.to_dict(), allow_nan=False)
    shown = [line for line, _ in lines(status.stages)] + summary(status, len(status.stages))
    assert all(line.isprintable() for line in shown), "a terminal hears control characters"


# saved laws


@cache
def _laws() -> list[tuple[str, dict[str, Any]]]:
    import tempfile

    from scaling_report.analysis import analyse

    rng = np.random.default_rng(1)
    rows = [
        {"n": n, "d": d, "loss": 1.8 + 480 * n**-0.35 + 2100 * d**-0.37 * np.exp(0.003 * rng.normal())}
        for n in np.geomspace(1e7, 1e9, 4).tolist()
        for d in np.geomspace(1e9, 1e11, 4).tolist()
    ]
    with tempfile.TemporaryDirectory() as folder:
        found = scaling_report.fit("chinchilla", rows, y="loss", bootstrap=20, starts=8)
        found.save(Path(folder) / "law.json")
        surface = json.loads((Path(folder) / "law.json").read_text())
    report = analyse(ladder(), ReportSettings(), None)
    return [("surface", surface), ("report", json.loads(json.dumps(report)))]


def write_law(rng: random.Random, folder: Path) -> None:
    """`law.json`: a saved fit, or a report's laws.json."""
    kind, value = rng.choice(_laws())
    if kind == "report":
        value = {**value, "series": value["series"][:1]}
    write_json(rng, folder / "law.json", value)


def predict_law(folder: Path) -> None:
    """Load it, and predict a place."""
    law = FittedLaw.load(folder / "law.json")
    law.predict(**dict.fromkeys(law.inputs, 2e9))


# other programs' files


def write_harness(rng: random.Random, folder: Path) -> None:
    """Two files as lm-evaluation-harness writes them."""
    for size in (10_000_000, 40_000_000):
        scores = {"acc,none": 0.25 + size / 1e9, "acc_stderr,none": 0.01, "bits_per_byte,none": 2.0}
        value = {
            "results": {
                "arc": {"alias": "arc", "sample_len": 9, **scores},
                "other": {"alias": "other", "f1,x": 0.5},
            },
            "configs": {"arc": {}, "other": {}},
            "versions": {"arc": 1.0, "other": 2},
            "n-shot": {"arc": 0, "other": 5},
            "n-samples": {"arc": {"original": 9, "effective": 9}},
            "model_name": f"m{size}",
            "max_length": 1024,
            "config": {"model": "hf", "model_num_parameters": size, "model_revision": "main"},
        }
        write_json(rng, folder / f"m{size}" / "results_2026.json", value)


def read_harness(folder: Path) -> None:
    """As `stepladder fit` opens them."""
    select_runs(open_table(folder), {"n": "n"}, "acc")


def write_trainer(rng: random.Random, folder: Path) -> None:
    """transformers' trainer_state.json, beside weights."""
    logged: list[dict[str, Any]] = [
        {"step": 6, "loss": 4.0, "learning_rate": 1e-3, "num_input_tokens_seen": 600},
        {"step": 18, "loss": 3.5, "learning_rate": 0.0, "num_input_tokens_seen": 1800},
        {"step": 20, "eval_loss": 3.4, "train_loss": 3.7, "total_flos": 12e6, "num_input_tokens_seen": 2000},
    ]
    state = {
        "global_step": 20,
        "max_steps": 20,
        "logging_steps": 3,
        "num_input_tokens_seen": 2000,
        "total_flos": 12e6,
        "log_history": logged,
    }
    write_json(rng, folder / "run" / "trainer_state.json", state)
    header: Any = {
        "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
        "__metadata__": {"format": "pt"},
    }
    if rng.random() < 0.4:
        header = damage(rng, header)
    text = json.dumps(header).encode("utf-8", "surrogatepass")
    data = len(text).to_bytes(8, "little") + text + b"\0" * 24
    data = damage_bytes(rng, data) if rng.random() < 0.2 else data
    (folder / "run" / "model.safetensors").write_bytes(data)


def read_trainer(folder: Path) -> None:
    """As `stepladder fit` opens it."""
    select_runs(open_table(folder), {"n": "n"}, "eval_loss")


# evaluations


def write_evaluations(rng: random.Random, folder: Path) -> None:
    """Two evaluations with their items, one of them damaged."""
    for side in ("a", "b"):
        place = folder / side
        place.mkdir()
        one = next(row for row in _results() if row["metric"] == "accuracy")
        shift = 0 if side == "a" else 1
        items = [
            {
                "id": f"i{n}",
                "reference": "x",
                "prediction": "y",
                "statistics": {"accuracy": [[(n + shift) % 3 // 2, 1]]},
            }
            for n in range(12)
        ]
        parts = {"results.jsonl": [one], "items.jsonl.gz": items}
        for name, rows in parts.items():
            if side == "b" and rng.random() < 0.6:
                write_lines(rng, place / name, rows)
            else:
                data = "".join(json.dumps(row) + "\n" for row in rows).encode()
                (place / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
        write_json(rng, place / "manifest.json", {"made": "2026"}) if rng.random() < 0.3 else None


def compare_both(folder: Path) -> None:
    """`stepladder compare A B`, with few replicates."""
    compare(folder / "a", folder / "b", replicates=20)
