"""The commands that use a model: predict, generate, serve, push; nothing heavy before one is called."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from eval.files import InputError

Model = Annotated[
    str, typer.Argument(help="A model's folder, a stage's, a run's with one model, or a name on the hub.")
]
BatchTokens = Annotated[
    int, typer.Option(min=1, help="Padded tokens in a batch: speed and memory; no answer depends on it.")
]
Out = Annotated[Path | None, typer.Option(help="File to write; standard output when left out.")]
Format = Annotated[str | None, typer.Option(help="jsonl or csv; by the ending of --out when left out.")]
Columns = Annotated[
    list[str] | None,
    typer.Option("--column", help="FIELD=COLUMN: where a field is in the file, if not in its own column."),
]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    for command in (predict, generate, serve, push):
        app.command()(command)


def predict(
    model: Model,
    file: Annotated[
        str, typer.Argument(help=".jsonl, .csv, .parquet (also .gz) or lines of text; - is stdin.")
    ],
    out: Out = None,
    format: Format = None,
    column: Columns = None,
    batch_tokens: BatchTokens = 16384,
) -> None:
    """Predict every row of a file: label and probabilities, value, answer, tags, or text; a row each."""
    with tidy():
        from pipelines.using.folders import find_model
        from pipelines.using.inputs import read_inputs
        from pipelines.using.outputs import open_output

        rows = read_inputs(file)
        columns = _columns(column or ())
        with quiet():
            from pipelines.using.predict import predict as answers
            from pipelines.using.predictor import load_predictor

            predictor = load_predictor(find_model(model), columns)
            with open_output(out, format) as write:
                _write(answers(predictor, rows, batch_tokens=batch_tokens), write)


def generate(
    model: Model,
    prompt: Annotated[str | None, typer.Argument(help="The text to go on from, or a task's source.")] = None,
    file: Annotated[str | None, typer.Option(help="Prompts: a column prompt, or lines; - is stdin.")] = None,
    max_new_tokens: Annotated[int | None, typer.Option(help="The longest text, in tokens.")] = None,
    temperature: Annotated[float | None, typer.Option(help="Sample at it; 0 is the likeliest text.")] = None,
    top_p: Annotated[
        float | None, typer.Option(help="Sample from the likeliest that make up this share.")
    ] = None,
    top_k: Annotated[int | None, typer.Option(help="Sample from so many likeliest tokens.")] = None,
    beams: Annotated[int, typer.Option(help="Search with so many beams.")] = 1,
    seed: Annotated[int, typer.Option(help="Of sampling: the same seed, the same texts.")] = 0,
    n: Annotated[int, typer.Option("--n", help="Texts for each prompt.")] = 1,
    out: Out = None,
    format: Format = None,
    column: Columns = None,
    batch_tokens: BatchTokens = 16384,
) -> None:
    """Write after a prompt, or after every prompt of a file: the likeliest text, or sampled ones."""
    with tidy():
        from pipelines.using.folders import find_model
        from pipelines.using.inputs import InputRow, read_inputs
        from pipelines.using.outputs import open_output

        if (prompt is None) == (file is None):
            raise InputError("generate: give a prompt, or --file with prompts; not both")
        rows = read_inputs(file) if file is not None else iter([InputRow(1, "prompt", {"prompt": prompt})])
        columns = _columns(column or ())
        with quiet():
            from pipelines.using.generate import Writing, write_texts
            from pipelines.using.predictor import load_writer

            how = Writing(
                max_new_tokens=max_new_tokens,
                temperature=temperature,
                top_p=top_p,
                top_k=top_k,
                beams=beams,
                seed=seed,
                samples=n,
            )
            writer = load_writer(find_model(model), columns)
            answers = write_texts(writer, rows, how, batch_tokens=batch_tokens)
            if file is None and out is None and format is None:
                for answer in answers:
                    _print_texts(answer)
                return
            with open_output(out, format) as write:
                _write(answers, write)


def serve(
    model: Model,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen at.")] = 8000,
) -> None:
    """Serve a model that writes, as OpenAI's interface: hands over to `transformers serve`."""
    with tidy():
        from pipelines.using.folders import find_model
        from pipelines.using.serve import check_packages, serve_model, served_name

        check_packages()
        folder = find_model(model)
        with quiet():
            serve_model(folder, served_name(model), host, port)


def push(
    model: Model,
    repo: Annotated[str, typer.Argument(help="Where on the hub: OWNER/NAME.")],
    public: Annotated[
        bool, typer.Option("--public", help="For everybody to see; private when left out.")
    ] = False,
) -> None:
    """Publish a model's folder on the hub with your own token (`hf auth login`, or HF_TOKEN)."""
    with tidy():
        from pipelines.publish import publish
        from pipelines.using.folders import find_model

        print(f"published: {publish(find_model(model), repo, private=not public)}")


def _columns(given: Sequence[str]) -> Mapping[str, str]:
    """Field -> column. Raises InputError for what is no FIELD=COLUMN."""
    columns = {}
    for one in given:
        field, equals, column = one.partition("=")
        if not (field and equals and column):
            raise InputError(f"--column: {one!r}; FIELD=COLUMN is wanted, such as text=review")
        columns[field] = column
    return columns


def _write(answers: Iterator[Mapping[str, Any]], write: Any) -> None:
    """Write all, then say how many were cut."""
    cut = 0
    for answer in answers:
        write(answer)
        cut += bool(answer["truncated"])
    if cut:
        what = "1 row was" if cut == 1 else f"{cut} rows were"
        end = "its end" if cut == 1 else "their ends"
        print(f"warning: {what} longer than the model reads and lost {end}", file=sys.stderr)


def _print_texts(answer: Mapping[str, Any]) -> None:
    """What was written, and nothing else."""
    for text in answer.get("texts") or [answer["text"]]:
        print(text)
    if answer["truncated"]:
        print("warning: the prompt was longer than the model reads and lost its end", file=sys.stderr)


class _Stopped(BaseException):
    """Ctrl-C or SIGTERM; no KeyboardInterrupt, which typer and asyncio take for themselves."""


def _stop(number: int, frame: FrameType | None) -> None:
    raise _Stopped(number)


@contextlib.contextmanager
def tidy() -> Iterator[None]:
    """Ctrl-C and a reader that goes away (`| head`) end the command without a word more than is needed."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, _stop) for number in numbers]
    try:
        yield
        sys.stdout.flush()
    except _Stopped as stopped:
        print("stopped", file=sys.stderr)
        raise SystemExit(128 + stopped.args[0]) from None
    except BrokenPipeError:
        # what Python would flush at its end has nowhere to go
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without transformers' bars and warnings: what matters of them is said here, in a line."""
    from transformers.utils import logging

    bar, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bar:
            logging.enable_progress_bar()
