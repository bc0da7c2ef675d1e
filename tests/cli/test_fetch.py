"""`models --fetch`: what is asked and said, whole files or none, resumed downloads; from a server on this machine."""

import hashlib
import json
import re
import socket
import threading
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch

from talkface_core import checkpoints
from talkface_core.cli import fetch as fetching
from talkface_core.cli import public_weights
from talkface_core.cli.public_file import LICENCES, PublicFile, PublicWeights
from talkface_core.cli.public_weights import PUBLIC
from tests.ladtalk.restoreformer_golden import small_file


@dataclass
class Site:
    """Files by path, and how the server behaves: it stops after `cut` bytes of an answer, and tells ranges or not."""

    files: dict[str, bytes] = field(default_factory=dict)
    cut: int | None = None
    ranges: bool = True
    leads: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    address: str = ""


@pytest.fixture(scope="module")
def server():
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            wanted = self.headers.get("Range")
            site.asked.append((self.path, wanted))
            if self.path in site.leads:
                self.send_response(302)
                self.send_header("Location", site.leads[self.path])
                self.end_headers()
                return
            content = site.files.get(self.path)
            if content is None:
                self.send_error(404)
                return
            etag, begin = f'"{hashlib.md5(content).hexdigest()}"', 0
            if wanted and site.ranges and self.headers.get("If-Range") == etag:
                begin = int(wanted.removeprefix("bytes=").removesuffix("-"))
            self.send_response(206 if begin else 200)
            self.send_header("ETag", etag)
            self.send_header("Content-Length", str(len(content) - begin))
            self.end_headers()
            self.wfile.write(content[begin:][: site.cut])

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        site.address = f"http://127.0.0.1:{running.server_port}"
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield site
        running.shutdown()
        thread.join()


@pytest.fixture
def site(server, tmp_path, monkeypatch):
    """The server with one small file of public weights, which `--fetch small` names."""
    content = small_file(tmp_path / "made.ckpt").read_bytes()
    (tmp_path / "made.ckpt").unlink()
    server.__dict__.update(files={"/small.ckpt": content}, cut=None, ranges=True, leads={}, asked=[])
    file = PublicFile(
        "small.ckpt", f"{server.address}/small.ckpt", len(content), hashlib.sha256(content).hexdigest(), True
    )
    offer(monkeypatch, file)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("no_proxy", "*")
    return server


def offer(monkeypatch, *files, **changes):
    weights = PublicWeights("small", "https://page.example", "free", "MIT", "tests", "ladtalk", files)
    monkeypatch.setattr(public_weights, "PUBLIC", (replace(weights, **changes),))


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_the_file_is_said_fetched_checked_and_converted(site, talkface, tmp_path):
    ended = talkface("models", "--fetch", "small", "--yes", "--json")
    assert ended.status == 0, ended.err
    for said in ("small: tests", "licence: free (MIT)", "1 checked by sha256", f"{site.address}/small.ckpt"):
        assert said in ended.err
    assert json.loads(ended.out)["output"] == "small.safetensors"
    assert checkpoints.read_header(tmp_path / "small.safetensors").system == "ladtalk"
    assert names(tmp_path) == ["small.safetensors"]
    assert "is there already" in talkface("models", "--fetch", "small", "--yes").err
    assert len(site.asked) == 1


def test_nothing_is_fetched_unasked(site, talkface, tmp_path, monkeypatch):
    class Terminal:
        def __init__(self, answer):
            self.answer = answer

        def isatty(self):
            return self.answer is not None

        def readline(self):
            return self.answer

    for answer, said in ((None, "add --yes"), ("\n", "not fetched"), ("nope\n", "not fetched"), ("", "not fetched")):
        monkeypatch.setattr("sys.stdin", Terminal(answer))
        ended = talkface("models", "--fetch", "small")
        assert ended.status == 2
        assert said in ended.err
    assert site.asked == []
    assert names(tmp_path) == []
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    assert talkface("models", "--fetch", "small").status == 0


def test_a_lost_connection_is_gone_on_with(site, talkface, tmp_path):
    size = len(site.files["/small.ckpt"])
    site.cut = size // 3
    ended = talkface("models", "--fetch", "small", "--yes", "--quiet")
    assert (ended.status, ended.err.count("\n")) == (2, 1)
    assert "run the same command again" in ended.err
    assert (tmp_path / ".small.fetched" / "small.ckpt.part").stat().st_size == site.cut
    site.cut = None
    assert talkface("models", "--fetch", "small", "--yes").status == 0
    assert site.asked[-1] == ("/small.ckpt", f"bytes={size // 3}-")
    assert names(tmp_path) == ["small.safetensors"]


@pytest.mark.parametrize("changed", [True, False], ids=["another file lies there", "no ranges"])
def test_what_cannot_be_gone_on_with_is_begun_anew(site, talkface, tmp_path, monkeypatch, changed):
    site.cut = 1000
    assert talkface("models", "--fetch", "small", "--yes").status == 2
    site.cut, site.ranges = None, changed
    if changed:
        content = small_file(tmp_path / "made.ckpt", seed=1).read_bytes()
        (tmp_path / "made.ckpt").unlink()
        site.files["/small.ckpt"] = content
        offer(monkeypatch, PublicFile("small.ckpt", f"{site.address}/small.ckpt", len(content)))
    assert talkface("models", "--fetch", "small", "--yes").status == 0
    assert names(tmp_path) == ["small.safetensors"]


def test_a_wrong_file_is_removed(site, talkface, tmp_path, monkeypatch):
    file = PUBLIC_FILE(site)
    for wrong, said in (
        (replace(file, sha256="0" * 64), "its sha256 is"),
        (replace(file, size=5), "the published file has 5"),
        (replace(file, url=f"{site.address}/other"), "answers 404"),
    ):
        offer(monkeypatch, wrong)
        ended = talkface("models", "--fetch", "small", "--yes", "--quiet")
        assert ended.status == 2
        assert said in ended.err
        assert "https://page.example" in ended.err
        assert ended.err.count("\n") == 1
        assert names(tmp_path) == []


