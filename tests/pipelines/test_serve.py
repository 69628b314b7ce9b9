"""A served model is asked as it was taught, in a folder of its own, and answers OpenAI's client."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from eval.files import InputError, hash_file
from eval.tasks import Generation
from eval.tasks.encoding import encode_prompts
from pipelines.using import serve
from pipelines.using.inputs import InputRow
from pipelines.using.predict import predict
from pipelines.using.predictor import load_predictor
from pipelines.using.serve import check_address, check_packages, link_model, served_name
from pipelines.using.task_file import TaskFile, read_task_file, write_task_file
from tests.pipelines.saved import CONTEXT, TEXTS, labels, save

DEFINITION = {"kind": "generation", "cue": "\nsay: 'it\\'s'", "max_new_tokens": 8}


def taught(folder: Path) -> Path:
    task = TaskFile(
        task="mine", definition=DEFINITION, objective="conditional-generation", max_tokens=CONTEXT
    )
    write_task_file(save(folder, "GPT2LMHeadModel"), task)
    return folder


def said(*texts: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text} for text in texts]


def test_a_taught_model_is_asked_in_the_words_it_learnt(tmp_path: Path) -> None:
    """The template gives the tokens that evaluation gives, cue and begin token and all."""
    folder = taught(tmp_path / "model")
    found = read_task_file(folder)
    assert found is not None
    link_model(folder, tmp_path / "view", found)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "view")
    task = found.make()
    assert isinstance(task, Generation)
    for text in (TEXTS[0], f"  {TEXTS[1]}\n"):
        asked = [{"role": "system", "content": "x"}, *said("before", text)]
        ids = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_dict=False)
        (prompt,) = encode_prompts(task, tokenizer, [{"source": text}], CONTEXT)
        assert ids == prompt.ids
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "view")
    ends = tokenizer.convert_ids_to_tokens(model.generation_config.eos_token_id)
    assert tokenizer.eos_token in ends
    assert "Ċ" in ends, "byte-level tokenizers write a line break so"


def test_a_language_model_is_given_a_transcript(tmp_path: Path) -> None:
    folder = save(tmp_path / "model", "GPT2LMHeadModel")
    link_model(folder, tmp_path / "view", None)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "view")
    text = tokenizer.apply_chat_template(
        [*said("Hi"), {"role": "assistant", "content": "Ho"}, *said("Why?")],
        add_generation_prompt=True,
        tokenize=False,
    )
    assert text == f"{tokenizer.bos_token}User: Hi\nAssistant: Ho\nUser: Why?\nAssistant:"


def test_the_models_own_folder_and_template_stay_as_they_are(tmp_path: Path) -> None:
    folder = taught(tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = "{{ messages[0]['content'] }}"
    tokenizer.save_pretrained(folder)
    before = {path.name: hash_file(path) for path in folder.iterdir()}
    link_model(folder, tmp_path / "view", read_task_file(folder))
    assert {path.name: hash_file(path) for path in folder.iterdir()} == before
    served = AutoTokenizer.from_pretrained(tmp_path / "view")
    assert served.apply_chat_template(said("as it is"), tokenize=False) == "as it is"


def test_clients_call_a_model_by_a_name_that_the_server_reads_whole(tmp_path: Path) -> None:
    stage = tmp_path / "finetune-1@2:3" / "model"
    stage.mkdir(parents=True)
    assert served_name(str(stage)) == "finetune-1-2-3"
    assert served_name("openai-community/gpt2") == "openai-community/gpt2"


def test_what_cannot_be_served_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"127.0.0.1:{port}: cannot listen there"):
            check_address("127.0.0.1", port)
    with pytest.raises(InputError, match="fills gaps"):
        serve.serve_model(save(tmp_path / "a", "BertForMaskedLM"), "a", "127.0.0.1", 0)
    classifier = save(tmp_path / "b", "GPT2ForSequenceClassification", **labels("x", "y"))
    with pytest.raises(InputError, match="stepladder predict"):
        serve.serve_model(classifier, "b", "127.0.0.1", 0)
    unnamed = save(tmp_path / "c", "GPT2LMHeadModel")
    config = json.loads((unnamed / "config.json").read_text())
    (unnamed / "config.json").write_text(json.dumps(config | {"architectures": None}))
    with pytest.raises(InputError, match=r"its config\.json names no class"):
        serve.serve_model(unnamed, "c", "127.0.0.1", 0)
    broken = taught(tmp_path / "d")
    for text in ("{", "[]"):
        (broken / "generation_config.json").write_text(text)
        with pytest.raises(InputError, match=r"generation_config\.json: not "):
            link_model(broken, tmp_path / f"view{len(text)}", read_task_file(broken))
    monkeypatch.setattr(serve, "find_spec", lambda name: None if name == "openai" else name)
    with pytest.raises(
        InputError, match=r"needs openai, not installed here; pip install 'stepladder\[serve\]'"
    ):
        check_packages()


@contextlib.contextmanager
def served(folder: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Its address, once it answers."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-c", "from pipelines.cli import main; main()", "serve", folder.name]
    process = subprocess.Popen(
        [*command, "--port", str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder.parent,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            assert process.poll() is None, process.communicate()[0]
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{address}/health", timeout=5):
                break
            time.sleep(0.2)
        yield f"{address}/v1", process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.slow
@pytest.mark.skipif(
    any(find_spec(name) is None for name in serve.PACKAGES),
    reason="fastapi, uvicorn and openai are not all installed: pip install 'stepladder[serve]'",
)
def test_openais_client_gets_what_predict_says(tmp_path: Path) -> None:
    import openai

    folder = taught(tmp_path / "parrot")
    rows = [InputRow(n, f"row {n}", {"source": text}) for n, text in enumerate(TEXTS)]
    wanted = [answer["output"] for answer in predict(load_predictor(folder, {}), rows, batch_tokens=4096)]
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    with served(folder) as (address, process):
        client = openai.OpenAI(base_url=address, api_key="none", max_retries=0, timeout=60)
        ask: Any = {"model": "parrot", "max_tokens": 8}
        for text, output in zip(TEXTS, wanted, strict=True):
            answer = client.chat.completions.create(messages=said(text), **ask)
            assert answer.choices[0].message.content.split("\n")[0].strip() == output
            parts = client.chat.completions.create(messages=said(text), stream=True, **ask)
            whole = "".join(part.choices[0].delta.content or "" for part in parts if part.choices)
            # a stream keeps bytes back that do not make a letter yet
            assert whole.split("\n")[0].replace("\ufffd", "").strip() == output.replace("\ufffd", "").strip()

        # plain completions go on from the prompt's own tokens, at most to the end of the context
        prompt = TEXTS[0]
        encoded = tokenizer(prompt, return_tensors="pt")
        room = CONTEXT - encoded["input_ids"].shape[1]
        linked_stops = [i for i in range(len(tokenizer)) if "\n" in tokenizer.decode([i])]
        ids = model.generate(
            **encoded,
            max_new_tokens=room,
            do_sample=False,
            eos_token_id=[tokenizer.eos_token_id, *linked_stops],
        )
        text = tokenizer.decode(ids[0, encoded["input_ids"].shape[1] :], skip_special_tokens=True)
        assert client.completions.create(model="parrot", prompt=prompt).choices[0].text == text

        with pytest.raises(openai.BadRequestError):
            client.completions.create(model="parrot", prompt="x" * CONTEXT)
        hot: Any = {"model": "parrot", "prompt": "the", "max_tokens": 8, "temperature": 2.0}
        drawn = {client.completions.create(seed=seed, **hot).choices[0].text for seed in range(6)}
        assert len(drawn) > 1, "a temperature is a wish to sample"
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)
        assert process.returncode == 130
