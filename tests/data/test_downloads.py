import dataclasses
import hashlib
import http.server
import io
import os
import shutil
import socket
import stat
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from srgan_tf.data import downloads, folders
from srgan_tf.system.errors import UserError

MEMBER = "SelfExSR-master/data/{}/image_SRF_{}/img_{:03d}_SRF_{}_{}.png"
SIDE = 128
CUT = 3 * downloads._CHUNK_BYTES  # bytes, about a third of the archive


class Server(http.server.ThreadingHTTPServer):
    """Serves `body` to any GET; `plan` has what each further request does instead, see `Handler`."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.body, self.plan, self.ranges, self.release = b"", [], [], threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}/archive.zip"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server, body = self.server, self.server.body
        server.ranges.append(self.headers["Range"])
        plan = server.plan.pop(0) if server.plan else {}
        status, first = plan.get("status", 200), 0
        if self.headers["Range"] and plan.get("ranges", True) and status == 200:
            status, first = 206, int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        if plan.get("chunked"):
            self.protocol_version = "HTTP/1.1"
        self.send_response(status)
        if status == 206:
            first = plan.get("start", first)
            self.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
        body = body[first:]
        sent = body[: plan.get("cut", len(body))]
        if plan.get("chunked"):
            self.send_header("Transfer-Encoding", "chunked")
            self.send_header("Connection", "close")
            ending = b"\r\n0\r\n\r\n" if len(sent) == len(body) else b""
            sent = f"{len(body):x}\r\n".encode() + sent + ending
        elif plan.get("length", True) is not None:
            self.send_header("Content-Length", str(plan.get("length", len(body))))
        self.end_headers()
        self.wfile.write(sent)
        self.wfile.flush()
        if plan.get("stall"):
            server.release.wait(20)
        self.close_connection = True

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        yield server
        server.release.set()
        server.shutdown()


def _encoded(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def _png(side, seed):
    return _encoded(np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8))


def _zip(members, **options):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", **options) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def _members(count=3, folder="Set5"):
    members = {"SelfExSR-master/README.md": "text", MEMBER.format(folder, 2, 1, 2, "HR"): _png(8, 99)}
    for number in range(1, count + 1):
        members[MEMBER.format(folder, 4, number, 4, "HR")] = _png(SIDE, number)
        members[MEMBER.format(folder, 4, number, 4, "LR")] = _png(SIDE // 4, 10 + number)
    return members


def _serve(server, monkeypatch, body, sha256=True, count=3, **changes):
    """Makes `body` the archive of set5 and set14, the latter with one picture, its SHA-256 and size known or not."""
    server.body = body
    known = {"size": len(body), "sha256": hashlib.sha256(body).hexdigest()} if sha256 else {}
    archive = downloads.Archive("archive.zip", server.url, **known | changes)
    sets = {
        "set5": dataclasses.replace(downloads.SETS["set5"], archive=archive, count=count, pixels=None),
        "set14": dataclasses.replace(downloads.SETS["set14"], archive=archive, count=1, pixels=None),
    }
    monkeypatch.setattr(downloads, "SETS", downloads.SETS | sets)
    monkeypatch.setattr(downloads, "_RETRY_DELAYS", (0, 0, 0))


def _find_set(name, cache):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SRGAN_CACHE", str(cache))
        return downloads.find_set(name)


def _refused(cache, match):
    with pytest.raises(UserError, match=match) as caught:
        _find_set("set5", cache)
    assert "\n" not in str(caught.value)
    assert not (cache / "set5").exists() and not list(cache.glob(".set5*"))


def _intact(folder):
    pairs = folders.find_pairs(folder)
    assert [pair.name for pair in pairs] == ["img_001", "img_002", "img_003"]
    for number, pair in enumerate(pairs, 1):
        assert pair.hr.read_bytes() == _png(SIDE, number)
        assert pair.lr.read_bytes() == _png(SIDE // 4, 10 + number)


def test_a_folder_is_returned_as_it_is(tmp_path, monkeypatch):
    (tmp_path / "set5").mkdir()
    monkeypatch.chdir(tmp_path)
    assert _find_set("set5", tmp_path / "cache") == Path("set5")
    assert downloads.find_set(tmp_path) == tmp_path


def test_unknown_names_are_told_the_known_ones(tmp_path):
    with pytest.raises(UserError, match="set6: no such folder, .*: set5, set14, bsd100, urban100, div2k-train, div2k-"):
        _find_set("set6", tmp_path)
    with pytest.raises(UserError, match="no such folder"):
        _find_set("", tmp_path)
    with pytest.raises(UserError, match=r"\.py: not a folder"):
        _find_set(__file__, tmp_path)
    with pytest.raises(UserError, match="div2k-train .* or div2k-valid"):
        _find_set("DIV2K", tmp_path)


def test_the_published_archives():
    valid, train = downloads.SETS["div2k-valid"].archive, downloads.SETS["div2k-train"].archive
    assert train.url == "https://data.vision.ee.ethz.ch/cvl/DIV2K/DIV2K_train_HR.zip"
    assert (train.size, valid.size) == (3530603713, 448993893)
    assert train.sha256 == "9d0b9c463f6e35b6c62cc6a930ee2224f670b34c1df841a57670f9acf0f6c335"
    assert valid.sha256 == "20dd31fd84d777bc1cf5d6b7654a3f569c0aec74458ae094122ad1d0489900fc"
    assert [named.count for named in downloads.SETS.values()] == [5, 14, 100, 100, 800, 100]


@pytest.mark.parametrize("sha256", [True, False])
def test_a_set_is_fetched_once_and_then_needs_no_network(server, tmp_path, monkeypatch, sha256):
    _serve(server, monkeypatch, _zip(_members() | _members(1, "Set14")), sha256)
    monkeypatch.setenv("SRGAN_CACHE", str(tmp_path / "deep" / "cache"))
    cache = tmp_path / "deep" / "cache"
    assert downloads.find_set("Set5") == cache / "set5"
    _intact(cache / "set5")
    assert (cache / "archive.zip").exists()  # for set14
    assert downloads.find_set("SET14") == cache / "set14"
    assert downloads.find_set("set5") == cache / "set5"
    assert len(server.ranges) == 1
    assert {path.name for path in cache.iterdir()} == {"set5", "set14", ".archive.zip.lock"}


def test_without_lr_files_only_hr_is_there(server, tmp_path, monkeypatch):
    body = _zip({"DIV2K_valid_HR/": "", "DIV2K_valid_HR/0801.png": _png(8, 1), "DIV2K_valid_HR/0802.png": _png(8, 2)})
    _serve(server, monkeypatch, body)
    named = dataclasses.replace(downloads.SETS["div2k-valid"], archive=downloads.SETS["set5"].archive, count=2)
    monkeypatch.setattr(downloads, "SETS", {"div2k-valid": named})
    pairs = folders.find_pairs(_find_set("div2k-valid", tmp_path))
    assert [(pair.hr.name, pair.lr) for pair in pairs] == [("0801.png", None), ("0802.png", None)]
    assert not (tmp_path / "archive.zip").exists()


def test_a_broken_download_is_resumed(server, tmp_path, monkeypatch):
    _serve(server, monkeypatch, _zip(_members()))
    server.plan = [{"cut": CUT}, {"status": 503}, {"cut": CUT}]
    _intact(_find_set("set5", tmp_path))
    assert server.ranges == [None, f"bytes={CUT}-", f"bytes={CUT}-", f"bytes={2 * CUT}-"]


def test_a_later_run_goes_on(server, tmp_path, monkeypatch):
    _serve(server, monkeypatch, _zip(_members()))
    server.plan = [{"cut": CUT}] + [{"cut": 0}] * 3
    _refused(tmp_path, r"127\.0\.0\.1.*broke off.*check the network, or .* put it at .*archive\.zip")
    assert len(server.ranges) == 4
    _intact(_find_set("set5", tmp_path))
    assert server.ranges[4] == f"bytes={CUT}-"


@pytest.mark.parametrize("deaf", [{"ranges": False}, {"status": 416}, {"start": 0}])
def test_a_server_that_cannot_resume_begins_anew(server, tmp_path, monkeypatch, deaf):
    _serve(server, monkeypatch, _zip(_members()))
    server.plan = [{"cut": CUT}, deaf]
    _intact(_find_set("set5", tmp_path))
    assert server.ranges[1] == f"bytes={CUT}-"


@pytest.mark.parametrize("way", [{"chunked": True}, {"length": 200_000}])
def test_an_archive_of_unknown_content_begins_anew(server, tmp_path, monkeypatch, way):
    _serve(server, monkeypatch, _zip(_members()), sha256=False)
    server.plan = [{"cut": CUT} | way, {"chunked": True}]
    _intact(_find_set("set5", tmp_path))
    assert server.ranges == [None, None]


def test_parts_of_earlier_runs(server, tmp_path, monkeypatch):
    _serve(server, monkeypatch, _zip(_members()))
    (tmp_path / "archive.zip.part").write_bytes(b"?" * 50_000)
    _refused(tmp_path, "another SHA-256")
    (tmp_path / "archive.zip.part").write_bytes(b"?" * 900_000)
    _intact(_find_set("set5", tmp_path))
    assert server.ranges == ["bytes=50000-", None]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "archive.zip.part").write_bytes(server.body)
    _intact(_find_set("set5", tmp_path / "other"))
    assert len(server.ranges) == 2  # a complete one needs no network


def test_lies_about_the_size(server, tmp_path, monkeypatch):
    _serve(server, monkeypatch, _zip(_members()))
    size = len(server.body)
    server.plan = [{"length": size + 1}]
    _refused(tmp_path, f"{size + 1:,} bytes instead of {size:,}, not the published file; .*put it at")
    server.body += b"more"
    server.plan = [{"length": None}]
    _refused(tmp_path, f"more than {size:,} bytes")
    server.body = server.body[:-4]
    server.plan = [{"length": None, "cut": CUT}]  # the end of the connection is the end of the file
    (tmp_path / "archive.zip.part").unlink()
    _intact(_find_set("set5", tmp_path))
    assert server.ranges[-1] == f"bytes={CUT}-"


def test_a_wrong_file_of_the_right_size(server, tmp_path, monkeypatch):
    right = _zip(_members())
    _serve(server, monkeypatch, right)
    server.body = right[:1000] + bytes([right[1000] ^ 1]) + right[1001:]
    _refused(tmp_path, "another SHA-256, not the published file")
    server.body = right
    _intact(_find_set("set5", tmp_path))


def test_a_page_or_nothing_instead_of_the_archive(server, tmp_path, monkeypatch):
    _serve(server, monkeypatch, b"<html>Please log in</html>", sha256=False)
    server.plan = [{"status": 404}]
    _refused(tmp_path, "the server answers 404; get it by other means")
    assert len(server.ranges) == 1
    _refused(tmp_path, "not a ZIP file, not the published file")
    assert not list(tmp_path.glob("archive*"))


@pytest.mark.parametrize("sha256", [True, False])
def test_without_network_one_line_says_what_to_do(tmp_path, monkeypatch, server, sha256):
    with socket.create_server(("127.0.0.1", 0)) as unused:
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/archive.zip"
    server.url = url
    _serve(server, monkeypatch, _zip(_members()), sha256)
    _refused(tmp_path, rf"^{url}: no connection to .*; check the network, or .* put it at {tmp_path / 'archive.zip'}")
    (tmp_path / "archive.zip").write_bytes(server.body)  # as told
    _intact(_find_set("set5", tmp_path))


@pytest.mark.parametrize("name", ["../out.png", "a/../../out.png", "/out.png", "..\\out.png", "C:\\out.png", "link"])
def test_members_that_lead_out_are_refused(server, tmp_path, monkeypatch, name):
    evil = zipfile.ZipInfo(name)
    if name == "link":
        evil.filename = MEMBER.format("Set5", 4, 3, 4, "HR")
        evil.external_attr = (stat.S_IFLNK | 0o777) << 16
    members = _members()
    members.pop(evil.filename, None)
    _serve(server, monkeypatch, _zip(members | {evil: b"/etc/passwd"}))
    _refused(tmp_path / "cache", "unsafe")
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


def test_bombs_and_duplicates_are_refused(server, tmp_path, monkeypatch):
    members = _members(2)
    big = MEMBER.format("Set5", 4, 3, 4, "{}")
    bomb = {big.format("HR"): bytes(10_000_000), big.format("LR"): b""}
    _serve(server, monkeypatch, _zip(members | bomb, compression=zipfile.ZIP_DEFLATED))
    _refused(tmp_path, "would expand to 10,")
    other = big.replace("SelfExSR-master", "other")
    _serve(server, monkeypatch, _zip(_members() | {other.format("HR"): b""}))
    _refused(tmp_path, "two files of one name")
    _serve(server, monkeypatch, _zip(_members(), compression=zipfile.ZIP_LZMA))
    _refused(tmp_path, "packed in an unusual way")


def test_incomplete_and_damaged_archives(server, tmp_path, monkeypatch):
    missing = _members()
    del missing[MEMBER.format("Set5", 4, 2, 4, "LR")]
    _serve(server, monkeypatch, _zip(missing), sha256=False)
    _refused(tmp_path, r"archive\.zip: .* 3 HR and 2 LR images instead of 3; remove it to fetch it again")
    _serve(server, monkeypatch, _zip({"a.txt": b"a"}), sha256=False)
    _refused(tmp_path, "3 HR and 2 LR")  # the archive is kept until it is removed
    (tmp_path / "archive.zip").unlink()
    _refused(tmp_path, "0 HR and 0 LR")
    (tmp_path / "archive.zip").write_bytes(_zip(_members()).replace(_png(SIDE, 2)[1000:1010], b"x" * 10))
    _refused(tmp_path, "Bad CRC")
    (tmp_path / "archive.zip").write_bytes(_zip(_members() | {MEMBER.format("Set5", 4, 2, 4, "HR"): b"no image"}))
    _refused(tmp_path, r"img_002\.png: not an image")


def test_room_for_the_cache_is_checked_first(server, tmp_path, monkeypatch):
    with pytest.raises(UserError, match="set SRGAN_CACHE to a folder that can be written to"):
        _find_set("set5", Path(__file__, "cache"))
    _serve(server, monkeypatch, _zip(_members()))
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=2 * len(server.body) - 1))
    _refused(tmp_path, "1 MB are needed .* make room or set SRGAN_CACHE")
    assert not (tmp_path / "archive.zip.part").exists()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=2 * len(server.body)))
    _intact(_find_set("set5", tmp_path))
    (tmp_path / "hand").mkdir()
    (tmp_path / "hand" / "archive.zip").write_bytes(server.body)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=6 * SIDE * SIDE))
    _refused(tmp_path / "hand", "make room")


SCRIPT = """
import dataclasses, os, sys
from srgan_tf.data import downloads
url, size, sha256, os.environ["SRGAN_CACHE"] = sys.argv[1:]
archive = downloads.Archive("archive.zip", url, int(size), sha256)
downloads.SETS["set5"] = dataclasses.replace(downloads.SETS["set5"], archive=archive, count=3, pixels=None)
print(downloads.find_set("set5"))
"""


def _process(server, cache):
    arguments = [server.url, str(len(server.body)), hashlib.sha256(server.body).hexdigest(), str(cache)]
    environment = os.environ | {"PYTHONPATH": str(Path(downloads.__file__).parents[2])}
    command = [sys.executable, "-c", SCRIPT, *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_processes_wait_for_each_other_and_outlive_a_killed_one(server, tmp_path):
    server.body = _zip(_members())
    server.plan = [{"cut": 2 * CUT, "stall": True}]
    first = _process(server, tmp_path)
    part = tmp_path / "archive.zip.part"
    while not part.exists() or not part.stat().st_size:
        assert first.poll() is None, first.stderr.read()
        time.sleep(0.01)
    others = [_process(server, tmp_path) for _ in range(2)]
    for other in others:
        assert "waiting for it" in other.stderr.readline()
    assert server.ranges == [None]
    first.kill()
    first.wait()
    for other in others:
        out, error = other.communicate(timeout=20)
        assert (other.returncode, out.split()[-1]) == (0, str(tmp_path / "set5")), error
    assert len(server.ranges) == 2 and int(server.ranges[1].strip("bytes=-")) > 0
    _intact(tmp_path / "set5")


def _digest(folder):
    """`pixels_digest` written anew, with Pillow alone."""
    digests = []
    for path in folder.glob("*/*.png"):
        rgb = Image.open(path).convert("RGB")
        head = f"{path.parent.name} {rgb.height} {rgb.width} ".encode()
        digests.append(hashlib.sha256(head + rgb.tobytes()).hexdigest())
    return hashlib.sha256("".join(sorted(digests)).encode()).hexdigest()


@pytest.mark.parametrize("name", ["Set5", "Set14", "BSD100"])
def test_digests_are_those_of_the_published_pictures(shared_data, name):
    assert _digest(shared_data / "benchmarks" / name) == downloads.SETS[name.lower()].pixels


def test_pictures_of_an_archive_that_is_packed_anew_are_checked(server, shared_data, tmp_path, monkeypatch):
    published = shared_data / "benchmarks" / "Set5"
    members, pixels = {}, downloads.SETS["set5"].pixels
    for path in published.glob("*/*.png"):
        members[MEMBER.format("Set5", 4, int(path.stem), 4, path.parent.name)] = path.read_bytes()
    _serve(server, monkeypatch, _zip(members), sha256=False, count=5)
    monkeypatch.setitem(downloads.SETS, "set5", dataclasses.replace(downloads.SETS["set5"], pixels=pixels))
    folder = _find_set("set5", tmp_path / "right")
    assert [pair.lr.name for pair in folders.find_pairs(folder)] == [f"img_{number:03d}.png" for number in range(1, 6)]

    name = MEMBER.format("Set5", 4, 3, 4, "HR")
    changed = np.array(Image.open(io.BytesIO(members[name])))
    changed[7, 7, 1] ^= 1
    server.body = _zip(members | {name: _encoded(changed)})
    _refused(tmp_path / "wrong", "other pixels than the published images; remove it .* or unpack it yourself")
