"""Sound files of the speech corpora as 16-bit samples: NIST SPHERE (TIMIT), RIFF WAVE (FSDD), FLAC (LibriSpeech).

A file is told by its first bytes: TIMIT's ``.WAV`` files are SPHERE. What a header claims is compared with the bytes
that are there before anything is made of it.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import numpy as np

from bench.files.archives import tar_members
from bench.messages import one_line

MAX_BYTES = 1 << 28  # of one file: two hours of speech, a hundred times the longest utterance
_SPHERE = b"NIST_1A\n"
_RATES = range(4_000, 192_001)
_MAX_HEADER = 1 << 16


def read_sound(content: bytes, where: str) -> tuple[np.ndarray, int]:
    """16-bit samples (n,) of the first channel, and their rate per second.

    Args:
        where: the file, as messages name it.

    Raises:
        ValueError: one line: no such file, damaged, compressed in a way that is not read here, not 16-bit, empty.
        ModuleNotFoundError: a FLAC file, and the package soundfile is not installed.
    """
    if len(content) > MAX_BYTES:
        raise ValueError(f"{where}: is larger than {MAX_BYTES:,} bytes")
    readers = {_SPHERE: _sphere, b"RIFF": _wave, b"fLaC": _flac}
    for magic, read in readers.items():
        if content.startswith(magic):
            samples, rate = read(content, where)
            break
    else:
        raise ValueError(f"{where}: is no SPHERE, WAV or FLAC file: it begins with {content[:8].hex(' ') or 'nothing'}")
    if rate not in _RATES:
        raise ValueError(f"{where}: claims {rate} samples a second, wanted {_RATES.start} … {_RATES.stop - 1}")
    if not len(samples):
        raise ValueError(f"{where}: has no samples")
    return samples, rate


def _sphere(content: bytes, where: str) -> tuple[np.ndarray, int]:
    """A text header whose second line is its own length, then the samples."""
    fields = _sphere_fields(content, where)
    coding = str(fields.get("sample_coding", "pcm")).strip()
    if coding != "pcm":
        raise ValueError(
            f"{where}: its samples are coded as '{one_line(coding, 40)}', wanted pcm; "
            "uncompress it with `sph2pipe -f sph IN OUT`"
        )
    numbers = {name: fields.get(name) for name in ("sample_rate", "sample_count", "sample_n_bytes", "channel_count")}
    for name, value in numbers.items():
        if not isinstance(value, int) or value < 1:
            found = "no such line" if value is None else f"'{one_line(value, 40)}'"
            raise ValueError(f"{where}: its header should say {name} -i NUMBER, found {found}")
    if numbers["sample_n_bytes"] != 2:
        raise ValueError(f"{where}: has {numbers['sample_n_bytes']} bytes a sample, wanted 2")
    order = fields.get("sample_byte_format", "01")
    if order not in ("01", "10"):
        raise ValueError(f"{where}: sample_byte_format must be 01 or 10, found '{one_line(order, 40)}'")
    n_channels, start = numbers["channel_count"], int(fields["header_bytes"])
    wanted = 2 * numbers["sample_count"] * n_channels  # type: ignore[operator]
    if len(content) - start != wanted:
        raise ValueError(
            f"{where}: its header claims {one_line(f'{wanted:,}')} bytes of samples, {len(content) - start:,} are there"
        )
    samples = np.frombuffer(content, "<i2" if order == "01" else ">i2", offset=start)
    return samples[::n_channels].astype(np.int16), int(numbers["sample_rate"])  # type: ignore[call-overload, arg-type]


def _sphere_fields(content: bytes, where: str) -> dict[str, int | str]:
    """Values of the lines ``name -i NUMBER`` and ``name -sLENGTH TEXT`` up to ``end_head``, and ``header_bytes``."""
    size = content[len(_SPHERE) : len(_SPHERE) + 8].strip()
    if not size.isdigit() or not 16 <= int(size) <= _MAX_HEADER:
        found = one_line(size.decode("latin-1"))
        raise ValueError(f"{where}: the length of its header should be in its second line, found '{found}'")
    if int(size) > len(content):
        raise ValueError(f"{where}: is cut short within its header of {int(size):,} bytes")
    lines = content[16 : int(size)].decode("latin-1").split("\n")
    if "end_head" not in [line.strip() for line in lines]:
        raise ValueError(f"{where}: its header has no line end_head")
    fields: dict[str, int | str] = {"header_bytes": int(size)}
    for line in lines:
        if line.strip() == "end_head":
            break
        name, kind, value = (*line.split(" ", 2), "", "")[:3]
        if kind == "-i" and value.strip().isascii() and value.strip().isdigit() and len(value) < 20:
            fields[name] = int(value)
        elif kind.startswith("-s"):
            fields[name] = value.strip()
    return fields


def _wave(content: bytes, where: str) -> tuple[np.ndarray, int]:
    """Chunks of four letters, a length and so many bytes; ``fmt`` comes before ``data``."""
    form, place = None, 12
    if content[8:12] != b"WAVE":
        raise ValueError(f"{where}: is a RIFF file, but not a WAVE one")
    while place + 8 <= len(content):
        name, size = struct.unpack_from("<4sI", content, place)
        place += 8
        if size > len(content) - place:
            raise ValueError(
                f"{where}: its part '{one_line(name.decode('latin-1'))}' claims {size:,} bytes, "
                f"{len(content) - place:,} are there"
            )
        if name == b"fmt " and size >= 16:
            form = struct.unpack_from("<HHIIHH", content, place)
        elif name == b"data":
            if form is None:
                raise ValueError(f"{where}: its samples come before the part that describes them")
            coding, n_channels, rate, _, _, n_bits = form
            if coding not in (1, 0xFFFE) or n_bits != 16 or not 1 <= n_channels <= 64:
                raise ValueError(
                    f"{where}: wanted 16-bit PCM, found coding {coding} of {n_bits} bits in {n_channels} channels"
                )
            n = size // (2 * n_channels)
            samples = np.frombuffer(content, "<i2", n * n_channels, place)
            return samples[::n_channels].astype(np.int16), rate
        place += size + size % 2
    raise ValueError(f"{where}: has no samples; it is cut short")


def _flac(content: bytes, where: str) -> tuple[np.ndarray, int]:
    """As libsndfile decodes it; at most as many samples as so many bytes can hold."""
    try:
        import soundfile
    except (ImportError, OSError):  # OSError: the package is there, its library is not
        raise ModuleNotFoundError(
            f"{where}: reading FLAC files needs the package soundfile: `pip install 'bench-disentanglement[audio]'`"
        ) from None
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            if file.subtype != "PCM_16":
                raise ValueError(f"has samples of type {file.subtype}, wanted PCM_16")
            if file.frames > MAX_BYTES:
                raise ValueError(f"claims {file.frames:,} samples")
            samples = file.read(file.frames, dtype="int16", always_2d=True)
            if len(samples) != file.frames:
                raise ValueError(f"claims {file.frames:,} samples, {len(samples):,} are there")
            return np.ascontiguousarray(samples[:, 0]), file.samplerate
    except (soundfile.SoundFileError, RuntimeError, ValueError, MemoryError) as error:
        raise ValueError(f"{where}: cannot be read ({one_line(error, 150)})") from None


def files_in(
    folder: Path, archive: Path | None, is_wanted: Callable[[PurePosixPath], bool]
) -> Iterator[tuple[PurePosixPath, bytes]]:
    """Names and contents of the files of a corpus, from its archive or from the folder where it was unpacked.

    Args:
        archive: a (compressed) tar file, read without unpacking it to disk; None where there is none.
        is_wanted: whether to read the file of that name, relative to ``folder`` or as the archive has it.

    Raises:
        ValueError: the archive is damaged, or a file is too large to be one.
    """
    if archive is None:
        for name in names_in(folder):
            if is_wanted(name):
                with (folder / name).open("rb") as file:
                    yield name, _checked(file.read(MAX_BYTES + 1), name)
        return
    for member, content in tar_members(archive):
        name = PurePosixPath(member)
        if content is not None and is_wanted(name):
            yield name, _checked(content.read(MAX_BYTES + 1), name)


def names_in(folder: Path) -> list[PurePosixPath]:
    """Names of all files below a folder, relative to it, sorted; nothing hidden. Links to folders are followed once."""
    found, seen = [], set()
    for place, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        folders[:] = [] if real in seen else [name for name in folders if not name.startswith(".")]
        if real not in seen:
            below = PurePosixPath(Path(place).relative_to(folder))
            found += [below / name for name in files if not name.startswith(".")]
        seen.add(real)
    return sorted(found)


def _checked(content: bytes, name: PurePosixPath) -> bytes:
    if len(content) > MAX_BYTES:
        raise ValueError(f"{one_line(name)}: is larger than {MAX_BYTES:,} bytes")
    return content
