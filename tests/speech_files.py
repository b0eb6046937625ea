"""Sound files of the forms that the speech corpora have, written by the tests."""

from __future__ import annotations

import struct


def sphere(samples, rate=16_000, size=1_024, **fields):
    """A NIST SPHERE file of samples (n,) or (n, channels); ``fields`` replace or add lines of the header."""
    channels = samples.shape[1] if samples.ndim == 2 else 1
    lines = {
        "sample_count": f"-i {len(samples)}",
        "sample_n_bytes": "-i 2",
        "channel_count": f"-i {channels}",
        "sample_byte_format": "-s2 01",
        "sample_rate": f"-i {rate}",
        "sample_coding": "-s3 pcm",
    } | fields
    text = "".join(f"{name} {value}\n" for name, value in lines.items() if value is not None)
    header = f"NIST_1A\n{size:>7}\n{text}end_head\n".encode("latin-1")
    order = ">i2" if "10" in lines["sample_byte_format"] else "<i2"
    return header.ljust(size) + samples.astype(order).tobytes()


def wav(samples, rate=8_000, *, before=b"", coding=1, bits=16):
    """A WAV file; ``before`` is put between its description and its samples."""
    channels = samples.shape[1] if samples.ndim == 2 else 1
    data = samples.astype("<i2").tobytes()
    form = struct.pack("<HHIIHH", coding, channels, rate, 2 * channels * rate, 2 * channels, bits)
    parts = b"fmt " + struct.pack("<I", 16) + form + before + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", 4 + len(parts)) + b"WAVE" + parts
