"""Prints text safely on a terminal."""

import re
from typing import TextIO

# Control characters, C0 and C1; line separators; characters that change the direction of writing.
_COMMANDS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def printable(text: object) -> str:
    """Text in one line, with control characters escaped as in Python, `\\x1b` or `\\n`, so that a file's name, for
    example, cannot control the terminal."""
    return _COMMANDS.sub(lambda found: found[0].encode("unicode_escape").decode(), str(text))


def counted(number: int, noun: str) -> str:
    """A number of things: `1 step`, `2 steps`, `1,000 steps`."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def say(*lines: object, file: TextIO | None = None) -> None:
    """Prints lines, each made `printable`, to standard output or another file."""
    if lines:
        print(*map(printable, lines), sep="\n", file=file, flush=True)
