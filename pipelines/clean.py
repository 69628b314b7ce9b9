"""Repair a text without changing what it says: line ends, encoding damage, control characters, NFC.

Indentation, blank lines and quotes stay as they are: source code must stay source code.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ftfy import TextFixerConfig

# What ftfy would take out of ASCII text. Form feeds divide sections in source code; they stay there, as here.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]")


def clean(text: str) -> str:
    """The text with `\\n` line ends, no byte-order mark, no control characters, mojibake undone, in NFC.

    Ends in one newline when anything but white space is left, else is "".
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if not text.isascii():  # only then is there anything to repair: most source files end here
        text = _repair(text)
    text = _CONTROL.sub("", text)
    return text.strip("\n") + "\n" if text.strip() else ""


def _repair(text: str) -> str:
    import ftfy

    return ftfy.fix_text(text, _config())


@cache
def _config() -> TextFixerConfig:
    import ftfy

    return ftfy.TextFixerConfig(
        unescape_html=False,
        remove_terminal_escapes=False,  # in source these are examples, not colours
        fix_latin_ligatures=False,
        fix_character_width=False,
        uncurl_quotes=False,
        fix_line_breaks=False,  # would break lines at U+2028 inside strings
        remove_control_chars=True,
        normalization="NFC",
        explain=False,
    )
