"""What several tests share."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data():
    """The folder with the published test sets, photographs and VGG19; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("SRGAN_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("needs the folder of data that SRGAN_DATA names")
    return folder
