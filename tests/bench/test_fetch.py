"""Fetching official files, against a server on this machine that misbehaves as real ones do."""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import json
import os
import queue
import random
import subprocess
import sys
import threading
import zipfile
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bench.datasets.base import OfficialFile
from bench.fetching import download, fetch
from bench.fetching.checksums import LEDGER
from bench.fetching.download import DiskFull, Patience, Unavailable, check_redirect
from bench.fetching.fetch import ByHand, Fetcher, FetchError, check_room

CONTENT = random.Random(0).randbytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MD5 = hashlib.md5(CONTENT).hexdigest()
OTHER = random.Random(1).randbytes(300_000)


class Server:
    """Answers each path by a function of the handler; keeps what was asked."""

    def __init__(self) -> None:
        self.answers = {}
        self.asked = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked.append((self.path, dict(self.headers)))
                outer.answers[self.path](self)

            def log_message(self, *_):
                pass

            def handle(self):
                with suppress(ConnectionError):  # clients that are killed
                    super().handle()

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.http.server_port}{path}"

    def count(self, path: str) -> int:
        return sum(one == path for one, _ in self.asked)


@pytest.fixture
def server():
    one = Server()
    yield one
    one.http.shutdown()
    one.http.server_close()


def status(code, **headers):
    def answer(handler):
        handler.send_response(code)
        for key, value in headers.items():
            handler.send_header(key.replace("_", "-"), value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def body(content=CONTENT, *, breaks=(), etag='"1"', ranges=True, length=True):
    """A file; ``breaks`` are bytes after which the first answers end without a word."""
    left = list(breaks)

    def answer(handler):
        start, asked = 0, handler.headers.get("Range")
        condition = handler.headers.get("If-Range")
        if asked and ranges and (condition is None or condition == etag):
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                return status(416, Content_Range=f"bytes */{len(content)}")(handler)
        piece = content[start:]
        handler.send_response(206 if start else 200)
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if etag:
            handler.send_header("ETag", etag)
        if length:
            handler.send_header("Content-Length", str(len(piece)))
        handler.end_headers()
        handler.wfile.write(piece[: left.pop(0)] if left else piece)
        handler.close_connection = True
        return None

    return answer


def in_turn(*answers):
    left = list(answers)
    return lambda handler: (left.pop(0) if len(left) > 1 else left[0])(handler)


class Run:
    """A fetcher that does not wait, with what it said and how long it would have waited."""

    def __init__(self, root, **options) -> None:
        self.notes, self.waits = [], []
        self.fetcher = Fetcher(root, note=self.notes.append, sleep=self.waits.append, **options)
        self.folder = root / "toy"

    def __call__(self, file) -> str:
        return self.fetcher.fetch("toy", file)

    @property
    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.glob("*") if not path.name.startswith("."))

    @property
    def noted(self) -> dict:
        return json.loads((self.folder / LEDGER).read_text())


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path)


def official(server, *paths, **facts):
    facts = {"size": len(CONTENT), "sha256": SHA256, **facts}
    return OfficialFile("x.bin", tuple(server.url(path) for path in paths), **facts)


def test_a_file_is_fetched_checked_and_not_fetched_again(server, run):
    server.answers["/x"] = body()
    file = official(server, "/x")
    assert run(file).endswith("sha256 as recorded")
    assert (run.folder / "x.bin").read_bytes() == CONTENT
    assert run.names == ["x.bin"]
    assert run(file) == "present, sha256 as recorded"
    assert server.count("/x") == 1
    assert server.asked[0][1]["User-Agent"].startswith("bench-disentanglement/")
    assert server.asked[0][1]["Accept-Encoding"] == "identity"
    assert run.fetcher.verify("toy", file) == (True, "sha256 as recorded")


def test_a_connection_broken_twice_goes_on_where_it_was(server, run):
    server.answers["/x"] = body(breaks=(100_000, 50_000))
    run(official(server, "/x"))
    assert (run.folder / "x.bin").read_bytes() == CONTENT
    assert [headers.get("Range") for _, headers in server.asked] == [None, "bytes=100000-", "bytes=150000-"]
    assert run.waits == [1.0, 2.0]
    assert "going on from 100,000 bytes" in run.notes[0]


