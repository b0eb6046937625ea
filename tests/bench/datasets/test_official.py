"""Official files: found where they should be, their digests remembered for as long as they hold."""

from __future__ import annotations

import hashlib
import json
import os

import pytest

from bench.datasets import official
from bench.datasets.base import OfficialFile
from bench.datasets.official import MANIFEST, data_root, fingerprint, official_source

FILES = (OfficialFile("a.bin", ("https://example.org/a.bin",)), OfficialFile("b.bin"))


@pytest.fixture
def there(tmp_path):
    folder = tmp_path / "toy"
    folder.mkdir()
    for name in ("a.bin", "b.bin"):
        (folder / name).write_bytes(name.encode())
    return folder


def test_all_files_make_the_source_official(there, tmp_path):
    source = official_source("toy", tmp_path, FILES, "auto")
    digests = [hashlib.sha256(name.encode()).hexdigest() for name in ("a.bin", "b.bin")]
    assert (source.kind, source.fingerprint) == ("official", hashlib.sha256("".join(digests).encode()).hexdigest())
    assert official_source("toy", tmp_path, FILES[:1], "official").fingerprint == digests[0]
    assert official_source("toy", tmp_path, FILES, "generated") is None


@pytest.mark.parametrize(("gone", "how"), [("a.bin", "Run `bench data fetch toy`"), ("b.bin", "by hand")])
def test_a_missing_file_is_named_with_the_way_to_get_it(there, tmp_path, gone, how):
    (there / gone).unlink()
    assert official_source("toy", tmp_path, FILES, "auto") is None
    with pytest.raises(FileNotFoundError, match=f"toy: {gone} is not in DATA_ROOT/toy.*{how}"):
        official_source("toy", tmp_path, FILES, "official")


def test_digests_of_several_files_are_made_once(there, tmp_path, monkeypatch):
    first = fingerprint([there / "a.bin", there / "b.bin"])

    def again(path):
        raise AssertionError(f"{path} was read again")

    monkeypatch.setattr(official, "file_sha256", again)
    assert fingerprint([there / "a.bin", there / "b.bin"]) == first


def test_a_changed_file_gets_its_new_digest(there):
    first = fingerprint([there / "a.bin"])
    (there / "a.bin").write_bytes(b"other")
    os.utime(there / "a.bin", ns=(1, 1))
    assert fingerprint([there / "a.bin"]) == hashlib.sha256(b"other").hexdigest() != first


@pytest.mark.parametrize(
    "note",
    ["[]", "5", '"text"', "null", "{", "", "[" * 50_000, '{"a.bin": 5}', '{"a.bin": []}', '{"a.bin": {"0": 1}}'],
)
def test_a_note_that_is_not_ours_is_written_anew(there, note):
    (there / MANIFEST).write_text(note)
    assert fingerprint([there / "a.bin"]) == hashlib.sha256(b"a.bin").hexdigest()
    assert json.loads((there / MANIFEST).read_text())["a.bin"][2] == hashlib.sha256(b"a.bin").hexdigest()


def test_a_noted_digest_must_be_one(there):
    stat = (there / "a.bin").stat()
    (there / MANIFEST).write_text(json.dumps({"a.bin": [stat.st_size, stat.st_mtime_ns, "../../etc/passwd"]}))
    assert fingerprint([there / "a.bin"]) == hashlib.sha256(b"a.bin").hexdigest()


def test_the_data_root_is_the_one_given_then_the_environments_then_the_users(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_DATA", str(tmp_path / "env"))
    assert data_root("given").name == "given"
    assert data_root() == tmp_path / "env"
    monkeypatch.delenv("BENCH_DATA")
    assert data_root().name == "data"
