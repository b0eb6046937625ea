"""Small files that ask for gigabytes, or for years; run as a script it reads each under a limit of memory.

Prints one JSON object: name → [message, seconds, bytes by which the peak of the process grew].
"""

from __future__ import annotations

import json
import resource
import struct
import sys
import time
import zipfile
import zlib
from pathlib import Path

import h5py
import numpy as np
from safetensors.numpy import save_file

LIMIT = 4 << 30  # bytes of addresses; torch itself takes more than one


def header(shape, length=None, version=1):
    text = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".encode()
    text = text if length is None else text.ljust(min(length, 1 << 26))
    form = "<H" if version == 1 else "<I"
    return b"\x93NUMPY" + bytes((version, 0)) + struct.pack(form, len(text) if length is None else length) + text


def npz(path, content, file_size=None, extra=0):
    """A zip file with one member ``codes``; its tables may claim another size."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("codes.npy", content)
    if file_size is not None:
        raw = bytearray(path.read_bytes())
        raw[22:26] = struct.pack("<I", file_size)
        place = raw.index(b"PK\x01\x02")
        raw[place + 24 : place + 28] = struct.pack("<I", file_size)
        path.write_bytes(raw)


def zeros(n_bytes):
    """Deflated zeros, without deflating all of them."""
    packer = zlib.compressobj(9)
    block = bytes(1 << 20)
    start = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    middle = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    return start + middle * (n_bytes // len(block) - 1) + packer.flush()


def hdf5(path, shape=(12, 3), *, written=None, raw=None, **options):
    with h5py.File(path, "w") as file:
        codes = file.create_dataset("codes", shape, "f8", **options)
        if raw is not None:
            codes.id.write_direct_chunk((0, 0), raw)
        elif written is not None:
            codes[written] = 1.0
        file["factors"] = np.zeros((12, 1), int)


def names(path):
    with h5py.File(path, "w") as file:
        file["codes"] = np.zeros((12, 3))
        file.create_dataset("factor_names", (9_000,), "S1000000")


def strides(path):
    texts = {"facts": '{"training": {}}', "strides": '{"model/w": [10000000000, 1]}'}
    save_file({"model/w": np.zeros((2, 2))}, path, metadata=texts)


TRACKS = "id,cat_id,t_0,t_1\n"
DIGITS = "[" + ", ".join(["(" + ", ".join(["1" * 95] * 3) + ")"] * 3) + "]x"

CODES = {
    "npy of 80 GB": lambda p: p.write_bytes(header((10**9, 10))),
    "npy of 1.9 GB": lambda p: p.write_bytes(header((240_000_000,)) + bytes(80)),
    "npz of 80 GB": lambda p: npz(p, header((10**9, 10))),
    "npz whose tables claim 1.9 GB": lambda p: npz(p, header((240_000_000,)) + bytes(80), 1_920_000_128),
    "npz with a header of 4 GB": lambda p: npz(p, header((12, 3), 2**32 - 1, version=2)),
    "HDF5 of 80 GB": lambda p: hdf5(p, (10**9, 10), chunks=True),
    "HDF5 with one piece of ten thousand": lambda p: hdf5(p, (10_000_000, 10), written=0, chunks=(1_000, 10)),
    "HDF5 with a piece that unpacks to 8 GB": lambda p: hdf5(p, chunks=(12, 3), compression="gzip",
    raw=zeros(8 << 30)),
    "HDF5 in pieces of 2 GB": lambda p: hdf5(
        p, chunks=(1 << 20, 1 << 8), maxshape=(None, None), compression="gzip", raw=zeros(2 << 30)
    ),
    "HDF5 with names of 9 GB": names,
    "csv in one line of 12 MB": lambda p: p.write_text("1," * (6 << 20)),
    "csv in one word of 12 MB": lambda p: p.write_text("1" * (12 << 20)),
    "csv of a million columns": lambda p: p.write_text(",".join(["1"] * 1_000_000) + "\n"),
    "csv in one row over all lines": lambda p: p.write_text('1,"' + '\n","' * 2_000_000),
    "csv with a cell of a megabyte": lambda p: p.write_text("a,b\n" + "1" * (1 << 20) + ",2\n"),
}  # fmt: skip
TRACK_FILES = {
    "tracks with a cell that matches in many ways": lambda p: p.write_text(f'{TRACKS}1,1,"{DIGITS}","{DIGITS}"\n'),
    "tracks in one line of 12 MB": lambda p: p.write_text(TRACKS + "," * (12 << 20)),
    "tracks with a million columns": lambda p: p.write_text(",".join(["id", "cat_id",
    *(f"t_{i}" for i in range(800_000))])),
    "tracks in one row over all lines": lambda p: p.write_text(TRACKS + '1,1,"\n"' * 2_000_000),
}  # fmt: skip
ROWS = {
    "row nested five million deep": lambda p: p.write_text("[" * 5_000_000),
    "row with a number of a million digits": lambda p: p.write_text('{"schema": ' + "9" * 1_000_000 + "}"),
    "row of 18 MB": lambda p: p.write_text("[" + "[]," * (6 << 20) + "1]"),
}
CHECKPOINTS = {
    "checkpoint with a header of 10 GB": lambda p: p.write_bytes(struct.pack("<Q", 10**10) + b"{}"),
    "checkpoint with a tensor of 80 GB": lambda p: p.write_bytes(
        struct.pack("<Q", 74) + b'{"a":{"dtype":"F64","shape":[10000000000],"data_offsets":[0,80000000000]}}'
    ),
    "checkpoint with strides of 40 GB": strides,
}


OTHERS = {
    "prepared array of 80 GB": lambda p: p.write_bytes(header((10**9, 10))),
    "selection of a million million runs": Path.touch,
}
BOMBS = CODES | TRACK_FILES | ROWS | CHECKPOINTS | OTHERS


def readers():
    """Name → the function that reads such a file."""
    from bench import checkpoint, selection
    from bench.datasets.tracks import read_pairs
    from bench.files import codes_file
    from bench.files.npy import mapped
    from bench.store import read_row

    values = ",".join(map(str, range(1_000)))
    text = f"a[x={values},y={values},z={values},w={values}]"
    found = dict.fromkeys(CODES, codes_file.read) | dict.fromkeys(TRACK_FILES, read_pairs)
    found |= dict.fromkeys(ROWS, read_row) | dict.fromkeys(CHECKPOINTS, checkpoint.load)
    return found | dict(zip(OTHERS, (mapped, lambda path: selection.parse(text, "--methods")), strict=True))


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main(folder):
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
    found = {}
    for number, (name, read) in enumerate(readers().items()):
        before, started = peak(), time.perf_counter()
        try:
            message = f"read: {read(folder / f'{number}.dat')!r:.60}"
        except ValueError as error:
            message = str(error)
        found[name] = [message, time.perf_counter() - started, peak() - before]
    print(json.dumps(found))  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]))