def test_bytes_that_come_make_patience_start_again(server, tmp_path):
    server.answers["/x"] = body(breaks=(30_000,) * 9)
    run = Run(tmp_path, patience=Patience(attempts=3, progress=10_000))
    run(official(server, "/x"))
    assert (run.folder / "x.bin").read_bytes() == CONTENT
    assert run.waits == [1.0] * 9


def test_a_broken_download_goes_on_in_another_call(server, tmp_path):
    server.answers["/x"] = body(breaks=(120_000, 0, 0))
    impatient = Run(tmp_path, patience=Patience(attempts=2))
    with pytest.raises(FetchError, match=r"could not be fetched.*the connection broke \(2 attempts\)"):
        impatient(official(server, "/x"))
    assert impatient.fetcher.state("toy", official(server, "/x")) == "partial"
    assert impatient.fetcher.to_fetch("toy", official(server, "/x")) == 180_000
    Run(tmp_path)(official(server, "/x"))
    assert server.asked[-1][1]["Range"] == "bytes=120000-"
    assert (tmp_path / "toy/x.bin").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("second", "ranges"),
    [
        pytest.param(body(OTHER, etag='"2"'), ["bytes=100000-"], id="the server sends it whole: If-Range"),
        pytest.param(body(OTHER, etag='"1"', ranges=False), ["bytes=100000-"], id="a server without ranges"),
        pytest.param(
            in_turn(lambda h: forced_range(h, 100_000, '"2"'), body(OTHER, etag='"2"')),
            ["bytes=100000-", None],
            id="a server that ignores If-Range",
        ),
        pytest.param(
            in_turn(lambda h: forced_range(h, 7, '"1"'), body(OTHER)), ["bytes=100000-", None], id="another range"
        ),
    ],
)
def test_a_file_that_changed_between_two_attempts_is_never_mixed(server, run, second, ranges):
    server.answers["/x"] = in_turn(body(breaks=(100_000,)), second)
    run(official(server, "/x", sha256=hashlib.sha256(OTHER).hexdigest()))
    assert (run.folder / "x.bin").read_bytes() == OTHER
    assert [headers.get("Range") for _, headers in server.asked[1:]] == ranges


def forced_range(handler, start, etag):
    handler.send_response(206)
    handler.send_header("Content-Range", f"bytes {start}-{len(OTHER) - 1}/{len(OTHER)}")
    handler.send_header("ETag", etag)
    handler.send_header("Content-Length", str(len(OTHER) - start))
    handler.end_headers()
    handler.wfile.write(OTHER[start:])


def test_a_part_that_is_complete_already_is_told_by_416(server, run):
    server.answers["/x"] = body()
    run.folder.mkdir()
    (run.folder / "x.bin.part").write_bytes(CONTENT)
    (run.folder / "x.bin.part.json").write_text(
        json.dumps({"address": server.url("/x"), "etag": '"1"', "modified": ""})
    )
    run(official(server, "/x"))
    assert server.count("/x") == 1
    assert run.names == ["x.bin"]


def test_a_part_longer_than_the_servers_file_is_begun_again(server, run):
    server.answers["/x"] = body()
    run.folder.mkdir()
    (run.folder / "x.bin.part").write_bytes(CONTENT + b"tail")
    (run.folder / "x.bin.part.json").write_text(
        json.dumps({"address": server.url("/x"), "etag": '"1"', "modified": ""})
    )
    run(official(server, "/x", size=None))
    assert [headers.get("Range") for _, headers in server.asked] == ["bytes=300004-", None]
    assert (run.folder / "x.bin").read_bytes() == CONTENT


def test_a_part_without_a_version_is_not_continued_unless_a_checksum_will_tell(server, tmp_path):
    for name, facts, expected in (("a", {}, "bytes=100000-"), ("b", {"sha256": ""}, None)):
        server.answers[f"/{name}"] = body(breaks=(100_000,), etag="")
        Run(tmp_path / name)(official(server, f"/{name}", **facts))
        assert server.asked[-1][1].get("Range") == expected
        assert (tmp_path / name / "toy/x.bin").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("answer", "waits"),
    [
        pytest.param(status(429, Retry_After="7"), [7.0], id="429 says how long"),
        pytest.param(status(503), [1.0], id="503"),
        pytest.param(status(500), [1.0], id="500"),
        pytest.param(lambda handler: handler.connection.close(), [1.0], id="hangs up"),
    ],
)
def test_what_passes_is_waited_for(server, run, answer, waits):
    server.answers["/x"] = in_turn(answer, body())
    run(official(server, "/x"))
    assert run.waits == waits
    assert (run.folder / "x.bin").read_bytes() == CONTENT