def test_a_file_that_no_converter_takes_is_removed(site, talkface, tmp_path, monkeypatch):
    torch.save({"weights": torch.zeros(3)}, tmp_path / "made.ckpt")
    site.files["/small.ckpt"] = (tmp_path / "made.ckpt").read_bytes()
    (tmp_path / "made.ckpt").unlink()
    offer(monkeypatch, PublicFile("small.ckpt", f"{site.address}/small.ckpt", 1))
    ended = talkface("models", "--fetch", "small", "--yes", "--quiet")
    assert (ended.status, names(tmp_path)) == (2, [])
    assert "expected" in ended.err


def test_without_a_net_one_line_says_so(site, talkface, tmp_path, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        offer(monkeypatch, PublicFile("small.ckpt", f"http://127.0.0.1:{free.getsockname()[1]}/small.ckpt", 1))
        ended = talkface("models", "--fetch", "small", "--yes", "--quiet")
    assert ended.status == 2
    assert "is this machine online?" in ended.err
    assert names(tmp_path) == []


def test_an_address_that_leads_elsewhere_is_not_followed(site, talkface, tmp_path, monkeypatch):
    site.leads = {"/moved": f"{site.address}/small.ckpt", "/away": "ftp://127.0.0.1/small.ckpt"}
    offer(monkeypatch, replace(PUBLIC_FILE(site), url=f"{site.address}/away"))
    assert talkface("models", "--fetch", "small", "--yes").status == 2
    assert names(tmp_path) == []
    offer(monkeypatch, replace(PUBLIC_FILE(site), url=f"{site.address}/moved"))
    assert talkface("models", "--fetch", "small", "--yes").status == 0


def test_an_instrument_keeps_its_own_kind(site, talkface, tmp_path, monkeypatch):
    offer(monkeypatch, PUBLIC_FILE(site), system="")
    ended = talkface("models", "--fetch", "small", "--yes", "-o", "small.safetensors")
    assert "the name of small ends in .ckpt" in ended.err
    assert talkface("models", "--fetch", "small", "--yes").status == 0
    assert names(tmp_path) == ["small.ckpt"]
    assert (tmp_path / "small.ckpt").read_bytes() == site.files["/small.ckpt"]


def test_what_a_host_loads_itself_stays_as_it_is(site, talkface, tmp_path, monkeypatch):
    file = replace(PUBLIC_FILE(site), name="small.safetensors")
    offer(monkeypatch, file, system="", models="vae")
    pack = tmp_path / "ComfyUI" / "custom_nodes" / "TalkFace"
    (tmp_path / "ComfyUI" / "models").mkdir(parents=True)
    monkeypatch.setattr(fetching, "PACK", pack)
    assert talkface("models", "--fetch", "small", "--yes").status == 0
    written = tmp_path / "ComfyUI" / "models" / "vae" / "small.safetensors"
    assert written.read_bytes() == site.files["/small.ckpt"]
    assert names(written.parent) == ["small.safetensors"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--fetch nobody", "no such public weights; choose one of small"),
        ("--fetch small --yes -o x.pt", "ends in .safetensors"),
        ("--fetch small --yes -o missing/x.safetensors", "missing does not exist"),
        ("--fetch small --convert x.ckpt", "give one of the two"),
        ("ada --fetch small", "what is 'ada' for?"),
        ("--yes", "--yes belongs to --fetch"),
    ],
)
def test_wrong_calls(site, talkface, tmp_path, flags, message):
    ended = talkface("models", *flags.split())
    assert ended.status == 2
    assert message in ended.err
    assert site.asked == []
    assert names(tmp_path) == []


def test_what_only_a_browser_gets_is_said(site, talkface, monkeypatch):
    offer(monkeypatch, PublicFile("small.ckpt"))
    ended = talkface("models", "--fetch", "small", "--yes")
    assert ended.status == 2
    assert "https://page.example" in ended.err
    assert "models --convert small.ckpt -o small.safetensors" in ended.err


def test_a_full_disk_is_said_before_anything_is_asked(site, talkface, monkeypatch):
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 10}))
    ended = talkface("models", "--fetch", "small", "--yes")
    assert "are needed on the disk" in ended.err
    assert site.asked == []


def test_two_do_not_fetch_the_same_at_once(site, talkface, tmp_path):
    folder = tmp_path / ".small.fetched"
    folder.mkdir()
    (folder / "lock").write_text("1")
    assert "another process (1) fetches" in talkface("models", "--fetch", "small", "--yes").err
    (folder / "lock").write_text("99999999")  # of one that was killed
    assert talkface("models", "--fetch", "small", "--yes").status == 0


def PUBLIC_FILE(site):
    content = site.files["/small.ckpt"]
    digest = hashlib.sha256(content).hexdigest()
    return PublicFile("small.ckpt", f"{site.address}/small.ckpt", len(content), digest, True)


@pytest.mark.parametrize("weights", PUBLIC, ids=lambda weights: weights.name)
def test_the_table_is_whole_and_listed(talkface, weights):
    assert weights.licence in LICENCES
    assert weights.page.startswith("https://")
    for file in weights.files:
        assert not file.url or (file.url.startswith("https://") and file.url.endswith(file.name))
        assert re.fullmatch(r"([0-9a-f]{64})?", file.sha256)
        assert not file.exact or file.size > 0
    listed = talkface("models").out
    assert re.search(rf"^{re.escape(weights.name)} +{weights.licence} ", listed, re.MULTILINE)
