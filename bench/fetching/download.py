"""One file from one address over HTTP, into a ``.part`` file from which a broken download goes on.

Nothing here decides whether the content is right; ``bench.fetching.fetch`` does, before the file gets its name.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from bench import __version__

AGENT = f"bench-disentanglement/{__version__} (fetches public data sets; python-requests/{requests.__version__})"
TIMEOUT = (20, 60)  # seconds to connect, and between two pieces of an answer
_PIECE = 1 << 16  # written as it comes: what a slow line has brought is not lost

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are there and the bytes in all, None where the server does not say."""


@dataclass(frozen=True)
class Patience:
    """How often and how long one address is tried.

    Attributes:
        attempts: in a row without ``progress`` new bytes.
        first_wait: seconds before the second attempt; doubled each time up to ``longest_wait``.
        longest_asked: seconds that a server may ask for; more, and its address is given up.
    """

    attempts: int = 5
    first_wait: float = 1.0
    longest_wait: float = 60.0
    longest_asked: float = 600.0
    progress: int = 1 << 20


class Unavailable(OSError):
    """This address does not give the file; another may."""


class DiskFull(OSError):
    """No address helps; what was got is kept."""


class _Again(Exception):
    """Worth another attempt, after ``wait`` seconds where the server asked for them."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


class _NoName(_Again):
    """The server's name cannot be resolved: no network, unless it was there a moment ago."""


class _Session(requests.Session):
    """Follows redirects across hosts, from http to https but never back."""

    def __init__(self) -> None:
        super().__init__()
        self.max_redirects = 10
        # A server that compresses on the way would make lengths and ranges mean another file.
        self.headers.update({"User-Agent": AGENT, "Accept-Encoding": "identity", "Accept": "*/*"})

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        target = super().get_redirect_target(resp)
        if target is not None:
            check_redirect(resp.url, urljoin(resp.url, target))
        return target


def check_redirect(source: str, target: str) -> None:
    """Raise Unavailable where a redirect leaves https, or leads to anything but http and https."""
    old, new = urlsplit(source).scheme.lower(), urlsplit(target).scheme.lower()
    if new not in ("http", "https") or (old == "https" and new != "https"):
        raise Unavailable(f"{host(source)} redirects from {old} to {new} ({target[:200]}), which is refused")


def host(address: str) -> str:
    """The server's name, for messages."""
    return urlsplit(address).netloc or address


def partial_size(part: Path) -> int:
    """Bytes of an unfinished download; 0 where there is none."""
    return part.stat().st_size if part.is_file() else 0