def test_without_a_network_nothing_is_waited_for(run, monkeypatch):
    import socket

    def fails(*arguments, **keywords):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fails)
    with pytest.raises(FetchError, match=r"nowhere.invalid: its name cannot be resolved \(is there a network\?\)$"):
        run(OfficialFile("x.bin", ("http://nowhere.invalid/x",)))
    assert run.waits == []


def test_a_server_that_refuses_connections_is_named_in_a_few_words(run):
    with pytest.raises(FetchError, match=r"127.0.0.1:1: .*Connection refused.* \(5 attempts\)$") as error:
        run(OfficialFile("x.bin", ("http://127.0.0.1:1/x",)))
    assert len(str(error.value)) < 200


def test_waiting_doubles_and_ends(server, run):
    server.answers["/x"] = status(503)
    with pytest.raises(FetchError, match=r"503 Service Unavailable \(5 attempts\)"):
        run(official(server, "/x"))
    assert run.waits == [1.0, 2.0, 4.0, 8.0]


def test_a_server_that_asks_for_hours_is_left_for_the_next(server, run):
    server.answers |= {"/x": status(429, Retry_After="7200"), "/y": body()}
    run(official(server, "/x", "/y"))
    assert run.waits == []
    assert "asks to wait 120 min" in run.notes[0]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        pytest.param(status(403), "403 Forbidden", id="403"),
        pytest.param(status(404), "404 Not Found", id="404"),
        pytest.param(body(b"  <!DOCTYPE html><p>Quota exceeded" + bytes(100)), "web page|wanted 300,000", id="a page"),
        pytest.param(body(CONTENT[:-1]), "has 299,999 bytes, wanted 300,000", id="another length"),
        pytest.param(body(OTHER), f"expected {SHA256}, got", id="another content"),
        pytest.param(lambda h: status(302, Location="ftp://127.0.0.1/x")(h), "redirects from http to ftp", id="to ftp"),
    ],
)
def test_the_next_mirror_is_asked_at_once(server, run, answer, reason):
    import re

    server.answers |= {"/bad": answer, "/good": body()}
    run(official(server, "/bad", "/good"))
    assert (run.folder / "x.bin").read_bytes() == CONTENT
    assert server.count("/bad") == 1
    assert run.waits == []
    assert re.search(reason, run.notes[0])


def test_a_web_page_is_no_file_even_where_nothing_is_known_of_it(server, run):
    server.answers["/x"] = body(b"\n<HTML><body>virus scan</body></HTML>", length=False)
    with pytest.raises(FetchError, match="web page"):
        run(official(server, "/x", size=None, sha256=""))
    assert run.names == []


def test_a_wrong_checksum_is_kept_aside_and_nothing_else_is(server, run):
    server.answers["/x"] = body(OTHER)
    with pytest.raises(FetchError) as error:
        run(official(server, "/x"))
    assert SHA256 in str(error.value)
    assert hashlib.sha256(OTHER).hexdigest() in str(error.value)
    assert "--accept-checksum" in str(error.value)
    assert run.names == ["x.bin.bad"]
    assert (run.folder / "x.bin.bad").read_bytes() == OTHER


def test_a_wrong_checksum_can_be_accepted_and_the_warning_stays_beside_the_data(server, tmp_path):
    server.answers["/x"] = body(OTHER)
    file = official(server, "/x")
    run = Run(tmp_path, accept=True)
    assert "--accept-checksum" in run(file)
    assert (run.folder / "x.bin").read_bytes() == OTHER
    assert SHA256 in run.noted["x.bin"]["warning"]
    plain = Run(tmp_path)
    assert plain(file).startswith("present, taken with --accept-checksum")
    assert plain.fetcher.verify("toy", file)[0]
    (run.folder / "x.bin").write_bytes(CONTENT[:-1])
    assert not plain.fetcher.verify("toy", file)[0]


