"""README and docs/: what they link to, and the commands that they show."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
README = REPOSITORY / "README.md"
PAGES = [
    README,
    REPOSITORY / "CHANGELOG.md",
    REPOSITORY / "CONTRIBUTING.md",
    REPOSITORY / "srgan_tf/weights/MODEL_CARD.md",
    *sorted((REPOSITORY / "docs").glob("*.md")),
]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def _prose(path):
    return BLOCK.sub("", path.read_text(encoding="utf-8"))


def _anchors(path):
    """The anchors of a page's headings, as GitHub and MkDocs make them of plain words."""
    headings = re.findall(r"^#+ (.*)$", _prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_readme_is_short():
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(page):
    for link in LINK.findall(_prose(page)):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.is_file(), f"{page}: {link}"
        assert not anchor or anchor in _anchors(target), f"{page}: {link}"


def test_the_workflow_runs_the_two_lines_of_the_readme():
    first, second = [text for _, text in BLOCK.findall(README.read_text(encoding="utf-8"))][0].splitlines()
    assert first.endswith(" && python evaluate.py --mode=evaluate")
    workflow = (REPOSITORY / ".github/workflows/test.yml").read_text(encoding="utf-8").splitlines()
    assert {first, second} <= {line.strip() for line in workflow}


@pytest.mark.skipif(importlib.util.find_spec("mkdocs") is None, reason="the extra docs is not installed")
def test_the_site_is_built_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=REPOSITORY, env=os.environ, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    for page in ("index.html", "model_card/index.html", "changelog/index.html", "contributing/index.html"):
        assert (tmp_path / "site" / page).is_file()
    assert "upscale_strips" in (tmp_path / "site/api/index.html").read_text(encoding="utf-8")
