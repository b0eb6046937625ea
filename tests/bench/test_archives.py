"""Archives from anywhere: what they may write, and that they write it whole or not at all."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from bench.files.archives import ArchiveRefused, is_archive, tar_members, unpack

CONTENT = b"0123456789" * 50


def tar(path, *members, mode="w:gz"):
    """A tar file of (name, type, link target or content)."""
    with tarfile.open(path, mode) as file:
        for name, kind, value in members:
            info = tarfile.TarInfo(name)
            info.type = kind
            if kind == tarfile.REGTYPE:
                info.size = len(value)
                file.addfile(info, io.BytesIO(value))
            else:
                info.linkname = value
                file.addfile(info)
    return path


def zip_(path, *members):
    """A zip file of (name, content, Unix mode)."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content, mode in members:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            file.writestr(info, content)
    return path


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_tar_file_is_unpacked_with_its_folders(tmp_path, mode):
    archive = tar(
        tmp_path / "a", ("data", tarfile.DIRTYPE, ""), ("data/x.txt", tarfile.REGTYPE, CONTENT),
        ("./other/y", tarfile.REGTYPE, b""), mode=mode,
    )  # fmt: skip
    assert is_archive(archive)
    assert unpack(archive, tmp_path / "out") == 2
    assert (tmp_path / "out/data/x.txt").read_bytes() == CONTENT
    assert (tmp_path / "out/other/y").read_bytes() == b""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "out"]


def test_a_zip_file_is_unpacked_with_its_folders(tmp_path):
    archive = zip_(tmp_path / "a", ("data/", b"", 0o40755), ("data/x.txt", CONTENT, 0o100644), ("y", b"", 0))
    assert is_archive(archive)
    assert unpack(archive, tmp_path / "out") == 2
    assert (tmp_path / "out/data/x.txt").read_bytes() == CONTENT


OUTSIDE = "outside its folder"
PLAIN = "only files and folders"
FILE, LINK = tarfile.REGTYPE, tarfile.SYMTYPE


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        pytest.param([("/tmp/escaped", FILE, b"x")], OUTSIDE, id="absolute"),
        pytest.param([("../escaped", FILE, b"x")], OUTSIDE, id="climbs"),
        pytest.param([("data/../../escaped", FILE, b"x")], OUTSIDE, id="climbs in the middle"),
        pytest.param([("..", tarfile.DIRTYPE, "")], OUTSIDE, id="the folder above"),
        pytest.param([("C:\\escaped", FILE, b"x")], OUTSIDE, id="a drive"),
        pytest.param([("..\\escaped", FILE, b"x")], OUTSIDE, id="climbs with backslashes"),
        pytest.param([("link", LINK, "/etc/passwd")], PLAIN, id="symbolic link"),
        pytest.param([("d", LINK, "/tmp"), ("d/escaped", FILE, b"x")], PLAIN, id="through a link"),
        pytest.param([("hard", tarfile.LNKTYPE, "/etc/passwd")], PLAIN, id="hard link"),
        pytest.param([("null", tarfile.CHRTYPE, "")], PLAIN, id="device"),
        pytest.param([("pipe", tarfile.FIFOTYPE, "")], PLAIN, id="named pipe"),
        pytest.param([("a", FILE, b"x"), ("a", FILE, b"y")], "twice", id="a name twice"),
        pytest.param([("a", FILE, b"x"), ("a/b", FILE, b"y")], "as file and as folder", id="a file as folder"),
        pytest.param([("d", tarfile.DIRTYPE, "")], "no files", id="nothing in it"),
    ],
)
def test_a_tar_file_that_would_write_elsewhere_is_refused_whole(tmp_path, members, reason):
    home = tmp_path / "home"
    home.mkdir()
    archive = (
        tar(home / "a.tar.gz", ("good", FILE, b"x"), *members) if reason != "no files" else tar(home / "a", *members)
    )
    with pytest.raises(ArchiveRefused, match=reason):
        unpack(archive, home / "out")
    assert [path.name for path in home.iterdir()] == [archive.name]
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


@pytest.mark.parametrize(
    ("member", "reason"),
    [
        pytest.param(("../escaped", b"x", 0o100644), OUTSIDE, id="climbs"),
        pytest.param(("/tmp/escaped", b"x", 0o100644), OUTSIDE, id="absolute"),
        pytest.param(("link", b"/etc/passwd", 0o120777), PLAIN, id="symbolic link"),
        pytest.param(("device", b"", 0o020666), PLAIN, id="device"),
    ],
)
def test_a_zip_file_that_would_write_elsewhere_is_refused_whole(tmp_path, member, reason):
    archive = zip_(tmp_path / "a.zip", ("good", b"x", 0o100644), member)
    with pytest.raises(ArchiveRefused, match=reason):
        unpack(archive, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


def test_a_bomb_stops_at_the_cap_whatever_its_header_claims(tmp_path):
    archive = zip_(tmp_path / "a.zip", ("zeros", bytes(5_000_000), 0))
    assert archive.stat().st_size < 10_000
    with pytest.raises(ArchiveRefused, match="more than 1,000,000 bytes"):
        unpack(archive, tmp_path / "out", max_bytes=1_000_000)
    packed = tar(tmp_path / "b.tar.gz", ("zeros", FILE, bytes(5_000_000)))
    with pytest.raises(ArchiveRefused, match="more than 1,000,000 bytes"):
        unpack(packed, tmp_path / "out", max_bytes=1_000_000)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip", "b.tar.gz"]


def test_too_many_members_are_refused(tmp_path):
    archive = tar(tmp_path / "a", *[(f"{i}", FILE, b"") for i in range(11)])
    with pytest.raises(ArchiveRefused, match="more than 10 members"):
        unpack(archive, tmp_path / "out", max_members=10)


def test_an_extended_header_that_claims_gigabytes_is_not_read_into_memory(tmp_path):
    info = tarfile.TarInfo("header")
    info.type, info.size = tarfile.XHDTYPE, 10 * 2**30
    (tmp_path / "a").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(4096))
    with pytest.raises(ArchiveRefused, match="damaged or cut short"):
        unpack(tmp_path / "a", tmp_path / "out")


@pytest.mark.parametrize("kept", [0.3, 0.7, 0.95])
@pytest.mark.parametrize("make", [tar, None])
def test_an_archive_that_is_cut_short_is_one_line_and_leaves_nothing(tmp_path, make, kept):
    import random

    noise = random.Random(0).randbytes(20_000)
    archive = tar(tmp_path / "a", ("x", FILE, noise)) if make else zip_(tmp_path / "a", ("x", noise, 0))
    archive.write_bytes(archive.read_bytes()[: int(kept * archive.stat().st_size)])
    with pytest.raises(ArchiveRefused, match=r"^a: damaged or cut short"):
        unpack(archive, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_folder_that_is_there_is_not_touched(tmp_path):
    archive = tar(tmp_path / "a", ("x", FILE, b"new"))
    (tmp_path / "out").mkdir()
    with pytest.raises(FileExistsError, match="move it away"):
        unpack(archive, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_members_are_read_without_unpacking_and_links_left_out(tmp_path):
    archive = tar(tmp_path / "a", ("d", tarfile.DIRTYPE, ""), ("l", LINK, "x"), ("x", FILE, CONTENT))
    read = {name: content and (content.read(3), content.read()) for name, content in tar_members(archive)}
    assert read == {"d": None, "x": (CONTENT[:3], CONTENT[3:])}
    assert not is_archive(Path(__file__))
