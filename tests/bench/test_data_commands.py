"""``bench data``: what a person types, sees and gets as exit code, with a server on this machine."""

from __future__ import annotations

import hashlib
import io
import os
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from bench import registry
from bench.cli import main
from bench.datasets.base import DataInfo, DatasetCard, FactorSpace, OfficialFile
from bench.datasets.containers import ImageData
from bench.datasets.official import missing_file, official_source
from bench.fetching.self_test import look_at
from bench.registry import Entry

FRAMES = np.random.default_rng(0).integers(256, size=(40, 1, 8, 8), dtype=np.uint8)
SPACE = FactorSpace(("row",), (40,), ("ordinal",), (False,))


def npy(array) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


CONTENT = {"/frames.npy": npy(FRAMES), "/extra.npy": npy(FRAMES[:3])}


@dataclass(frozen=True)
class Config:
    form: str = "plain"
    source: str = "auto"


@pytest.fixture
def server():
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            content = CONTENT.get(self.path)
            self.send_response(200 if content else 404)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *_):
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    http.asked = asked
    yield http
    http.shutdown()
    http.server_close()


@pytest.fixture
def toy(server, monkeypatch):
    """Registers the data set ``toy_files``; returns what changes its files."""

    def files_at(*paths, **facts):
        base = f"http://127.0.0.1:{server.server_port}"
        digest = hashlib.sha256(CONTENT["/frames.npy"]).hexdigest()
        facts = {"size": len(CONTENT["/frames.npy"]), "sha256": digest, **facts}
        return (
            OfficialFile("frames.npy", tuple(base + path for path in paths), **facts),
            OfficialFile("extra.npy", (base + "/extra.npy",), variant="form=extra"),
        )

    def register(*paths, **facts):
        files = files_at(*paths, **facts)

        def find_source(config, root):
            source = official_source("toy_files", root, files[:1], config.source)
            if source is None:
                raise missing_file("toy_files", files[0])
            return source

        def open_it(config, store):
            return ImageData(DataInfo((1, 8, 8), ("images",), SPACE), np.load(store.root / "toy_files/frames.npy"),
                             np.arange(40)[:, None])  # fmt: skip

        card = DatasetCard(
            title="Toy files", paper="none", summary="for tests", license="MIT", notice="Only for tests.",
            describe=lambda config: DataInfo((1, 8, 8), ("images",), SPACE), source=find_source, budgets={},
            verified="", files=files,
        )  # fmt: skip
        registry.datasets()
        monkeypatch.setitem(registry._DATASETS, "toy_files", Entry("toy_files", open_it, Config, card))

    register("/frames.npy")
    return register


@pytest.fixture
def data(tmp_path, capsys, monkeypatch):
    """``bench data …`` with a data root of its own: (exit code, stdout, stderr)."""
    monkeypatch.delenv("BENCH_DATA", raising=False)

    def call(*arguments):
        with pytest.raises(SystemExit) as ended:
            main(["data", *arguments, "--data-root", str(tmp_path / "root")])
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    call.folder = tmp_path / "root/toy_files"
    return call


def test_fetch_brings_the_files_says_the_licence_and_opens_the_data_set(toy, data, server):
    code, out, err = data("fetch", "toy_files")
    assert (code, err) == (0, "")
    assert "licence: MIT" in out
    assert "Only for tests." in out
    assert "sha256 as recorded" in out
    assert "opens, official: 40 images of 1 × 8 × 8; factors: row 40" in out
    assert server.asked == ["/frames.npy"]
    assert "present, sha256 as recorded" in data("fetch", "toy_files", "--no-test")[1]
    assert server.asked == ["/frames.npy"]
    assert "BENCH_DATA" not in os.environ


def test_only_the_files_of_the_form_asked_for_are_fetched(toy, data, server):
    assert data("fetch", "toy_files[form=extra]", "--no-test")[0] == 0
    assert server.asked == ["/frames.npy", "/extra.npy"]


def test_a_dry_run_asks_nobody_and_writes_nothing(toy, data, server):
    code, out, _ = data("fetch", "toy_files", "--dry-run")
    assert (code, server.asked) == (0, [])
    assert f"http://127.0.0.1:{server.server_port}/frames.npy" in out
    assert "3 kB to come" in out
    assert not data.folder.exists()


