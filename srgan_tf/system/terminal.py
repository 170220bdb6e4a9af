"""Text as a terminal shows it."""

import re
from typing import TextIO

# Control characters, C0 and C1; what separates lines; what turns the direction of writing.
_COMMANDS = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def printable(text: object) -> str:
    """One line of text, such as one with the name of a file, that cannot command a terminal nor break the line: with
    control characters as Python writes them, `\\x1b`, `\\n`."""
    return _COMMANDS.sub(lambda found: found[0].encode("unicode_escape").decode(), str(text))


def say(*lines: object, file: TextIO | None = None) -> None:
    """Prints lines, each as `printable` has it, to standard output or another file."""
    if lines:
        print(*map(printable, lines), sep="\n", file=file, flush=True)
