"""Write after prompts: the likeliest text, sampled ones, or beams; the same whatever is written beside it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import torch
from torch import Tensor
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from eval.batching import BatchLimits, run_batches
from eval.files import InputError
from eval.tasks.base import Generation
from eval.tasks.encoding import begin_id, encode_prompts
from pipelines.using.inputs import TEXT, InputRow
from pipelines.using.predict import Answer, as_text, first_line, name_row
from pipelines.using.predictor import Predictor

CHUNK = 64  # prompts read and answered at a time
USUAL_LENGTH = 64  # tokens written where nothing says how many


@dataclass(frozen=True, kw_only=True)
class Writing:
    """How a text is written. Raises InputError for settings that contradict each other.

    `temperature` None or 0: always the likeliest token, unless `top_k` or `top_p` ask for sampling (at 1.0).
    `max_new_tokens` None: the task's, else 64 or what the context has room for. `samples` texts a prompt.
    """

    max_new_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    beams: int = 1
    seed: int = 0
    samples: int = 1

    def __post_init__(self) -> None:
        if self.max_new_tokens is not None and self.max_new_tokens < 1:
            raise InputError(f"--max-new-tokens: {self.max_new_tokens}; 1 or more is wanted")
        if self.temperature is not None and not 0 <= self.temperature < float("inf"):
            raise InputError(f"--temperature: {self.temperature}; 0 (the likeliest) or more is wanted")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise InputError(f"--top-p: {self.top_p}; more than 0 and at most 1 is wanted")
        if self.temperature == 0 and (self.top_p is not None or self.top_k is not None):
            raise InputError(
                "--temperature 0 always takes the likeliest token; leave out --top-p and --top-k"
            )
        for name, value in (("--top-k", self.top_k), ("--beams", self.beams), ("--n", self.samples)):
            if value is not None and value < 1:
                raise InputError(f"{name}: {value}; 1 or more is wanted")
        if self.beams > 1 and self.sampled:
            raise InputError(
                "--beams searches and does not sample; leave out --temperature, --top-p, --top-k"
            )
        if self.samples > 1 and not self.sampled and self.beams < self.samples:
            raise InputError(
                f"--n {self.samples}: the likeliest text is one; sample with --temperature 1, or search with "
                f"--beams {self.samples}"
            )

    @property
    def sampled(self) -> bool:
        """Whether tokens are drawn by chance."""
        return bool(self.temperature) or self.top_p is not None or self.top_k is not None


@dataclass(frozen=True)
class _Prompt:
    ids: list[int]
    number: int
    truncated: bool
    new_tokens: int


def write_texts(
    writer: Predictor, rows: Iterable[InputRow], how: Writing, *, batch_tokens: int
) -> Iterator[Answer]:
    """One answer a row, in order: id, prompt, text (texts where several were asked for), truncated.

    A model that was taught a task reads the prompt as its source, which loses its end where it is too long,
    and writes until a line ends; any other goes on from the prompt's own tokens. Raises InputError for a row
    without a prompt, and for one that leaves no room to write in.
    """
    remaining = iter(rows)
    while chunk := list(islice(remaining, CHUNK)):
        texts = [as_text(writer.columns.find(row, "prompt", "source", TEXT), row, "prompt") for row in chunk]
        prompts = _encode(writer, chunk, texts, how)
        written = _write(writer, prompts, how, batch_tokens)
        for row, text, prompt, found in zip(chunk, texts, prompts, written, strict=True):
            answer = {"text": found[0]} if how.samples == 1 else {"texts": found}
            yield {"id": name_row(row, writer), "prompt": text, **answer, "truncated": prompt.truncated}


def _encode(writer: Predictor, rows: Sequence[InputRow], texts: Sequence[str], how: Writing) -> list[_Prompt]:
    tokenizer, context = writer.model.tokenizer, writer.model.context
    if writer.own:
        task = writer.task
        assert isinstance(task, Generation)
        task = replace(task, max_new_tokens=how.max_new_tokens or task.max_new_tokens)
        sources = [{"source": text} for text in texts]
        return [
            _Prompt(prompt.ids, row.number, prompt.cut, task.max_new_tokens)
            for row, prompt in zip(rows, encode_prompts(task, tokenizer, sources, context), strict=True)
        ]
    prompts = []
    for row, text in zip(rows, texts, strict=True):
        ids = list(tokenizer(text, verbose=False)["input_ids"]) or [begin_id(tokenizer)]
        new = how.max_new_tokens or min(USUAL_LENGTH, max(1, context - len(ids)))
        if len(ids) + new > context:
            raise InputError(
                f"{row.where}: the prompt's {len(ids)} tokens and {new} new ones are more than the "
                f"{context} that the model reads; shorten the prompt, or lower --max-new-tokens"
            )
        prompts.append(_Prompt(ids, row.number, False, new))
    return prompts


@torch.inference_mode()
def _write(writer: Predictor, prompts: Sequence[_Prompt], how: Writing, batch_tokens: int) -> list[list[str]]:
    """The texts of each prompt. Rows are padded on the left; what fills them is never looked at."""
    copies = 1 if how.beams > 1 else how.samples
    found: dict[tuple[int, int], list[str]] = {}
    for new in sorted({prompt.new_tokens for prompt in prompts}):  # a batch writes as many for all its rows
        wanted = [
            (place, copy)
            for place, one in enumerate(prompts)
            for copy in range(copies)
            if one.new_tokens == new
        ]
        found |= _write_alike(writer, prompts, wanted, new, how, batch_tokens)
    return [[text for copy in range(copies) for text in found[place, copy]] for place in range(len(prompts))]


def _write_alike(
    writer: Predictor,
    prompts: Sequence[_Prompt],
    wanted: Sequence[tuple[int, int]],
    new: int,
    how: Writing,
    batch_tokens: int,
) -> dict[tuple[int, int], list[str]]:
    """The texts of those (prompt, copy) that are `wanted`, each of up to `new` tokens."""
    found: dict[tuple[int, int], list[str]] = {}

    def answer(batch: list[int]) -> None:
        asked = [wanted[index] for index in batch]
        outputs = _write_batch(writer, [(prompts[place], copy) for place, copy in asked], new, how)
        found.update(zip(asked, outputs, strict=True))

    sizes = [(len(prompts[place].ids) + new) * how.beams for place, _ in wanted]
    run_batches(sizes, BatchLimits(batch_tokens), answer, writer.model.device)
    return found


def _write_batch(
    writer: Predictor, asked: Sequence[tuple[_Prompt, int]], new: int, how: Writing
) -> list[list[str]]:
    model = writer.model
    width = max(len(prompt.ids) for prompt, _ in asked)
    filled = [[model.pad] * (width - len(prompt.ids)) + prompt.ids for prompt, _ in asked]
    mask = [[0] * (width - len(prompt.ids)) + [1] * len(prompt.ids) for prompt, _ in asked]
    stops = _stops(writer)
    returned = how.samples if how.beams > 1 else 1
    model.network.generation_config = (
        GenerationConfig()
    )  # what a model brings would change what was asked for
    with model.autocast():
        written = model.network.generate(
            input_ids=torch.tensor(filled, device=model.device),
            attention_mask=torch.tensor(mask, device=model.device),
            logits_processor=_processors(asked, how),
            generation_config=GenerationConfig(
                do_sample=False,  # chance comes from the processors, a row's own
                max_new_tokens=new,
                num_beams=how.beams,
                num_return_sequences=returned,
                eos_token_id=stops or None,
                pad_token_id=model.pad,
            ),
        )
    tokens = written[:, width:].tolist()
    texts = [_decode(writer, ids, stops) for ids in tokens]
    return [texts[row * returned : (row + 1) * returned] for row in range(len(asked))]


def _decode(writer: Predictor, ids: list[int], stops: Sequence[int]) -> str:
    end = next((place for place, token in enumerate(ids) if token in set(stops)), len(ids))
    if writer.own:  # the line break that ends an answer may stand in a token with more
        return first_line(writer.model.tokenizer.decode(ids[: end + 1], skip_special_tokens=True))
    return str(writer.model.tokenizer.decode(ids[:end], skip_special_tokens=True))


def _stops(writer: Predictor) -> list[int]:
    """What ends a text: for a task's answer a line break too."""
    if writer.own:
        return writer.stops
    end = writer.model.tokenizer.eos_token_id
    return [] if end is None else [int(end)]