def test_a_wrong_file_that_was_there_is_set_aside_not_used(server, run):
    server.answers["/x"] = body()
    run.folder.mkdir()
    (run.folder / "x.bin").write_bytes(OTHER)
    assert run.fetcher.verify("toy", official(server, "/x"))[0] is False
    run(official(server, "/x"))
    assert run.names == ["x.bin", "x.bin.bad"]
    assert (run.folder / "x.bin").read_bytes() == CONTENT


def test_the_first_use_is_trusted_and_remembered(server, run):
    server.answers["/x"] = in_turn(body(), body(OTHER))
    file = official(server, "/x", size=None, sha256="")
    assert "this one is from now on" in run(file)
    assert run.noted["x.bin"]["sha256"] == SHA256
    assert run.fetcher.verify("toy", file) == (True, "as it was when first got")
    (run.folder / "x.bin").unlink()
    with pytest.raises(FetchError, match=f"{SHA256} when it was first got"):
        run(file)


def test_a_digest_of_another_address_only_warns(server, run):
    server.answers["/x"] = body()
    assert "md5 as recorded" in run(official(server, "/x", size=None, sha256="", warn_md5=MD5))
    (run.folder / "x.bin").unlink()
    (run.folder / LEDGER).unlink()
    outcome = run(official(server, "/x", size=None, sha256="", warn_md5="0" * 32))
    assert "recorded at an earlier address" in outcome
    assert "earlier address" in run.noted["x.bin"]["warning"]


def test_md5_alone_is_enough(server, run):
    server.answers["/x"] = body()
    assert "md5 as recorded" in run(official(server, "/x", sha256="", md5=MD5))
    with pytest.raises(FetchError, match="md5: expected 0000"):
        Run(run.folder.parent / "b")(official(server, "/x", sha256="", md5="0" * 32))


def test_another_compression_of_the_same_content_is_accepted(server, run):
    packed = gzip.compress(CONTENT, 1, mtime=7)
    facts = {"size": 5, "sha256": "0" * 64, "content_sha256": SHA256, "content_md5": MD5}
    server.answers |= {"/x.gz": body(packed), "/y.gz": body(gzip.compress(OTHER))}
    assert "unpacked content" in run(official(server, "/x.gz", **facts))
    assert (run.folder / "x.bin").read_bytes() == packed
    with pytest.raises(FetchError, match="of its unpacked content: expected"):
        Run(run.folder.parent / "b")(official(server, "/y.gz", **facts))


def test_a_file_that_is_there_unpacked_is_the_file(server, run):
    file = OfficialFile("x.gz", (server.url("/x.gz"),), size=5, sha256="0" * 64, content_sha256=SHA256, content_md5=MD5)
    run.folder.mkdir()
    (run.folder / "x").write_bytes(CONTENT)
    assert run.fetcher.state("toy", file) == "present"
    assert run.fetcher.to_fetch("toy", file) == 0
    assert run.fetcher.verify("toy", file) == (True, "sha256 as recorded")
    assert run(file) == "present, sha256 as recorded"
    (run.folder / "x").write_bytes(OTHER)
    server.answers["/x.gz"] = body(gzip.compress(CONTENT))
    run(file)
    assert run.names == ["x.bad", "x.gz"]
    assert gzip.decompress((run.folder / "x.gz").read_bytes()) == CONTENT


def test_a_file_that_two_data_sets_share_lies_in_one_folder(server, run, tmp_path):
    server.answers["/x"] = body()
    run(official(server, "/x", folder="elder"))
    assert (tmp_path / "elder/x.bin").read_bytes() == CONTENT
    assert not run.folder.exists()


def test_a_gz_that_the_server_marks_as_compressed_stays_one(server, run):
    packed = gzip.compress(CONTENT, mtime=0)

    def answer(handler):
        handler.send_response(200)
        handler.send_header("Content-Encoding", "gzip")
        handler.send_header("Content-Length", str(len(packed)))
        handler.end_headers()
        handler.wfile.write(packed)

    server.answers |= {"/x.gz": answer, "/x": answer}
    run(official(server, "/x.gz", size=len(packed), sha256=hashlib.sha256(packed).hexdigest()))
    assert (run.folder / "x.bin").read_bytes() == packed
    with pytest.raises(FetchError, match="compressed as gzip, which was not asked for"):
        Run(run.folder.parent / "b")(official(server, "/x"))