def download(
    address: str,
    part: Path,
    *,
    size: int | None = None,
    is_checked: bool = False,
    progress: Progress | None = None,
    note: Callable[[str], None] | None = None,
    patience: Patience = Patience(),
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Fill ``part`` with the content of ``address``, going on from what it holds where the server's file is the same.

    Args:
        size: bytes that the file must have; a server that announces another length is refused at once.
        is_checked: a checksum will be held against the file, so a part may be continued even where the server names
            no version of its file.
        note: told when a broken connection is waited for.

    Raises:
        Unavailable: not there, not allowed, a web page, another length, or broken too often.
        DiskFull: the part is kept.
    """
    if urlsplit(address).scheme.lower() not in ("http", "https"):
        raise Unavailable(f"{address} is neither http nor https")
    failures, began = 0, partial_size(part)
    with _Session() as session:
        while True:
            before = partial_size(part)
            try:
                return _attempt(session, address, part, size, is_checked, progress)
            except _Again as error:
                got = partial_size(part)
                failures = 1 if got - before >= patience.progress else failures + 1
                wait = error.wait
                if wait is None:
                    wait = min(patience.first_wait * 2 ** (failures - 1), patience.longest_wait)
                if wait > patience.longest_asked:
                    raise Unavailable(f"{host(address)}: {error}, and asks to wait {wait / 60:.0f} min") from None
                if failures >= patience.attempts or (isinstance(error, _NoName) and got == began):
                    often = f" ({failures} attempts)" if failures > 1 else ""
                    raise Unavailable(f"{host(address)}: {error}{often}") from None
                if note is not None and wait:
                    how = f"going on from {got:,} bytes" if got else "trying again"
                    note(f"{host(address)}: {error}; {how} in {wait:.0f} s")
                sleep(wait)


def read_json(address: str, most: int = 8 << 20) -> Any:
    """A small JSON document.

    Raises:
        Unavailable: no answer, larger than ``most`` bytes, or not JSON.
    """
    with _Session() as session:
        try:
            with session.get(address, stream=True, timeout=TIMEOUT) as answer:
                if answer.status_code != 200:
                    raise Unavailable(f"{host(address)}: {_status(answer)}")
                body = answer.raw.read(most + 1, decode_content=True)
        except requests.ConnectionError as error:
            raise Unavailable(f"{host(address)}: {_again(error)}") from None
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise Unavailable(f"{host(address)}: {_reason(error)}") from None
    try:
        if len(body) > most:
            raise ValueError(f"more than {most:,} bytes")
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Unavailable(f"{host(address)}: no JSON ({error})") from None


def _attempt(
    session: requests.Session, address: str, part: Path, size: int | None, is_checked: bool, progress: Progress | None
) -> None:
    """One request; returns when the file is complete."""
    version = _version_of_part(part, address)
    offset = partial_size(part) if version is not None and (version or is_checked) else 0
    if size is not None and offset > size:
        offset = 0
    answer = _ask(session, address, offset, version or {})
    with answer:
        if answer.status_code == 416 and offset:
            complete = re.fullmatch(r"bytes \*/(\d+)", answer.headers.get("Content-Range", ""))
            if offset == (int(complete[1]) if complete else size):
                return
            part.unlink(missing_ok=True)
            raise _Again("its file is shorter than what was got before", wait=0)
        offset = _accepted_offset(answer, address, offset, version or {}, part)
        announced = answer.headers.get("Content-Length", "")
        total = offset + int(announced) if announced.isdecimal() else None
        if size is not None and total is not None and total != size:
            raise Unavailable(f"{host(address)}: its file has {total:,} bytes, wanted {size:,}")
        pieces = _pieces(answer)
        first = next(pieces, b"")
        if not offset and looks_like_a_page(first):
            raise Unavailable(f"{host(address)}: sends a web page instead of the file")
        if total is not None:
            check_space(part.parent, total - offset)
        if not offset:
            part.write_bytes(b"")  # before the version is noted, or another one's bytes could be taken for it
        _write_version(part, address, answer)
        got = _write(part, first, pieces, offset, total, progress)
    if total is not None and got < total:
        raise _Again(f"the connection broke at {got:,} of {total:,} bytes")
    if size is not None and got < size:
        raise _Again(f"the file ended at {got:,} of {size:,} bytes")


def _ask(session: requests.Session, address: str, offset: int, version: Mapping[str, str]) -> requests.Response:
    headers = {}
    if offset:
        headers["Range"] = f"bytes={offset}-"
        tag = version.get("etag", "")
        condition = tag if tag and not tag.startswith("W/") else version.get("modified", "")
        if condition:
            headers["If-Range"] = condition
    try:
        answer = session.get(address, headers=headers, stream=True, timeout=TIMEOUT)
    except (requests.exceptions.SSLError, requests.exceptions.TooManyRedirects) as error:
        raise Unavailable(f"{host(address)}: {_reason(error)}") from None
    except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
        raise _again(error) from None
    except requests.RequestException as error:
        raise Unavailable(f"{host(address)}: {_reason(error)}") from None
    if answer.status_code in (408, 425, 429) or answer.status_code >= 500:
        wait = _retry_after(answer.headers.get("Retry-After", ""))
        answer.close()
        raise _Again(_status(answer), wait)
    if answer.status_code not in (200, 206) and not (answer.status_code == 416 and offset):
        answer.close()
        raise Unavailable(f"{host(address)}: {_status(answer)}")
    encoding = answer.headers.get("Content-Encoding", "identity").lower()
    if encoding not in ("", "identity") and not urlsplit(address).path.endswith(".gz"):
        answer.close()
        raise Unavailable(f"{host(address)}: sends the file compressed as {encoding}, which was not asked for")
    return answer


def _accepted_offset(
    answer: requests.Response, address: str, offset: int, version: Mapping[str, str], part: Path
) -> int:
    """Where in the file the answer begins: the offset asked for, or 0 for a whole file."""
    if answer.status_code == 200:
        return 0
    span = re.match(r"bytes (\d+)-\d+/", answer.headers.get("Content-Range", ""))
    changed = any(version.get(key) and new and version[key] != new for key, new in _version(answer).items())
    if span is None or int(span[1]) != offset or changed:
        part.unlink(missing_ok=True)
        why = "its file changed" if changed else "it answers with another range than was asked for"
        raise _Again(f"{why}, so all of it is fetched", wait=0)
    return offset


def _pieces(answer: requests.Response) -> Iterator[bytes]:
    """The body as it is on the wire, so that a .gz which is marked as compressed stays one."""
    try:
        while piece := answer.raw.read(_PIECE, decode_content=False):
            yield piece
    except (urllib3.exceptions.ReadTimeoutError, TimeoutError):
        raise _Again(f"nothing came for {TIMEOUT[1]} s") from None
    except (urllib3.exceptions.HTTPError, requests.RequestException, ConnectionError):
        raise _Again("the connection broke") from None


def _write(
    part: Path, first: bytes, pieces: Iterator[bytes], offset: int, total: int | None, progress: Progress | None
) -> int:
    """Append to the part; returns its size. All of it is on the disk when this returns."""
    got = offset
    with part.open("ab", buffering=0) as file:  # unbuffered: nothing is left to write when a full disk is reported
        try:
            piece = first
            while piece:
                left = memoryview(piece)
                while left:
                    left = left[file.write(left) :]
                got += len(piece)
                if progress is not None:
                    progress(got, total)
                piece = next(pieces, b"")
            os.fsync(file.fileno())
        except OSError as error:
            raise disk_error(error, part.parent) from None
    return got


def disk_error(error: OSError, folder: Path) -> OSError:
    """The error to raise for ``error``: a full disk with the way out, any other as it is."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return error
    return DiskFull(f"the disk of {folder} is full; make room and repeat the command")


def check_space(folder: Path, needed: int) -> None:
    """Raise DiskFull where fewer than ``needed`` bytes are free on the disk of ``folder``."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DiskFull(
            f"{needed / 1e6:,.0f} MB are needed in {folder}, {free / 1e6:,.0f} MB are free; "
            "make room, or name another folder with --data-root DIR"
        )


def looks_like_a_page(head: bytes) -> bool:
    """HTML, which a server sends with status 200 for a quota, a login or a scan for viruses."""
    text = head[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return text.startswith((b"<!doctype html", b"<html"))


def _version(answer: requests.Response) -> dict[str, str]:
    return {"etag": answer.headers.get("ETag", ""), "modified": answer.headers.get("Last-Modified", "")}


def _version_of_part(part: Path, address: str) -> dict[str, str] | None:
    """What the server said of its file when the part was begun; None where there is nothing to go on from."""
    try:
        noted = json.loads(_version_path(part).read_text(encoding="utf-8"))
        if noted["address"] != address or not part.is_file():
            return None
        return {key: str(noted[key]) for key in ("etag", "modified") if noted[key]}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _write_version(part: Path, address: str, answer: requests.Response) -> None:
    try:
        _version_path(part).write_text(json.dumps({"address": address, **_version(answer)}), encoding="utf-8")
    except OSError as error:
        raise disk_error(error, part.parent) from None


def _version_path(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def discard(part: Path) -> None:
    """Remove a part and what is noted of it."""
    part.unlink(missing_ok=True)
    _version_path(part).unlink(missing_ok=True)


def _retry_after(text: str) -> float | None:
    """Seconds to wait, of a header in seconds or as a date."""
    if text.strip().isdecimal():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def _status(answer: requests.Response) -> str:
    return f"{answer.status_code} {answer.reason or ''}".strip()


def _again(error: BaseException) -> _Again:
    """What a connection that failed means."""
    cause = _cause(error)
    if isinstance(cause, (urllib3.exceptions.NameResolutionError, socket.gaierror)):
        return _NoName("its name cannot be resolved (is there a network?)")
    if isinstance(cause, urllib3.exceptions.NewConnectionError):  # a kind of time-out to urllib3
        return _Again(_reason(error))
    if isinstance(cause, (requests.Timeout, urllib3.exceptions.TimeoutError, TimeoutError)):
        return _Again(f"no answer within {max(TIMEOUT)} s")
    return _Again(_reason(error))


def _cause(error: BaseException) -> BaseException:
    """The innermost of nested exceptions: what requests prints of the outer ones is a page long."""
    while True:
        inner = getattr(error, "reason", None) or (error.args[0] if error.args else None)
        if not isinstance(inner, BaseException):
            return error
        error = inner


def _reason(error: BaseException) -> str:
    cause = _cause(error)
    text = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause)
    return re.sub(r"^\S*Connection\S*: ", "", " ".join(text.split()))[:160] or type(cause).__name__
