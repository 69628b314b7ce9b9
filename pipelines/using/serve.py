"""Serve a model that writes by handing it over to `transformers serve`, whose interface is OpenAI's.

The server gets a folder of links to the model's files, under a name that clients can say, with what the model
may lack: a chat template, and what ends an answer. The model's own folder is never written to.
"""

from __future__ import annotations

import json
import os
import socket
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from eval.files import InputError, read_json
from eval.tasks.base import Generation
from pipelines.using.predictor import check_writes, read_config
from pipelines.using.task_file import TaskFile

PACKAGES = ("fastapi", "uvicorn", "openai")  # what `transformers serve` needs beside what Stepladder needs

# A conversation as a transcript, which a model that only learnt to go on with text goes on with.
TRANSCRIPT = """\
{{ BEGIN }}{% for message in messages %}{{ message['role'] | capitalize }}: {{ message['content'] }}
{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"""

# The last thing that the user said, framed as the sources that the model was taught with: no conversation.
ONE_SOURCE = """\
{% set users = messages | selectattr('role', 'equalto', 'user') | list %}\
{{ BEGIN }}{{ (users | last)['content'] | trim }}{{ CUE }}"""


def check_packages() -> None:
    """Raise InputError where a package that serving needs is not installed."""
    if lacking := [name for name in PACKAGES if find_spec(name) is None]:
        raise InputError(
            f"serve: needs {' and '.join(lacking)}, not installed here; pip install 'stepladder[serve]'"
        )


def serve_model(folder: Path, name: str, host: str, port: int) -> None:
    """Serve the model in `folder` as `name` until the process is told to stop.

    Raises InputError for a model that does not write, and for an address that is taken or not this machine's.
    """
    task, architecture = check_writes(folder), _architecture(folder)
    check_address(host, port)
    from transformers.cli.serve import Serve

    with tempfile.TemporaryDirectory(prefix="stepladder-serve-") as place:
        link_model(folder, Path(place) / name, task)
        keep_in_context(architecture)
        os.chdir(place)  # where the name is the folder's; this process does nothing else any more
        print(f'serving http://{host}:{port}/v1 with model="{name}"; Ctrl-C ends it', flush=True)
        Serve(force_model=name, host=host, port=port, log_level="error")


def served_name(model: str) -> str:
    """What clients call the model: a hub name as it is, of a folder its own name, or its stage's."""
    path = Path(model).expanduser()
    if not path.is_dir():
        return model
    whole = path.resolve()
    name = whole.parent.name if whole.name == "model" else whole.name
    # the server reads @ as a revision and : as a file in a repository
    return name.replace("@", "-").replace(":", "-") or "model"


def check_address(host: str, port: int) -> None:
    """Raise InputError where nobody can listen at `host` and `port`."""
    try:
        with socket.create_server((host, port)):
            pass
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{host}:{port}: cannot listen there ({reason}); choose another --port") from error


def link_model(folder: Path, view: Path, task: TaskFile | None) -> None:
    """Make `view` a folder of links to the model's files, with a chat template, and a task's stops.

    A tokenizer's own chat template stays.
    """
    from transformers import AutoTokenizer

    view.mkdir(parents=True)
    for path in folder.iterdir():
        if path.is_file():
            (view / path.name).symlink_to(path.resolve())
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if not tokenizer.chat_template:
        _replace(view / "chat_template.jinja", make_template(tokenizer, task))
    if task is not None:
        from eval.tasks.encoding import pad_id, stop_ids

        # what ends an answer when the model is measured ends it here
        ends: dict[str, Any] = {"eos_token_id": stop_ids(tokenizer), "pad_token_id": pad_id(tokenizer)}
        _replace(view / "generation_config.json", json.dumps(_generation(folder) | ends, indent=2))


def make_template(tokenizer: Any, task: TaskFile | None) -> str:
    """A chat template: for a model with a task the user's last message as its source, else a transcript."""
    from eval.tasks.encoding import begin_id

    begin = repr(tokenizer.convert_ids_to_tokens(begin_id(tokenizer)))
    if task is None:
        return TRANSCRIPT.replace("BEGIN", begin)
    made = task.make()
    assert isinstance(made, Generation)
    return ONE_SOURCE.replace("BEGIN", begin).replace("CUE", repr(made.cue))


def keep_in_context(architecture: str) -> None:
    """Let every model of this class, in this process, write no more than it has positions for.

    `transformers serve` asks for 1024 tokens where a client does not say how many: more than a small model
    can number, which ends in an index out of range. And a client's temperature is taken for a wish to
    sample, which there it is not.
    """
    import transformers
    from fastapi import HTTPException

    made = getattr(transformers, architecture)
    generate = made.generate

    def within(self: Any, *args: Any, **inputs: Any) -> Any:
        config, length = inputs["generation_config"], inputs["input_ids"].shape[-1]
        room = self.config.max_position_embeddings - length
        if room < 1:
            raise HTTPException(
                status_code=400,
                detail=f"the prompt has {length} tokens; with an answer at most {room + length} can be read",
            )
        config.max_new_tokens = min(config.max_new_tokens or room, room)
        if config.temperature:
            config.do_sample = True
        return generate(self, *args, **inputs)

    made.generate = within


def _architecture(folder: Path) -> str:
    """The class that the server loads: the one that the config names, and it will load no other."""
    named = read_config(folder).get("architectures")
    if not (isinstance(named, list) and named and isinstance(named[0], str)):
        raise InputError(
            f'{folder}: its config.json names no class; add "architectures": ["GPT2LMHeadModel"], or save '
            "the model again"
        )
    return named[0]


def _generation(folder: Path) -> dict[str, Any]:
    path = folder / "generation_config.json"
    found = read_json(path) if path.is_file() else {}
    if not isinstance(found, dict):
        raise InputError(f"{path}: not an object; delete it, or save the model again")
    return found


def _replace(path: Path, text: str) -> None:
    """Write a file of its own where a link to the model's may be."""
    path.unlink(missing_ok=True)
    path.write_text(text, encoding="utf-8")