def test_redirects_are_followed_across_hosts_and_keep_the_range(server, run):
    other = Server()
    try:
        for i in range(5):
            server.answers[f"/{i}"] = status(302, Location=f"/{i + 1}")
        server.answers["/5"] = status(307, Location=other.url("/x"))
        other.answers["/x"] = body(breaks=(100_000,))
        run(official(server, "/0"))
        assert (run.folder / "x.bin").read_bytes() == CONTENT
        assert other.asked[1][1]["Range"] == "bytes=100000-"
    finally:
        other.http.shutdown()
        other.http.server_close()


def test_redirects_in_a_circle_end(server, run):
    server.answers["/x"] = status(302, Location="/x")
    with pytest.raises(FetchError, match=r"[Ee]xceeded 10 redirects"):
        run(official(server, "/x"))
    assert server.count("/x") == 11


@pytest.mark.parametrize("target", ["http://b/x", "HTTP://b/x", "ftp://b/x", "file:///etc/passwd"])
def test_a_redirect_never_leaves_https(target):
    with pytest.raises(Unavailable, match="which is refused"):
        check_redirect("https://a/x", target)


@pytest.mark.parametrize(
    ("source", "target"), [("http://a", "http://b"), ("http://a", "https://b"), ("https://a",) * 2]
)
def test_other_redirects_are_allowed(source, target):
    check_redirect(source, target)


def test_the_session_asks_before_it_follows(monkeypatch):
    import requests

    answer = requests.Response()
    answer.status_code, answer.url = 302, "https://a/x"
    answer.headers["Location"] = "http://a/x"
    with pytest.raises(Unavailable, match="redirects from https to http"):
        download._Session().get_redirect_target(answer)
    answer.headers["Location"] = "//b/x"
    assert download._Session().get_redirect_target(answer) == "//b/x"


def test_zenodos_record_gives_the_checksum(server, run, monkeypatch):
    import re

    monkeypatch.setattr(fetch, "ZENODO", re.compile(r"(http://127\.0\.0\.1:\d+)/records?/(\d+)/files/([^?]+)"))
    record = {"files": [{"key": "other"}, {"key": "a b.csv", "size": len(CONTENT), "checksum": f"md5:{MD5}"}]}
    server.answers |= {
        "/api/records/39": body(json.dumps(record).encode()),
        "/record/39/files/a%20b.csv?download=1": in_turn(body(OTHER), body()),
    }
    file = OfficialFile("x.bin", (server.url("/record/39/files/a%20b.csv?download=1"),))
    with pytest.raises(FetchError, match=f"md5: expected {MD5}"):
        run(file)
    assert "md5 as recorded" in run(file)
    server.answers["/api/records/39"] = status(404)
    assert run.fetcher.verify("toy", file) == (True, "as it was when first got")
    (run.folder / "x.bin").unlink()
    run(file)
    assert "cannot be read: 127.0.0.1" in run.notes[-1]


def test_two_fetches_at_once_do_the_work_once(server, tmp_path):
    begun = threading.Event()

    def slowly(handler):
        begun.wait(60)
        body()(handler)

    server.answers["/x"] = slowly
    code = (
        "import sys; from pathlib import Path; from bench.datasets.base import OfficialFile\n"
        "from bench.fetching.fetch import Fetcher\n"
        f"file = OfficialFile('x.bin', ({server.url('/x')!r},), size={len(CONTENT)}, sha256={SHA256!r})\n"
        "say = lambda text: print(text, flush=True)\n"
        f"say(Fetcher(Path({str(tmp_path)!r}), note=say).fetch('toy', file))"
    )
    both = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    first_lines: queue.Queue[str] = queue.Queue()
    for one in both:
        threading.Thread(target=lambda out=one.stdout: first_lines.put(out.readline()), daemon=True).start()
    # the holder says nothing before the server answers, so the first line comes from the one that waits
    assert first_lines.get(timeout=60).startswith("waiting for another process")
    begun.set()
    assert [one.wait(timeout=60) for one in both] == [0, 0]
    last = [first_lines.get(timeout=60), *(one.stdout.read() for one in both)]
    assert sorted(line.split()[0] for line in last if line) == ["fetched", "present,"]
    assert server.count("/x") == 1
    assert (tmp_path / "toy/x.bin").read_bytes() == CONTENT


class SmallDisk(io.FileIO):
    """A file on a disk that holds 150,000 bytes."""

    def write(self, data):
        room = 150_000 - self.seek(0, os.SEEK_END)
        if room <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(memoryview(data)[:room])


