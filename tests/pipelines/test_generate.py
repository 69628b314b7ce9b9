"""What is written is what transformers' own generate writes for each prompt alone, whatever is beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from eval.files import InputError
from pipelines.using.generate import Race, Writing, write_texts
from pipelines.using.inputs import InputRow
from pipelines.using.predict import predict
from pipelines.using.predictor import Predictor, load_predictor, load_writer
from pipelines.using.task_file import TaskFile, write_task_file
from tests.pipelines.saved import CONTEXT, TEXTS, labels, save

PROMPTS = [TEXTS[0], "the", TEXTS[2], "a very good film", "mountains"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("model"), "GPT2LMHeadModel")


@pytest.fixture(scope="module")
def writer(folder: Path) -> Predictor:
    return load_writer(folder, {})


def rows(*prompts: str, first: int = 1) -> list[InputRow]:
    return [InputRow(n, f"row {n}", {"prompt": prompt}) for n, prompt in enumerate(prompts, start=first)]


def written(writer: Predictor, *prompts: str, batch_tokens: int = 4096, **how: Any) -> list[Any]:
    found = write_texts(writer, rows(*prompts), Writing(**how), batch_tokens=batch_tokens)
    return [answer.get("text", answer.get("texts")) for answer in found]


def by_transformers(folder: Path, prompt: str, **how: Any) -> list[str]:
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    encoded = tokenizer(prompt, return_tensors="pt")
    ids = model.generate(**encoded, do_sample=False, **how)
    return tokenizer.batch_decode(ids[:, encoded["input_ids"].shape[1] :], skip_special_tokens=True)


@pytest.mark.parametrize("how", [{}, {"beams": 3}], ids=["greedy", "beams"])
@pytest.mark.parametrize("batch_tokens", [1, 4096])
def test_a_batch_is_written_as_transformers_writes_each_alone(
    folder: Path, writer: Predictor, how: dict[str, int], batch_tokens: int
) -> None:
    found = written(writer, *PROMPTS, max_new_tokens=12, batch_tokens=batch_tokens, **how)
    wanted = [
        by_transformers(folder, prompt, max_new_tokens=12, num_beams=how.get("beams", 1))[0]
        for prompt in PROMPTS
    ]
    assert found == wanted
    assert len(set(found)) == len(PROMPTS)


def test_several_texts_are_the_best_beams(folder: Path, writer: Predictor) -> None:
    (found,) = written(writer, PROMPTS[0], max_new_tokens=6, beams=4, samples=3)
    assert found == by_transformers(folder, PROMPTS[0], max_new_tokens=6, num_beams=4, num_return_sequences=3)


def test_samples_depend_on_the_seed_and_not_on_what_is_beside_them(writer: Predictor) -> None:
    how: dict[str, Any] = {"max_new_tokens": 10, "temperature": 1.3, "top_p": 0.95, "samples": 2}
    together = written(writer, *PROMPTS, **how)
    assert together == written(writer, *PROMPTS, batch_tokens=1, **how)
    alone = write_texts(writer, rows(PROMPTS[3], first=4), Writing(**how), batch_tokens=4096)
    assert next(alone)["texts"] == together[3]
    assert together != written(writer, *PROMPTS, seed=1, **how)
    assert all(first != second for first, second in together)
    same = written(writer, "the", "the", **how)
    assert same[0] != same[1], "each row has a draw of its own"


def test_a_race_is_a_draw_from_the_softmax() -> None:
    """Pearson's statistic over 20,000 draws: 99.9 % of right ones are below 16.3 (3 degrees of freedom)."""
    scores = torch.tensor([0.0, 1.0, 2.0, -1.0, -torch.inf])
    draws = 20_000
    found = Race(list(range(draws)))(torch.empty(0), scores.expand(draws, -1)).argmax(-1)
    counts = torch.bincount(found, minlength=5).double()
    assert counts[4] == 0
    wanted = scores.double().softmax(-1)[:4] * draws
    assert float(((counts[:4] - wanted) ** 2 / wanted).sum()) < 16.3


