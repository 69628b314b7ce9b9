"""run.json, checked before anything is made of it: what a report reads is there, of its type, and finite."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from eval.files import InputError, read_sealed

DEEPEST = 12  # facts in facts; those that Stepladder writes are four deep
_ADVICE = "run `stepladder run` again to write it"


class _Part(BaseModel):
    """What is not named here is not read, and may be anything."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False, extra="ignore")


LARGEST = 1e300  # beyond any count, and what is printed of it still a float
Number = Annotated[float, Field(ge=-LARGEST, le=LARGEST)]
Above = Annotated[float, Field(gt=0, le=LARGEST)]
Maybe = Annotated[float, Field(ge=0, le=LARGEST)] | None
Facts = dict[str, Any]


class _Shape(_Part):
    n_layer: int
    n_embd: int
    n_head: int


class _Params(_Part):
    total: Maybe
    non_embedding: Maybe
    matmul: Maybe


class _Hyper(_Part):
    learning_rate: Maybe
    batch_tokens: Maybe
    warmup_tokens: Maybe
    steps: Maybe
    decay_fraction: Number
    weight_decay: Number
    beta1: Number
    beta2: Number
    clip: Number
    schedule: str


class _Rung(_Part):
    rung: str
    seed: int
    shape: _Shape
    params: _Params
    hyper: _Hyper | None
    stage: str | None = None
    status: str
    reason: str | None = None
    tokens: Maybe
    unique_tokens: Maybe
    flops: Maybe
    flops_per_token: Maybe
    final_loss_nats: Maybe
    tokens_per_second: Maybe
    flops_utilisation: Maybe = None
    energy_joules: Maybe = None
    energy_source: str | None = None
    seconds: Maybe
    threads: int | None
    precision: str | None


class _Stage(_Part):
    stage: str
    status: str
    seconds: Maybe = None
    reason: str | None = None


class _Curve(_Part):
    rung: str
    seed: int
    points: list[tuple[Above, Number | None]] | None


class _Output(_Part):
    rung: str
    text: str


class _Sample(_Part):
    task: str
    id: str | int
    prompt: str
    reference: str
    outputs: list[_Output]


class _Read(_Part):
    rung: str
    text: str
    starts: Annotated[list[int], Field(min_length=1)]
    nats: list[Number]

    @model_validator(mode="after")
    def _check(self) -> _Read:
        if len(self.starts) != len(self.nats):
            raise ValueError("as many nats as starts are wanted")
        return self


class _Passage(_Part):
    id: str | int
    rungs: Annotated[list[_Read], Field(min_length=1)]


class _Run(_Part):
    run: str | None = None
    made: str | None = None
    command: str | None = None
    recipe_yaml: str | None = None
    machine: Facts | None = None
    versions: Facts | None = None
    corpus: Facts | None = None
    tokenizer: Facts | None = None
    tasks: Facts | None = None
    rungs: list[_Rung] | None = None
    stages: list[_Stage] | None = None
    curves: list[_Curve] | None = None
    samples: list[_Sample] | None = None
    passage: _Passage | None = None


def read_run(path: Path) -> dict[str, Any]:
    """run.json's content. Raises `InputError`, naming the part, for what a report could not be made of."""
    try:
        run = read_sealed(path, unsealed=True)
    except InputError as error:
        raise InputError(f"{error}; {_ADVICE}") from error
    if odd := _oddity(run):
        raise InputError(f"{path}: {odd}; {_ADVICE}")
    try:
        json.dumps(run, ensure_ascii=False, allow_nan=False).encode("utf-8")
        _Run.model_validate_json(json.dumps(run))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        wrong = f"{first['msg'][0].lower()}{first['msg'][1:]}".splitlines()[0]
        raise InputError(f"{path}: {place}: {wrong}; {_ADVICE}") from error
    except ValueError as error:  # NaN, or half a character
        raise InputError(f"{path}: {str(error).splitlines()[0]}; {_ADVICE}") from error
    return run


def _oddity(value: Any) -> str | None:
    """What of facts, whose names are not known here, could not be printed; None where all of it can."""
    layer, depth = [value], 0
    while layer:
        if any(isinstance(one, int) and abs(one) > LARGEST for one in layer):
            return "holds a number that is too large"
        if depth > DEEPEST:
            return "nested too deeply"
        layer = [
            inside
            for one in layer
            if isinstance(one, dict | list)
            for inside in (one.values() if isinstance(one, dict) else one)
        ]
        depth += 1
    return None