def test_a_full_disk_is_one_line_and_what_was_got_is_kept(server, run, monkeypatch):
    server.answers["/x"] = body()
    real = Path.open

    def small(path, mode="r", *arguments, **keywords):
        is_part = path.name == "x.bin.part" and mode[0] in "aw"
        return SmallDisk(path, mode) if is_part else real(path, mode, *arguments, **keywords)

    monkeypatch.setattr(Path, "open", small)
    with pytest.raises(DiskFull, match=f"the disk of {run.folder} is full; make room and repeat"):
        run(official(server, "/x"))
    monkeypatch.undo()
    assert (run.folder / "x.bin.part").read_bytes() == CONTENT[:150_000]
    run(official(server, "/x"))
    assert server.asked[-1][1]["Range"] == "bytes=150000-"
    assert (run.folder / "x.bin").read_bytes() == CONTENT


def test_a_device_without_room_refuses_the_write_itself(tmp_path):
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    part = tmp_path / "x.part"
    part.symlink_to("/dev/full")
    with pytest.raises(DiskFull, match="is full"):
        download._write(part, CONTENT, iter(()), 0, None, None)


def test_too_little_room_is_said_before_anything_is_fetched(server, run, monkeypatch):
    monkeypatch.setattr(download.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 250_000}))
    server.answers["/x"] = body()
    with pytest.raises(DiskFull, match="--data-root DIR"):
        check_room(run.fetcher, "toy", [official(server, "/x")])
    assert server.asked == []
    with pytest.raises(DiskFull, match="make room"):  # where only the server knows the size
        run(official(server, "/x", size=None))


BY_HAND = OfficialFile("x.bin", size=len(CONTENT), sha256=SHA256, by_hand="open https://example.org/x in a browser")


def test_a_file_obtained_by_hand_comes_with_its_recipe(run):
    with pytest.raises(ByHand) as error:
        run(BY_HAND)
    for text in ("https://example.org/x", "300,000 bytes", SHA256, "bench data fetch toy --import", str(run.folder)):
        assert text in error.value.instructions
    assert not run.folder.exists()


@pytest.mark.parametrize("name", ["x.bin", "x (1).bin"])
@pytest.mark.parametrize("as_folder", [True, False])
def test_a_file_obtained_by_hand_is_found_checked_and_copied(run, tmp_path, name, as_folder):
    place = tmp_path / "Downloads/deep"
    place.mkdir(parents=True)
    (place / name).write_bytes(CONTENT)
    (place / "other").write_bytes(OTHER)
    ((_, outcome),) = run.fetcher.file_away("toy", [BY_HAND], place.parent if as_folder else place / name)
    assert "filed from" in outcome
    assert sorted(path.name for path in place.iterdir()) == sorted([name, "other"])  # nothing is left in Downloads
    assert (run.folder / "x.bin").read_bytes() == CONTENT
    assert (place / name).exists()
    assert run(BY_HAND) == "present, sha256 as recorded"


def test_a_wrong_file_obtained_by_hand_is_refused_with_both_checksums(run, tmp_path):
    (tmp_path / "x.bin").write_bytes(OTHER)
    with pytest.raises(FetchError) as error:
        run.fetcher.file_away("toy", [BY_HAND], tmp_path / "x.bin")
    assert SHA256 in str(error.value)
    assert hashlib.sha256(OTHER).hexdigest() in str(error.value)
    assert run.names == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"<!DOCTYPE html>Google Drive - Quota exceeded", "is a web page"),
        (None, "none of its files"),
        (0, "no such file"),
    ],
)
def test_what_cannot_be_filed_is_one_line(run, tmp_path, content, reason):
    place = tmp_path / "in"
    place.mkdir()
    if content:
        (place / "x.bin").write_bytes(content)
    with pytest.raises(FetchError, match=reason):
        run.fetcher.file_away("toy", [BY_HAND], place / "absent" if content == 0 else place)


