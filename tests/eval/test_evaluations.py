"""A folder of evaluations: finished ones stay, half ones go, one table holds them all."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from eval.evaluations import ITEMS, MANIFEST, RESULTS, Asked, Evaluations, safe_name
from eval.files import InputError, read_jsonl, write_jsonl
from eval.loading import fingerprint
from eval.rescoring import rescore
from eval.results import Origin, Result, read_results, same
from eval.settings import EvalSettings
from eval.tasks import TASKS
from scaling_report.report import make_report
from scaling_report.settings import ReportSettings

LABELS = ["asyncio", "email", "json"]
FAST = EvalSettings(bootstrap=20, samples=2)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rows")
    for split, count in (("train", 9), ("test", 8)):
        write_jsonl(
            folder / f"{split}.jsonl",
            [
                {
                    "id": f"{split}{i}",
                    "text": f"the cat number {split} {i}",
                    "label": LABELS[i % 3],
                    "group": f"g{i // 2}",
                    "subset": "odd" if i % 2 else "even",
                }
                for i in range(count)
            ],
        )
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Evaluations:
    return Evaluations(tmp_path / "evals")


@pytest.fixture
def asked(classifier: Path, rows: Path) -> Asked:
    return ask(classifier, rows)


def ask(checkpoint: Path, rows: Path, name: str = "tiny", **more: Any) -> Asked:
    given = {"settings": FAST} | more
    return Asked(
        model=name,
        checkpoint=checkpoint,
        fingerprint=fingerprint(checkpoint),
        task=TASKS["module-classification"],
        rows=rows,
        **given,
    )


def copy_of(checkpoint: Path, folder: Path) -> Path:
    """The same model under other bytes: another fingerprint."""
    shutil.copytree(checkpoint, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"note": folder.name}))
    return folder


def test_an_evaluation_leaves_its_files_and_is_not_run_again(
    store: Evaluations, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[int, int]] = []
    kept = store.run(asked, lambda done, of: told.append((done, of)))
    assert kept.folder == store.folder(asked)
    assert kept.folder.parent.parent == store.root
    assert kept.folder.name.startswith("module-classification-test-")
    assert {path.name for path in kept.folder.iterdir()} == {
        *("results.jsonl", "items.jsonl.gz", "samples.jsonl", "facts.json", "manifest.json")
    }
    assert told[-1] == (8, 8)
    assert len(list(kept.items())) == 8
    monkeypatch.setattr("eval.evaluate.evaluate", None)  # not come to
    again = store.run(asked)
    assert again.results == kept.results
    assert again.facts == kept.facts


@pytest.mark.parametrize(
    ("change", "other"),
    [
        ({"settings": FAST.model_copy(update={"batch_size": 1, "batch_tokens": 9, "samples": 0})}, False),
        ({"settings": FAST.model_copy(update={"max_items": 5})}, True),
        ({"settings": FAST.model_copy(update={"bootstrap": 21})}, True),
        ({"settings": FAST.model_copy(update={"split": "train"})}, True),
        ({"seed": 1}, True),
        ({"definition": {"cue": "?"}}, True),
        ({"fingerprint": "another"}, True),
        ({"task": dataclasses.replace(TASKS["module-classification"], metrics=("accuracy",))}, True),
    ],
)
def test_what_may_change_a_result_is_another_evaluation(
    store: Evaluations, asked: Asked, change: dict[str, Any], other: bool
) -> None:
    changed = dataclasses.replace(asked, **change)
    assert (store.folder(changed) != store.folder(asked)) is other


def test_other_rows_are_another_evaluation(
    store: Evaluations, asked: Asked, rows: Path, tmp_path: Path
) -> None:
    shutil.copytree(rows, tmp_path / "rows")
    moved = dataclasses.replace(asked, rows=tmp_path / "rows")
    (tmp_path / "rows" / "notes.jsonl").write_text('{"mine": 1}\n')
    assert store.folder(moved) == store.folder(asked), "only the content of splits counts"
    with (tmp_path / "rows" / "test.jsonl").open("a") as file:
        file.write(json.dumps({"id": "one more", "text": "x", "label": "json"}) + "\n")
    assert store.folder(moved) != store.folder(asked)


def test_the_same_weights_with_another_tokenizer_are_another_evaluation(
    store: Evaluations, asked: Asked, classifier: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(classifier, tmp_path / "copy")
    again = dataclasses.replace(asked, checkpoint=copy, fingerprint=fingerprint(copy))
    assert store.folder(again) == store.folder(asked)
    (copy / "README.md").write_text("# says nothing")
    assert store.folder(again) == store.folder(asked)
    tokenizer = json.loads((copy / "tokenizer.json").read_text())
    (copy / "tokenizer.json").write_text(json.dumps(tokenizer | {"normalizer": {"type": "Lowercase"}}))
    assert store.folder(again) != store.folder(asked)


def test_half_an_evaluation_is_done_again(store: Evaluations, asked: Asked) -> None:
    whole = store.run(asked)
    (whole.folder / MANIFEST).unlink()
    (whole.folder / "left over").write_text("x")
    assert store.finished() == []
    again = store.run(asked)
    assert not (whole.folder / "left over").exists()
    assert all(same(a, b) for a, b in zip(whole.results, again.results, strict=True))


@pytest.mark.parametrize("raised", [KeyboardInterrupt, InputError, RuntimeError])
def test_what_is_stopped_leaves_nothing(
    store: Evaluations, asked: Asked, raised: type[BaseException]
) -> None:
    def stop(done: int, of: int) -> None:
        raise raised("stop")

    with pytest.raises(raised):
        store.run(asked, stop)
    assert not store.folder(asked).exists()
    assert store.gather() == []


def test_models_of_one_name_have_folders_and_rungs_of_their_own(
    store: Evaluations, classifier: Path, rows: Path, tmp_path: Path
) -> None:
    second = copy_of(classifier, tmp_path / "second")
    names = [(classifier, "me/model"), (second, "me/model"), (second, "me-model")]
    kept = [store.run(ask(checkpoint, rows, name)) for checkpoint, name in names]
    folders = [one.folder.parent.name for one in kept]
    assert folders[0] == "me-model"
    assert folders[1] == folders[2] == f"me-model-{fingerprint(second)[:8]}"
    assert kept[0].results[0].rung == "me/model"
    assert kept[1].results[0].rung == folders[1]
    assert store.folder(ask(classifier, rows, "me/model")) == kept[0].folder, "found again"
    assert len({result.rung for result in store.gather() if result.family != "baseline"}) == 2


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("openai/gpt2", "openai-gpt2"),
        ("../../etc", "etc"),
        ("..", "model"),
        ("a b:c", "a-b-c"),
        ("x" * 200, "x" * 80),
    ],
)
def test_names_are_safe_for_folders(name: str, safe: str) -> None:
    assert safe_name(name) == safe


def test_the_table_has_all_that_is_finished_and_a_report_takes_it(
    store: Evaluations, classifier: Path, rows: Path, tmp_path: Path
) -> None:
    def origin(rung: str, params: int) -> Origin:
        counts = {"total": params, "non_embedding": params, "matmul": params}
        return Origin(run="r", stage="finetune", family="gpt2", rung=rung, params=counts, seed=0)

    for size in (1, 2, 3):
        checkpoint = copy_of(classifier, tmp_path / f"m{size}")
        asked = ask(checkpoint, rows, f"m{size}", origin=origin(f"{size}k", size * 1000))
        store.run(dataclasses.replace(asked, task=dataclasses.replace(asked.task, metrics=("accuracy",))))
    gathered = store.gather()
    assert read_results(store.root / RESULTS) == gathered
    own = [result for result in gathered if result.metric == "accuracy" and result.task.count("/") == 0]
    assert [result.rung for result in own if result.family != "baseline"] == ["1k", "2k", "3k"]
    assert [result.rung for result in own if result.family == "baseline"] == ["majority-class"], "once"
    page = make_report(store.root / RESULTS, ReportSettings(x=("non_embedding",), bootstrap=100))
    assert "module-classification" in page.read_text(encoding="utf-8")


def test_of_the_same_measured_twice_the_last_made_stands(store: Evaluations, asked: Asked) -> None:
    first = store.run(asked)
    second = store.run(dataclasses.replace(asked, settings=FAST.model_copy(update={"bootstrap": 21})))

    def f1(results: list[Result]) -> list[Result]:
        return [result for result in results if result.metric == "f1_macro" and result.family != "baseline"]

    assert f1(store.gather()) == f1(second.results) != f1(first.results)


def test_a_folder_that_another_command_holds_is_refused(store: Evaluations, tmp_path: Path) -> None:
    said = "another `stepladder eval` writes here"
    with store.locked(), pytest.raises(InputError, match=said), Evaluations(store.root).locked():
        pass
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file"), Evaluations(tmp_path / "file").locked():
        pass


@pytest.mark.parametrize("name", ["plan.json", "config.json", "manifest.json", "model.json"])
def test_a_folder_of_something_else_keeps_its_table(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("{}")
    (tmp_path / RESULTS).write_text("a run's\n")
    said = f"{name} is in it.*name another folder"
    with pytest.raises(InputError, match=said), Evaluations(tmp_path).locked():
        pass
    assert (tmp_path / RESULTS).read_text() == "a run's\n"


def test_scores_come_again_from_the_items_alone(
    store: Evaluations, asked: Asked, language_model: Path, tmp_path: Path
) -> None:
    long = "the cat sat on the mat and looked at the moon " * 30
    write_jsonl(tmp_path / "test.jsonl", [{"id": name, "text": long + name} for name in "ab"])
    read = dataclasses.replace(
        asked,
        checkpoint=language_model,
        fingerprint=fingerprint(language_model),
        task=TASKS["perplexity"],
        rows=tmp_path,
    )
    for one, parts in ((asked, 3), (read, 1)):
        kept = store.run(one)
        again = rescore(kept.folder)
        own = [r for r in kept.results if r.family != "baseline"]
        assert again == own
        assert len({result.task for result in again}) == parts
    other = rescore(store.folder(asked), seed=5)
    assert [result.value for result in other] == [r.value for r in rescore(store.folder(asked))]
    assert other != rescore(store.folder(asked))
    with pytest.raises(InputError, match="no finished evaluation"):
        rescore(tmp_path)


def test_items_hold_what_was_asked_and_said(store: Evaluations, asked: Asked) -> None:
    kept = store.run(asked)
    items = list(read_jsonl(kept.folder / ITEMS))
    assert {"id", "input", "output", "reference", "statistics", "group", "subset"} <= set(items[0])
    assert kept.facts["items"] == 8