def test_a_fetch_that_fails_is_exit_1_and_says_where_it_tried(toy, data):
    toy("/gone", "/extra.npy")
    code, _, err = data("fetch", "toy_files")
    assert code == 1
    last = err.strip().splitlines()[-1]
    assert last.startswith("bench: toy_files: frames.npy could not be fetched.")
    assert "404 Not Found" in last
    assert "wanted 2,688" in last


def test_a_file_to_obtain_by_hand_prints_how_and_is_taken_with_import(toy, data, tmp_path):
    toy(by_hand="write to its authors")
    code, out, _ = data("fetch", "toy_files")
    assert code == 1
    assert "write to its authors" in out
    assert "bench data fetch toy_files --import" in out
    (tmp_path / "frames.npy").write_bytes(CONTENT["/frames.npy"])
    code, out, _ = data("fetch", "toy_files", "--import", str(tmp_path / "frames.npy"))
    assert code == 0
    assert "opens, official" in out


def test_what_opens_wrong_is_said(toy, data, monkeypatch):
    monkeypatch.setitem(CONTENT, "/frames.npy", npy(FRAMES.astype(np.float32)))
    toy("/frames.npy")
    code, _, err = data("fetch", "toy_files")
    assert code == 1
    assert "its view 'images' is wrong: wanted values from 0 to 1" in err


def test_verify_reads_the_files_and_exits_with_1_where_one_is_wrong(toy, data):
    assert data("verify", "toy_files")[0] == 1
    data("fetch", "toy_files", "--no-test")
    code, out, _ = data("verify", "toy_files")
    assert (code, "ok  sha256 as recorded" in out) == (0, True)
    with (data.folder / "frames.npy").open("r+b") as file:
        file.seek(500)
        file.write(b"\x00\x01\x02")
    code, out, _ = data("verify")
    assert (code, "WRONG  sha256: expected" in out) == (1, True)


def test_list_says_what_is_there_and_what_is_to_come(toy, data):
    line = next(line for line in data("list")[1].splitlines() if line.startswith("toy_files"))
    assert line.split(maxsplit=2) == ["toy_files", "absent", "to fetch, 3 kB               MIT"]
    data("fetch", "toy_files", "--no-test")
    line = next(line for line in data("list")[1].splitlines() if line.startswith("toy_files"))
    assert line.split() == ["toy_files", "official", "present", "MIT"]
    out = data("fetch", "--list")[1]
    assert "frames.npy" in out
    assert "for form=extra" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fetch"], "name a data set"),
        (["fetch", "toy_fils"], "Did you mean 'toy_files'?"),
        (["fetch", "toy_files[fom=1]"], "unknown parameter 'fom'"),
        (["fetch", "toy_files", "mnist", "--import", "x"], "--import takes the files of one data set"),
        (["verify", "toy_fils"], "Did you mean 'toy_files'?"),
        (["add", "mine", "absent.npz"], "absent.npz: no such file"),
        (["add", "toy_files", "absent.npz"], "absent.npz"),
        (["fecth"], "No such command 'fecth'"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(toy, data, arguments, message):
    code, _, err = data(*arguments)
    assert (code, err.count("\n")) == (2, 1)
    assert message in err


def test_an_import_that_is_not_there_is_one_line(toy, data):
    code, _, err = data("fetch", "toy_files", "--import", "nowhere")
    assert (code, err) == (1, "bench: --import nowhere: no such file or folder\n")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"frames": np.zeros((40, 1, 8, 8), np.uint8)}, "64 draws are all the same", id="all alike"),
        pytest.param(
            {"factors": np.arange(40)[:, None] + 1}, "factor 'row' has values 0 … 39, got 1 … 40", id="off grid"
        ),
        pytest.param({"frames": FRAMES * np.float32(1.5)}, "wanted values from 0 to 1", id="range"),
    ],
)
def test_the_self_test_finds_what_is_wrong(change, message):
    good = {"frames": FRAMES, "factors": np.arange(40)[:, None]}
    info = DataInfo((1, 8, 8), ("images",), SPACE)
    assert look_at(ImageData(info, **good), "toy").startswith("40 images")
    with pytest.raises(ValueError, match=message):
        look_at(ImageData(info, **(good | change)), "toy")
