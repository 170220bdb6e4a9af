"""Reads whole files up to a maximum size."""

from pathlib import Path

TEXT_BYTES = 4 * 2**20  # settings, lists and results: some thousand lines
LISTING_BYTES = 2**29  # an entry for each of some million images


def read_bounded(path: Path | str, most: int = TEXT_BYTES) -> bytes:
    """The content of a file, device or pipe of at most `most` bytes.

    Raises:
        ValueError: It has more.
        OSError: It cannot be read.
    """
    with open(path, "rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"longer than {most >> 20:,} MiB")
    return content
