"""Every kind of input that a stranger can hand over, and what reads it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fuzz import recipes, results, tables


@dataclass(frozen=True)
class Target:
    """`write` leaves damaged files in a folder, `call` reads them; `share`: of all examples.

    `seconds`: the longest that one may take.
    """

    write: Callable[[random.Random, Path], None]
    call: Callable[[Path], Any]
    share: float
    seconds: float = 10.0


TARGETS: dict[str, Target] = {
    "recipe": Target(recipes.write_recipe, recipes.plan_recipe, 0.227),
    "overrides": Target(recipes.write_overrides, recipes.plan_overrides, 0.06),
    "task file": Target(recipes.write_task, recipes.find_task_file, 0.08),
    "template": Target(recipes.write_template, recipes.render_template, 0.06),
    "rows of a task": Target(tables.write_asked, tables.prepare_asked, 0.08),
    "table of runs": Target(tables.write_runs, tables.fit_runs, 0.1),
    "corpus": Target(tables.write_documents, tables.read_corpus, 0.06),
    "rows to predict": Target(tables.write_documents, tables.read_predicted, 0.04),
    "results.jsonl": Target(results.write_results, results.read_all, 0.08),
    "run folder": Target(results.write_folder, results.show_status, 0.08),
    "saved law": Target(results.write_law, results.predict_law, 0.05),
    "lm-eval results": Target(results.write_harness, results.read_harness, 0.03),
    "trainer_state.json": Target(results.write_trainer, results.read_trainer, 0.03),
    "evaluations": Target(results.write_evaluations, results.compare_both, 0.02),
    "report of a run": Target(results.write_run, results.report_run, 0.003, seconds=120.0),
}