def test_one_likeliest_token_to_sample_from_is_the_greedy_text(writer: Predictor) -> None:
    greedy = written(writer, *PROMPTS, max_new_tokens=10)
    assert written(writer, *PROMPTS, max_new_tokens=10, top_k=1) == greedy
    assert written(writer, *PROMPTS, max_new_tokens=10, top_k=5) != greedy


def test_texts_end_where_the_context_does(folder: Path, writer: Predictor) -> None:
    """A prompt that leaves little room beside one that leaves much: neither runs over the positions."""
    long = "x" * (CONTEXT - 3)
    ids = AutoTokenizer.from_pretrained(folder)(long)["input_ids"]
    assert len(ids) == CONTEXT - 3
    found = written(writer, long, "the")
    assert found[0] == by_transformers(folder, long, max_new_tokens=3)[0]
    assert len(found[1]) > len(found[0])
    with pytest.raises(
        InputError, match=r"row 2: the prompt's 45 tokens and 4 new ones are more than the 48"
    ):
        written(writer, "the", long, max_new_tokens=4)
    with pytest.raises(InputError, match="48 tokens and 1 new ones"):
        written(writer, "x" * CONTEXT)


def test_nothing_to_go_on_from_is_the_beginning_of_a_text(folder: Path, writer: Predictor) -> None:
    end = AutoTokenizer.from_pretrained(folder).eos_token
    assert written(writer, "", max_new_tokens=5) == by_transformers(folder, end, max_new_tokens=5)


def test_a_taught_model_writes_what_it_predicts(tmp_path: Path) -> None:
    folder = save(tmp_path, "GPT2LMHeadModel")
    definition = {"kind": "generation", "cue": " =>", "max_new_tokens": 8, "columns": {"source": "en"}}
    task = TaskFile(task="mine", definition=definition, objective="conditional-generation", max_tokens=40)
    write_task_file(folder, task)
    given = [InputRow(n, f"row {n}", {"en": text}) for n, text in enumerate(["cat " * 60, *TEXTS], start=1)]
    predicted = predict(load_predictor(folder, {}), given, batch_tokens=4096)
    found = list(write_texts(load_writer(folder, {}), given, Writing(), batch_tokens=4096))
    assert [(one["text"], one["truncated"]) for one in found] == [
        (one["output"], one["truncated"]) for one in predicted
    ]
    assert found[0]["truncated"]


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"max_new_tokens": 0}, "--max-new-tokens"),
        ({"temperature": -0.5}, "--temperature"),
        ({"temperature": float("nan")}, "--temperature"),
        ({"top_p": 0.0}, "--top-p"),
        ({"top_k": 0}, "--top-k"),
        ({"beams": 0}, "--beams"),
        ({"samples": 0}, "--n"),
        ({"temperature": 0.0, "top_k": 3}, "always takes the likeliest"),
        ({"beams": 2, "temperature": 1.0}, "does not sample"),
        ({"samples": 2}, "the likeliest text is one"),
        ({"samples": 3, "beams": 2}, "--beams 3"),
    ],
)
def test_settings_that_make_no_sense_are_one_line(how: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Writing(**how)


@pytest.mark.parametrize(
    ("made", "config", "said"),
    [("BertForMaskedLM", {}, "fills gaps"), ("GPT2ForSequenceClassification", labels("a", "b"), "predict")],
)
def test_models_that_do_not_write_are_refused(
    tmp_path: Path, made: str, config: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        load_writer(save(tmp_path, made, **config), {})


def test_a_prompt_of_bytes_that_are_no_text_is_refused(writer: Predictor) -> None:
    with pytest.raises(InputError, match=r"row 1: prompt is 'bad \\udcff', which is not UTF-8"):
        written(writer, "bad \udcff")
