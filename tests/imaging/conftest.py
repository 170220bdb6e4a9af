import pytest


@pytest.fixture
def no_pictures(tmp_path):
    """Files in `tmp_path` that are no pictures: pairs of the name and how the reason begins."""
    (tmp_path / "text.png").write_text("not an image at all")
    (tmp_path / "empty.png").touch()
    # PostScript is a picture to Pillow, which would run Ghostscript on it.
    (tmp_path / "script.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    return [
        ("text.png", "not an image"),
        ("empty.png", "the file is empty"),
        ("missing.png", "no such file"),
        ("script.png", "not a"),
        (".", "a folder, not an image"),
    ]
