"""README and docs/: what they link to, and the commands that they show."""

import dataclasses
import importlib
import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import evaluate
import train
from srgan_tf.cli import main

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
INLINE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
PROGRAMS = {"srgan": main.main, "train.py": train.main, "evaluate.py": evaluate.main}
COMMAND = re.compile(r"(?:(?<=^)|(?<=\s))(?:srgan|train\.py|evaluate\.py)\s.*")
FLAGS_OF_OTHERS = {"runner", "list", "help"}  # Apache Beam's, and what every mode has
FUNCTION = re.compile(r"^(\w+)\(\) \{ (.*) \"\$@\"; \}$")


def _prose(path):
    return BLOCK.sub("", path.read_text(encoding="utf-8"))


def _anchors(path):
    """The anchors of a page's headings, as GitHub and MkDocs make them of plain words."""
    headings = re.findall(r"^#+ (.*)$", _prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _commands(text):
    """The command lines of this project in a text for the shell, each as its words from the program's name on.

    A call of a shell function, `run() { python train.py --batch_size=8 "$@"; }`, counts as the command in it.
    """
    functions = {}
    for line in text.replace("\\\n", " ").splitlines():
        called = line.split(" ", 1)[0]
        if called in functions:
            line = f"{functions[called]} {line[len(called) :]}"
        elif function := FUNCTION.match(line):
            functions[function[1]] = function[2]
            continue
        if command := COMMAND.search(line):
            words = shlex.split(command[0].rstrip("'"), comments=True)
            ends = [index for index, word in enumerate(words) if word in ("|", ">", "&&")]
            yield [word for word in words[: min(ends, default=None)] if not word.startswith("$")]


def _inline(text):
    """What a page has in backquotes, without the code blocks."""
    return INLINE.findall(BLOCK.sub("", text))


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


@pytest.fixture
def run_only_parses(monkeypatch):
    """Every mode ends where its work would begin."""
    modules = [importlib.import_module(module) for module, _ in main.MODES.values()]
    for module in modules:
        monkeypatch.setattr(module, "run", lambda settings: 0)
    return modules


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_commands_are_understood(page, run_only_parses, capsys):
    text = page.read_text(encoding="utf-8")
    blocks = [block for language, block in BLOCK.findall(text) if language in ("bash", "yaml")]
    commands = [words for block in blocks for words in _commands(block)]
    inline = [words for code in _inline(text) if "..." not in code for words in _commands(code)]
    commands += [words for words in inline if len(words) > 2 and "--help" not in words]  # not a mode's mere name
    for words in commands:
        assert PROGRAMS[words[0]](words) == 0, (words, capsys.readouterr().err)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_flags_exist(page, run_only_parses):
    known = {field.name for module in run_only_parses for field in dataclasses.fields(module.Settings)}
    if page.name == "CHANGELOG.md":
        return  # it names those that were removed
    for code in _inline(page.read_text(encoding="utf-8")):
        for flag in re.findall(r"^--(\w+)", code):
            assert flag in known | FLAGS_OF_OTHERS, f"{page}: {code}"


@pytest.mark.skipif(importlib.util.find_spec("mkdocs") is None, reason="the extra docs is not installed")
def test_the_site_is_built_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=REPOSITORY, env=os.environ, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    for page in ("index.html", "model_card/index.html", "changelog/index.html", "contributing/index.html"):
        assert (tmp_path / "site" / page).is_file()
    assert "upscale_strips" in (tmp_path / "site/api/index.html").read_text(encoding="utf-8")
