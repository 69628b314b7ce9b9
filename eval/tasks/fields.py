"""The fields of canonical rows: what each may hold, read from a table's value, or refused in one line."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from eval.files import InputError

_WITHHELD = "; hub sets mark labels that are withheld so: use a split that has them"


def _id(value: Any, where: str, labels: Sequence[str]) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
        raise InputError(f"{where} is {show(value)}; a text or a whole number is wanted")
    return str(value)


def _text(value: Any, where: str, labels: Sequence[str]) -> str:
    if not isinstance(value, str):
        raise InputError(f"{where} is {show(value)}; a text is wanted")
    return value


def some_text(value: Any, where: str, labels: Sequence[str]) -> str:
    if not _text(value, where, labels).strip():
        raise InputError(f"{where} is empty; a text is wanted: write one, or remove the row")
    return str(value)


def _joined(value: Any, where: str, labels: Sequence[str]) -> str:
    """A text, or a list of its sentences."""
    return some_text(" ".join(some_texts(value, where, labels)), where, labels)


def _first(value: Any, where: str, labels: Sequence[str]) -> str:
    """A text, or the first of several that would do."""
    return some_texts(value, where, labels)[0]


def some_texts(value: Any, where: str, labels: Sequence[str]) -> list[str]:
    """One text or several, at least one."""
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list) or not found:
        raise InputError(f"{where} is {show(value)}; a list of texts is wanted")
    return [some_text(one, where, labels) for one in found]


def _label(value: Any, where: str, labels: Sequence[str]) -> str:
    """A label's name: of a whole number its name in `labels`; without `labels` the value itself, as text.

    Space around it counts for nothing: tables often have some after a comma.
    """
    value = value.strip() if isinstance(value, str) else value
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        raise InputError(f"{where} is missing; give every row its label, or remove the row")
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # tables with gaps keep whole numbers so
    if not isinstance(value, (str, int)):
        raise InputError(f"{where} is {show(value)}; a name or a whole number is wanted")
    if not labels:
        return str(value)
    if isinstance(value, str) and value in labels:
        return value
    number = _whole(value)
    if number is None or not 0 <= number < len(labels):
        hint = _WITHHELD if number == -1 else ""
        raise InputError(
            f"{where} is {show(value)}; the {len(labels)} labels are 0 {labels[0]} to "
            f"{len(labels) - 1} {labels[-1]}{hint}"
        )
    return labels[number]


def _labels(value: Any, where: str, labels: Sequence[str]) -> list[str]:
    """A row's set of labels, sorted; a text is cut at its commas."""
    found = [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
    if not isinstance(found, list):
        raise InputError(f"{where} is {show(value)}; a list of labels is wanted (empty for none)")
    return sorted({_label(one, where, labels) for one in found})


def _number(value: Any, where: str, labels: Sequence[str]) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{where} is {show(value)}; a finite number is wanted")
    return number


def _words(value: Any, where: str, labels: Sequence[str]) -> list[str]:
    """Words, or a text that is cut at its white space."""
    found = value.split() if isinstance(value, str) else value
    if not isinstance(found, list) or not found:
        raise InputError(f"{where} is {show(value)}; a list of words is wanted")
    return [some_text(one, where, labels) for one in found]


def _tags(value: Any, where: str, labels: Sequence[str]) -> list[str]:
    found = value.split() if isinstance(value, str) else value
    if not isinstance(found, list):
        raise InputError(f"{where} is {show(value)}; a list of tags is wanted")
    return [_label(one, where, labels) for one in found]


def _answers(value: Any, where: str, labels: Sequence[str]) -> list[dict[str, Any]]:
    """Answers as [{text, start}], from that form or SQuAD's {text: [...], answer_start: [...]}."""
    if isinstance(value, Mapping):
        texts, starts = value.get("text"), value.get("answer_start", value.get("start"))
        if not isinstance(texts, list) or not isinstance(starts, list) or len(texts) != len(starts):
            raise InputError(f"{where} is {show(value)}; as many text as answer_start are wanted")
        value = [{"text": text, "start": start} for text, start in zip(texts, starts, strict=True)]
    if not isinstance(value, list):
        raise InputError(f"{where} is {show(value)}; [{{text, start}}] is wanted (empty: no answer)")
    found: list[dict[str, Any]] = []
    for one in value:
        start = one.get("start", one.get("answer_start")) if isinstance(one, Mapping) else None
        if start is None or isinstance(start, bool) or not isinstance(start, int) or "text" not in one:
            raise InputError(f"{where} has {show(one)}; {{text, start}} is wanted")
        found.append({"text": some_text(one["text"], where, labels), "start": start})
    return found


def _choices(value: Any, where: str, labels: Sequence[str]) -> list[str]:
    """The texts to choose from: two or more, all different."""
    if not isinstance(value, list):
        raise InputError(
            f"{where} is {show(value)}; a list of texts is wanted: of a column for each write "
            "choices: ['{{ a }}', '{{ b }}']"
        )
    found = [some_text(str(one) if _is_number(one) else one, where, ()) for one in value]
    if len(found) < 2:
        raise InputError(f"{where} are {len(found)}; two or more are wanted to choose from")
    if doubled := sorted({one for one in found if found.count(one) > 1}):
        raise InputError(f"{where}: {show(doubled[0])} is there twice; make each choice another, once")
    return found


def _plain_answer(value: Any, where: str, labels: Sequence[str]) -> str | int:
    """The right choice as a table has it; which one it is, the choices tell."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # tables with gaps keep whole numbers so
    if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
        raise InputError(
            f"{where} is {show(value)}; the right choice's number from 0, letter or text is wanted"
        )
    return value


def _find_answer(row: dict[str, Any], where: str) -> None:
    """Put the right choice's place in the row: from a number, a letter, a number's text, or its own text."""
    answer, choices = row["answer"], row["choices"]
    if isinstance(answer, int):
        places = {answer}
    else:
        places = {place for place, choice in enumerate(choices) if choice.strip() == answer.strip()}
        number = _position(answer.strip())
        if number is not None and (not places or 0 <= number < len(choices)):
            places.add(number)
    if len(places) > 1:
        raise InputError(
            f"{where}: answer is {show(answer)}, the text of one choice and the place of another; write "
            "numbers as numbers, or texts that tell"
        )
    if not places or not 0 <= min(places) < len(choices):
        hint = _WITHHELD if answer in (-1, "-1") else ""
        last = len(choices) - 1
        raise InputError(
            f"{where}: answer is {show(answer)}; the {len(choices)} choices are 0 to {last}, A to "
            f"{chr(ord('A') + last)}, or their texts{hint}"
        )
    row["answer"] = min(places)


def _position(text: str) -> int | None:
    """The place that digits or one letter name; None for any other text."""
    if text.isascii() and text.removeprefix("-").isdigit():
        return int(text)
    return ord(text.upper()) - ord("A") if len(text) == 1 and text.isascii() and text.isalpha() else None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _count(value: Any, where: str, labels: Sequence[str]) -> int:
    number = _whole(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else None
    if number is None or number < 0:
        raise InputError(f"{where} is {show(value)}; a whole number is wanted")
    return number


def _subset(value: Any, where: str, labels: Sequence[str]) -> str:
    """The name of the part that a row belongs to; numbers and yes or no are names, too."""
    if value is None or value == "" or not isinstance(value, (str, int, float)):
        raise InputError(f"{where} is {show(value)}; a name is wanted")
    return str(value).strip()


def _check_pair(row: Mapping[str, Any], where: str) -> None:
    if row["more"] == row["less"]:
        raise InputError(f"{where}: more and less are the same sentence; two that differ are wanted")


def _check_tags(row: Mapping[str, Any], where: str) -> None:
    if len(row["words"]) != len(row["tags"]):
        raise InputError(
            f"{where}: {len(row['words'])} words and {len(row['tags'])} tags; give each word one tag"
        )


def _check_answers(row: Mapping[str, Any], where: str) -> None:
    for answer in row["answers"]:
        start, text = answer["start"], answer["text"]
        if start < 0 or row["context"][start : start + len(text)] != text:
            raise InputError(
                f"{where}: the answer {show(text)} does not stand at character {start} of the context; "
                "mend its start"
            )


def _whole(value: str | int) -> int | None:
    try:
        return int(value)
    except ValueError:
        return None


def show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


# What reads each field: (the table's value, the place, the names of whole-number labels) -> the row's value.
READERS: dict[str, Callable[[Any, str, Sequence[str]], Any]] = {
    "id": _id,
    "text": _text,
    "text_pair": _text,
    "label": _label,
    "labels": _labels,
    "value": _number,
    "source": _joined,
    "target": _first,
    "references": some_texts,
    "question": some_text,
    "context": some_text,
    "answers": _answers,
    "words": _words,
    "tags": _tags,
    "group": _id,
    "subset": _subset,
    "query": some_text,
    "choices": _choices,
    "answer": _plain_answer,
    "bytes": _count,
    "more": some_text,
    "less": some_text,
    "prompt": some_text,
}

# Between the fields of a row.
CHECKS: dict[str, Callable[[dict[str, Any], str], None]] = {
    "multiple-choice": _find_answer,
    "tagging": _check_tags,
    "span": _check_answers,
    "bias-pairs": _check_pair,
}