def test_an_archive_that_holds_the_file_is_unpacked_and_removed_again(run, tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("deep/x.bin", CONTENT)
    run.fetcher.file_away("toy", [BY_HAND], tmp_path / "all.zip")
    assert (run.folder / "x.bin").read_bytes() == CONTENT
    assert run.names == ["x.bin"]
    assert not list(run.folder.glob(".unpacked*"))


def test_a_read_only_folder_is_looked_at_and_left_alone(run, server, monkeypatch):
    run.folder.mkdir()
    (run.folder / "x.bin").write_bytes(CONTENT)
    monkeypatch.setattr(fetch.os, "access", lambda path, mode: False)
    assert run(official(server, "/x")).startswith("present, sha256")
    assert not (run.folder.parent / ".locks").exists()


@pytest.mark.parametrize("damage", ["[1, 2]", "{", '{"x.bin": 5}', '{"x.bin": {"sha256": 1}}', "\x00", "[" * 100_000])
def test_a_damaged_note_counts_as_none(server, run, damage):
    server.answers["/x"] = body()
    run.folder.mkdir()
    (run.folder / LEDGER).write_text(damage)
    run(official(server, "/x", sha256="", size=None))
    assert run.noted["x.bin"]["sha256"] == SHA256


def moody(rng):
    """A server in a random mood at every request: whole, part, broken, another version, a page, an error."""
    versions = [(CONTENT, '"1"'), (OTHER, '"2"')]

    def answer(handler):
        content, etag = versions[rng.random() < 0.2]
        breaks = (rng.randrange(len(content)),) if rng.random() < 0.6 else ()
        mood = rng.random()
        if mood < 0.7:
            body(content, breaks=breaks, etag=etag if rng.random() < 0.9 else "", ranges=rng.random() < 0.8)(handler)
        elif mood < 0.8:
            forced_range(handler, rng.choice([0, 7, 100_000]), etag)
        elif mood < 0.85:
            status(416, Content_Range=f"bytes */{rng.choice([0, 5, len(content)])}")(handler)
        elif mood < 0.9:
            status(rng.choice([429, 500, 503]))(handler)
        elif mood < 0.95:
            body(content, length=False, breaks=breaks)(handler)
        else:
            handler.connection.close()

    return answer


@pytest.mark.parametrize("seed", range(40))
def test_whatever_a_server_does_only_the_right_content_gets_the_name(server, tmp_path, seed):
    server.answers["/x"] = moody(random.Random(seed))
    run = Run(tmp_path, patience=Patience(attempts=30))
    fetched = False
    while not fetched:
        try:
            fetched = bool(run(official(server, "/x")))
        except FetchError:
            assert not (run.folder / "x.bin").exists()
    assert (run.folder / "x.bin").read_bytes() == CONTENT
    assert set(run.names) <= {"x.bin", "x.bin.bad"}


@pytest.mark.slow
def test_a_fetch_that_is_killed_again_and_again_ends_with_the_right_file(server, tmp_path):
    import time

    def slowly(handler):
        class Slow:
            def __getattr__(self, name):
                return getattr(handler, name)

        slow = Slow()

        class Pipe:
            def write(self, data):
                for start in range(0, len(data), 5_000):
                    time.sleep(0.02)
                    handler.wfile.write(data[start : start + 5_000])

        slow.wfile = Pipe()
        body()(slow)

    server.answers["/x"] = slowly
    code = (
        "from pathlib import Path; from bench.datasets.base import OfficialFile\n"
        "from bench.fetching.fetch import Fetcher\n"
        "from bench.fetching import download; download._PIECE = 4_096\n"
        f"file = OfficialFile('x.bin', ({server.url('/x')!r},), size={len(CONTENT)}, sha256={SHA256!r})\n"
        f"Fetcher(Path({str(tmp_path)!r})).fetch('toy', file)"
    )
    rng, part = random.Random(0), tmp_path / "toy/x.bin.part"
    kills = 0
    for _ in range(30):
        one = subprocess.Popen([sys.executable, "-c", code])
        reached = download.partial_size(part) + rng.randrange(5_000, 60_000)
        while one.poll() is None and download.partial_size(part) < reached:
            time.sleep(0.005)
        if one.poll() is not None:
            break
        one.kill()
        one.wait()
        kills += 1
    assert kills >= 5
    assert (tmp_path / "toy/x.bin").read_bytes() == CONTENT
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert {name for name in left if not name.startswith(".locks")} == {
        "toy/x.bin",
        "toy/.fetched.json",
        "toy/.fingerprints.json",
    }
    assert sum(1 for _, headers in server.asked if headers.get("Range")) >= kills - 1
