"""HDF5 files with any kind of thing under the names that are read."""

from __future__ import annotations

import io

import h5py
import numpy as np
from array_files import CODES, FACTORS, NAMES, PROBS
from mutations import damage

VALUES = (
    CODES, CODES, FACTORS, CODES[:, 0], CODES.astype("f2"), CODES.astype(np.longdouble), CODES.astype("c16"), CODES > 0,
    np.float64(1), 3, "text", b"\xff", np.array([b"a", b"\xff"]), CODES[:0], np.array([(1, 2.0)], "i4,f8"),
    CODES.astype(">f4"), FACTORS.astype("u1"), [8], -1, 1e300, np.arange(12) * 2**58, CODES * np.nan,
    np.array([[b"\x00"]]), PROBS, FACTORS[:, 1], PROBS.astype("f2"),
)  # fmt: skip
FILTERS = (
    {"compression": "gzip", "shuffle": True, "fletcher32": True}, {"compression": "gzip"}, {"compression": "lzf"},
    {"scaleoffset": 3}, {"fletcher32": True}, {"chunks": (5, 2)}, {"fillvalue": 1.5, "track_times": True},
    {"compression": "gzip", "maxshape": (None, None), "chunks": (512, 512)},
)  # fmt: skip
CLAIMS = ((10**9, 10), (2**40,), (12, 3), (2**62, 2, 0), (100_000_000, 2), ())
WORDS = (["a", "b"], ["\x1b[2J", "x\ny"], ["é" * 300] * 2, [b"\xff", b""], "one", [["a"]])
LINKS = (
    h5py.SoftLink("/factors"), h5py.SoftLink("/nowhere"), h5py.SoftLink("codes"), h5py.ExternalLink("other.h5", "/x"),
    h5py.ExternalLink("/dev/zero", "/x"),
)  # fmt: skip
ELSEWHERE = ("/etc/passwd", "other.raw", ".", "/dev/zero")
ATTRIBUTES = (
    None, None, None, 3, -1, 2**63, "8", 8.5, [8], np.arange(3), h5py.Empty("i8"), True, np.array("x", object),
    b"\xff", "\x1b[2J",
)  # fmt: skip
H5_NAMES = (*(name for name in NAMES if name and "/" not in name), "\udcff")


def _low_level(file, name, plist):
    space = h5py.h5s.create_simple((12, 3))
    return h5py.h5d.create(file.id, name.encode(), h5py.h5t.NATIVE_DOUBLE, space, plist)


def _compact(rng, file, name):
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_layout(h5py.h5d.COMPACT)
    _low_level(file, name, plist).write(h5py.h5s.ALL, h5py.h5s.ALL, CODES)


def _plugin(rng, file, name):
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk((4, 3))
    plist.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, (3,))  # Zstandard's number; a plugin would be loaded
    _low_level(file, name, plist)


def _virtual(rng, file, name):
    layout = h5py.VirtualLayout((12, 3), "f8")
    layout[:] = h5py.VirtualSource(rng.choice(ELSEWHERE), "codes", (12, 3))
    file.create_virtual_dataset(name, layout)


def _enum(rng, file, name):
    file.create_dataset(name, (12, 3), h5py.enum_dtype({"A": 0, "B": 1}, "i"))[...] = 1


def _lists(rng, file, name):
    file.create_dataset(name, (2,), h5py.vlen_dtype("f8"))[0] = [1.0, 2.0]


def _references(rng, file, name):
    file.create_dataset(name, (2,), h5py.ref_dtype)[0] = file.ref


def _claims(rng, file, name):
    options = rng.choice(({}, {"chunks": True}, {"compression": "gzip"}))
    file.create_dataset(name, rng.choice(CLAIMS), "f8", **options)


KINDS = (
    lambda rng, file, name: file.__setitem__(name, rng.choice(VALUES)),
    lambda rng, file, name: file.__setitem__(name, rng.choice(VALUES)),
    lambda rng, file, name: file.create_dataset(name, data=CODES, **rng.choice(FILTERS)),
    lambda rng, file, name: file.create_dataset(name, data=rng.choice(WORDS), dtype=h5py.string_dtype()),
    lambda rng, file, name: file.__setitem__(name, rng.choice(LINKS)),
    lambda rng, file, name: file.__setitem__(name, h5py.Empty("f8")),
    lambda rng, file, name: file.__setitem__(name, np.dtype("f8")),
    lambda rng, file, name: file.create_group(f"{name}/inside"),
    lambda rng, file, name: file.create_dataset(name, (12, 3), "f8", external=[(rng.choice(ELSEWHERE), 0, 288)]),
    _compact, _plugin, _virtual, _enum, _lists, _references, _claims,
)  # fmt: skip


def written(members, attribute=None, libver="earliest"):
    """Bytes of a file with (name, how to put it there)."""
    out = io.BytesIO()
    with h5py.File(out, "w", libver=libver) as file:
        for name, put in members:
            try:
                put(file, name)
            except (ValueError, TypeError, OSError, KeyError, NotImplementedError, RuntimeError):
                continue  # h5py will not write this
        if attribute is not None:
            file.attrs["n_train"] = attribute
    return out.getvalue()


def _of(value, **options):
    return lambda file, name: file.create_dataset(name, data=value, **options)


USUAL = [("codes", _of(CODES)), ("factors", _of(FACTORS))]
GOOD_HDF5 = [
    written(USUAL), written(USUAL, 8, "latest"), written([("codes", _of(CODES, **FILTERS[0])), USUAL[1]], 8),
    written([*USUAL, ("factor_names", _of(["shape", "size"]))], None, "latest"),
    written([("codes", _of(CODES, compression="lzf")), USUAL[1]], None, "latest"),
]  # fmt: skip
TOKENS = (b"TREE", b"SNOD", b"HEAP", b"OHDR", b"FRHP", b"BTHD", b"OCHK")


def hdf5(rng):
    """Bytes of an HDF5 file: good, with strange things in it, or damaged."""
    if rng.random() < 0.6:
        return damage(rng, GOOD_HDF5, TOKENS, head=1024)
    members = list(USUAL) if rng.random() < 0.5 else []
    for _ in range(rng.randint(0, 3)):
        kind = rng.choice(KINDS)
        members.insert(0, (rng.choice(H5_NAMES), lambda file, name, kind=kind: kind(rng, file, name)))
    return written(members, rng.choice(ATTRIBUTES), rng.choice(("earliest", "latest")))
