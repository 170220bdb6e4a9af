"""Pages that the site takes from other places of the repository, so that they exist once."""

import os
import re
from pathlib import Path, PurePosixPath

from mkdocs.structure.files import File

REPOSITORY = Path(__file__).resolve().parent.parent
PAGES = {  # file in the repository: page of the site
    "README.md": "index.md",
    "srgan_tf/weights/MODEL_CARD.md": "model_card.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
}
ASSETS = {"CITATION.cff": "CITATION.cff", "LICENSE": "LICENSE", "examples/quickstart.ipynb": "quickstart.ipynb"}
LINK = re.compile(r"(\]\()([^)\s]+)(\))")


def on_files(files, config):
    """Adds the pages and files from outside of `docs/`."""
    for source, page in PAGES.items():
        text = (REPOSITORY / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=_relinked(text, source)))
    for source, target in ASSETS.items():
        files.append(File.generated(config, target, abs_src_path=str(REPOSITORY / source)))
    return files


def on_page_markdown(markdown, page, config, files):
    """Links from a page in `docs/` to files outside of it lead to their pages."""
    if page.file.src_uri in PAGES.values():
        return markdown  # done by on_files
    return _relinked(markdown, f"docs/{page.file.src_uri}")


def _relinked(text, source):
    """A text of the repository with its relative links as they are in the site."""

    def relink(match):
        path, hash_mark, anchor = match[2].partition("#")
        if not path or "://" in path or path.startswith("mailto:"):
            return match[0]
        target = os.path.normpath(PurePosixPath(source).parent / path).replace(os.sep, "/")
        target = (PAGES | ASSETS).get(target, target.removeprefix("docs/"))
        return f"{match[1]}{target}{hash_mark}{anchor}{match[3]}"

    return LINK.sub(relink, text)
