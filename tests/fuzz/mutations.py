"""Damage with structure: plain data, text and bytes as a stranger, a slip or a bad disk would leave them."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

MARK = "<img src=x onerror=alert(1)>"  # must never stand in a page as it is written here

# Names that would lead out of a folder, or that a file system cannot hold.
NAMES = (
    "../escape",
    "../../escape",
    "/escape",
    "a/../../escape",
    "..",
    ".",
    "",
    " ",
    "con",
    "nul.txt",
    "a\0b",
    "a\nb",
    "a\x1b[2Jb",
    "-rf",
    "~",
    "~root",
    "\\\\host\\share",
    "C:\\escape",
    "x" * 300,
    "a/b",
    ".lock",
)
TEXTS = (
    MARK,
    "{{ 7*7 }}",
    "{% for i in range(10**9) %}{% endfor %}",
    "{{ ''.__class__.__mro__ }}",
    "=1+1",
    "\u202egnp.exe",
    "\ufeff",
    "\ud800",
    "é" * 50,
    "NaN",
    "null",
    "1e999",
    "0x10",
    "1_000",
    "٣",
    "😀",
    "|",
    "a|b:c|",
    "[link](javascript:alert(1))",
    "`code`",
    "%s%s%n",
    "$(reboot)",
    "; reboot",
    "http://user:pass@host/x",
)
NUMBERS = (
    0,
    -1,
    1,
    2,
    7,
    0.5,
    1e-300,
    5e-324,
    1e300,
    -1e300,
    1.7e308,
    2**31,
    2**53 + 1,
    2**63,
    10**30,
    10**400,
    -0.0,
    float("nan"),
    float("inf"),
    float("-inf"),
)
OTHERS = (None, True, False, [], {}, [[]], {"": None}, [None] * 3, [1, "two", None], {"a": {"b": {"c": 1}}})
KINDS: tuple[tuple[Any, ...], ...] = (NAMES, TEXTS, NUMBERS, OTHERS)


def damage(rng: random.Random, value: Any, most: int = 3) -> Any:
    """A copy of plain data with one to `most` things wrong in it."""
    value = copy.deepcopy(value)
    for _ in range(rng.randint(1, most)):
        value = _once(rng, value)
    return value


def nudge(rng: random.Random, value: Any, most: int = 2) -> Any:
    """A copy with one to `most` leaves off, of the type they were: what passes every check of types."""
    value = copy.deepcopy(value)
    for _ in range(rng.randint(1, most)):
        places = [path for path in _places(value) if not isinstance(_at(value, path), dict | list)]
        if not places:
            break
        path = rng.choice(places)
        old = _at(value, path)
        if isinstance(old, bool):
            new: Any = not old
        elif isinstance(old, int):
            new = rng.choice((0, 1, old + 1, old - 1, -old, old * 2, old * 1000, old // 2, old * 10**9))
        elif isinstance(old, float):
            new = rng.choice((0.0, 1.0, old / 2, old * 2, -old, old * 1e9, old / 1e9, round(old)))
        else:
            new = rng.choice((*NAMES, *TEXTS)) if rng.random() < 0.5 else f"{old}{rng.choice(TEXTS)}"
        _at(value, path[:-1])[path[-1]] = new
    return value


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for part in path:
        value = value[part]
    return value


def _once(rng: random.Random, value: Any) -> Any:
    places = [()] if not isinstance(value, dict | list) else list(_places(value))
    path = rng.choice(places) if places else ()
    if not path:
        return _replaced(rng, value)
    holder, last = _at(value, path[:-1]), path[-1]
    act = rng.choice(("drop", "replace", "replace", "replace", "rename", "twice", "swap", "nest", "near"))
    if act == "drop":
        del holder[last]
    elif act == "rename" and isinstance(holder, dict):
        held = holder.pop(last)
        holder[rng.choice((*NAMES[:6], f"{last}_", str(last)[:-1], *TEXTS[:3]))] = held
    elif act == "twice" and isinstance(holder, list):
        holder.insert(rng.randint(0, len(holder)), copy.deepcopy(holder[last]))
    elif act == "swap":
        holder[last] = copy.deepcopy(_at(value, rng.choice(places)))
    elif act == "nest":
        holder[last] = nested(rng.choice((2, 30, 400)), holder[last])
    elif act == "near":
        holder[last] = _near(rng, holder[last])
    else:
        holder[last] = _replaced(rng, holder[last])
    return value


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    if len(path) < 8 and isinstance(value, dict | list):
        for key, one in list(value.items() if isinstance(value, dict) else enumerate(value)):
            yield from _places(one, (*path, key))


def _replaced(rng: random.Random, old: Any) -> Any:
    kind = rng.choice(KINDS)
    return copy.deepcopy(rng.choice(kind))


def _near(rng: random.Random, old: Any) -> Any:
    """A value of the same type that is a little or very much off."""
    if isinstance(old, bool) or old is None:
        return rng.choice((True, False, None, 0, "true"))
    if isinstance(old, int | float):
        old = max(-1e300, min(1e300, old)) if old == old else 0.0
        return rng.choice((-old, old * 1000, old / 1000, old * 1e30, int(old), str(old)))
    if isinstance(old, str):
        return rng.choice((old.upper(), old + " ", old * 3, f"{old}{MARK}", f"../{old}", [old], old[:1]))
    return [old]


def nested(depth: int, inside: Any) -> Any:
    """`inside` in so many lists or mappings."""
    for level in range(depth):
        inside = [inside] if level % 2 else {"a": inside}
    return inside


# Pieces that mean something to YAML, JSON, CSV or a template.
PIECES = (
    "&a ",
    "*a",
    "<<: *a\n",
    "!!python/object/apply:os.system ['true']",
    "!!binary aGk=",
    "!!set {a}",
    "? ",
    "- ",
    ": ",
    "{",
    "}",
    "[",
    "]",
    "'",
    '"',
    "\t",
    "\n",
    "\n---\n",
    "#",
    "|\n",
    ">\n",
    "@",
    "`",
    "%YAML 9\n",
    "\0",
    "\x1b",
    ",",
    ",,",
    "1e999",
    "NaN",
    "Infinity",
    "\\ud800",
    "\\u0000",
    "\u2028",
    "\ufeff",
    "../",
    "{{",
    "}}",
    "{%",
    "\r",
)


def damage_text(rng: random.Random, text: str, most: int = 4) -> str:
    """The text with pieces cut, doubled, moved or put in."""
    for _ in range(rng.randint(1, most)):
        at = rng.randint(0, len(text))
        end = min(len(text), at + rng.choice((1, 3, 20, 200)))
        act = rng.choice(("cut", "double", "put", "put", "end", "line"))
        if act == "cut":
            text = text[:at] + text[end:]
        elif act == "double":
            text = text[:end] + text[at:end] + text[end:]
        elif act == "put":
            text = text[:at] + rng.choice(PIECES) * rng.choice((1, 1, 1, 50)) + text[at:]
        elif act == "end":
            text = text[:at]
        else:
            lines = text.splitlines(keepends=True) or [""]
            lines.insert(rng.randrange(len(lines)), lines[rng.randrange(len(lines))])
            text = "".join(lines)
    return text


def damage_bytes(rng: random.Random, data: bytes, most: int = 4) -> bytes:
    """The bytes with bits flipped, runs overwritten, ends cut off."""
    found = bytearray(data)
    for _ in range(rng.randint(1, most)):
        if not found:
            break
        at = rng.randrange(len(found))
        act = rng.choice(("flip", "flip", "fill", "cut", "end", "double"))
        if act == "flip":
            found[at] ^= 1 << rng.randrange(8)
        elif act == "fill":
            found[at : at + 8] = rng.choice((b"\0" * 8, b"\xff" * 8, b"\x7f" + b"\xff" * 7))
        elif act == "cut":
            del found[at : at + rng.choice((1, 4, 64))]
        elif act == "end":
            del found[at:]
        else:
            found[at:at] = found[at : at + 64]
    return bytes(found)


def alias_bomb(rng: random.Random) -> str:
    """YAML of a few lines that aliases would write out to as many values as there are atoms."""
    depth, width = rng.choice((3, 9, 30)), rng.choice((2, 9))
    lines = ["a0: &a0 [x, x]"]
    for level in range(1, depth):
        lines.append(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * width)}]")
    return "\n".join(lines) + "\n"
