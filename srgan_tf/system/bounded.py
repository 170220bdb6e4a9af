"""Files that are read whole, and no further than files of their kind are long."""

from pathlib import Path

TEXT_BYTES = 4 * 2**20  # settings, lists and results: some thousand lines
LISTING_BYTES = 2**29  # what is known of each of some million pictures


def read_bounded(path: Path | str, most: int = TEXT_BYTES) -> bytes:
    """What is in a file of `most` bytes at most, or in a device or pipe without end.

    Raises:
        ValueError: It has more, of which no more were read.
        OSError: It cannot be read.
    """
    with open(path, "rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"longer than {most >> 20:,} MiB")
    return content
