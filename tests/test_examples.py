"""The notebook's cells, run one after the other, and what the image of the Dockerfile is made of."""

import json
import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
NOTEBOOK = REPOSITORY / "examples" / "quickstart.ipynb"


def test_the_notebook_runs_and_has_no_outputs(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(NOTEBOOK.parent)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    names: dict = {}
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    for cell in cells:
        if cell["cell_type"] == "code":
            assert not cell["outputs"] and cell["execution_count"] is None
            exec(compile("".join(cell["source"]), cell["id"], "exec"), names)
    shown = capsys.readouterr().out
    scores = {name: float(decibels) for name, decibels in re.findall(r"^(\w+) +(\d+\.\d\d) dB", shown, re.MULTILINE)}
    assert scores["bicubic"] < scores["srgan"] < scores["srresnet"]
    assert scores["bicubic"] < scores["mine"]
    assert "exported to" in shown and (names["work"] / "exported" / "saved_model.pb").is_file()


def test_the_dockerfile_copies_what_the_context_has():
    copied = re.findall(r"^COPY (.*) \S+$", (REPOSITORY / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    sources = {source for line in copied for source in line.split()}
    kept = re.findall(r"^!(.+)$", (REPOSITORY / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE)
    assert sources == set(kept) and all((REPOSITORY / source).exists() for source in sources)
