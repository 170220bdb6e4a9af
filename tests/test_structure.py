"""Import rules between the packages."""

import ast
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGE = REPOSITORY / "srgan_tf"
# Each package and those that it may import from, besides itself. `cli` is above all, and imported by none.
ALLOWED = {
    "system": set(),
    "imaging": {"system"},
    "weights": {"system"},
    "data": {"imaging", "system"},
    "models": {"imaging", "system"},
    "inference": {"data", "models", "weights", "imaging", "system"},
    "evaluation": {"inference", "data", "models", "weights", "imaging", "system"},
    "training": {"evaluation", "inference", "data", "models", "weights", "imaging", "system"},
}
WITHOUT_TENSORFLOW = ("imaging", "models")
FILES = sorted(path for path in REPOSITORY.rglob("*.py") if ".venv" not in path.parts and "build" not in path.parts)


def _imports(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(path):
    package = path.relative_to(PACKAGE).parts[0]
    for name in _imports(path):
        top, *rest = name.split(".")
        assert top not in ("config", "train", "evaluate"), f"{path} imports {name}"
        if top == "srgan_tf" and rest and package in ALLOWED:
            assert rest[0] in ALLOWED[package] | {package}, f"{path} imports {name}"
        if package in WITHOUT_TENSORFLOW:
            assert top != "tensorflow", f"{path} imports {name}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_only_public_interfaces_are_used(path):
    for name in _imports(path):
        assert not name.startswith(("tensorflow.python", "keras.src")), f"{path} imports {name}"


def test_the_lean_requirements_are_those_of_the_package():
    import configparser

    setup = configparser.ConfigParser()
    setup.read(REPOSITORY / "setup.cfg", encoding="utf-8")

    def lines(text):
        return {line.partition(";")[0].strip() for line in text.splitlines() if line and not line.startswith("#")}

    required = lines(setup["options"]["install_requires"])
    lean = lines((REPOSITORY / "requirements-cpu.txt").read_text(encoding="utf-8"))
    assert {line for line in required if not line.startswith(("tensorflow[", "tensorlayerx"))} == lean