def _processors(asked: Sequence[tuple[_Prompt, int]], how: Writing) -> LogitsProcessorList:
    """What is done to logits before the highest is taken: nothing, or what makes that a draw."""
    if not how.sampled:
        return LogitsProcessorList()
    found: list[LogitsProcessor] = [TemperatureLogitsWarper(float(how.temperature or 1.0))]
    if how.top_k is not None:
        found.append(TopKLogitsWarper(how.top_k))
    if how.top_p is not None:
        found.append(TopPLogitsWarper(how.top_p))
    seeds = [_seed(how.seed, prompt.number, copy) for prompt, copy in asked]
    return LogitsProcessorList([*found, Race(seeds)])


def _seed(seed: int, prompt: int, copy: int) -> int:
    """63 bits that differ for every prompt and every text of it."""
    digest = hashlib.sha256(f"{seed}/{prompt}/{copy}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


class Race(LogitsProcessor):
    """Turn the highest score into a draw from softmax(scores), each row by a generator of its own.

    The token whose exponential waiting time, of rate softmax(scores), is the shortest is a draw from it: so
    is the highest of scores - log(Exp(1)) (the Gumbel-max trick). A row's draws do not depend on the others.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """(rows, V) to (rows, V); tokens at minus infinity stay there."""
        draws = torch.stack(
            [
                torch.empty(scores.shape[-1], dtype=torch.float64).exponential_(generator=generator)
                for generator in self._generators
            ]
        )
        return scores.double() - draws.log().to(scores.device)
