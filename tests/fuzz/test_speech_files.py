"""Sound files, transcriptions and joined recordings of the speech corpora, damaged or forged."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from guard import effort, outcome
from hypothesis import given
from mutations import damaged
from speech_files import sphere, wav

from bench.datasets import fsdd
from bench.datasets.sound_files import read_sound
from bench.datasets.timit import read_phones

SAMPLES = np.random.default_rng(0).integers(-9_000, 9_000, 300).astype(np.int16)
STEREO = np.stack([SAMPLES, SAMPLES], axis=1)
TOKENS = [
    b"sample_count -i 5000000000", b"-i 99999999999999999999", b"-s4 ulaw", b"end_head", b"-i -1", b"NIST_1A\n",
    b"   9999", b"-s26 pcm,embedded-shorten-v2.00", b"data\xff\xff\xff\xff", b"fmt \x00\x00\x00\x00", b"LIST",
]  # fmt: skip
SOUNDS = [sphere(SAMPLES), sphere(STEREO, sample_byte_format="-s2 10"), wav(SAMPLES), wav(STEREO), wav(SAMPLES, 16_000)]
CLAIM_10_GB = [
    sphere(SAMPLES, sample_count="-i 5000000000"),
    wav(SAMPLES).replace(b"data" + struct.pack("<I", 600), b"data\xff\xff\xff\xff"),
]


@effort(400)
@given(content=damaged(SOUNDS, TOKENS, head=260))
def test_sounds(tmp_path, content):
    read = outcome("sound file", lambda: read_sound(content, "timit/a.wav"), ValueError, folder=tmp_path)
    if not isinstance(read, str):
        samples, rate = read
        assert samples.dtype == np.int16
        assert 0 < samples.nbytes <= len(content)
        assert 4_000 <= rate <= 192_000


@pytest.mark.parametrize("content", CLAIM_10_GB, ids=["SPHERE", "WAV"])
def test_a_header_that_claims_gigabytes_is_refused_for_nothing(tmp_path, content):
    text = outcome("sound file", lambda: read_sound(content, "timit/a.wav"), ValueError, folder=tmp_path)
    assert "600 are there" in text
    assert "claims 10,000,000,000" in text or "claims 4,294,967,295" in text


def flac():
    soundfile = pytest.importorskip("soundfile")
    buffer = io.BytesIO()
    soundfile.write(buffer, SAMPLES, 16_000, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


def test_flac(tmp_path):
    content = flac()

    @effort(200)
    @given(content=damaged([content], head=60))
    def fuzz(content):
        outcome("FLAC", lambda: read_sound(content, "librispeech/a.flac"), ValueError, folder=tmp_path)

    fuzz()


PHONES = b"0 1000 h#\n1000 2000 sh\n2000 2500 ix\n2500 4000 h#\n"


@effort(200)
@given(content=damaged([PHONES], [b"9" * 5_000, b"\xff", b"\x00", b"-1", b" 1e9 ", "\u0663".encode(), b"\x1b[31m"]))
def test_transcriptions(tmp_path, content):
    pieces = outcome("transcription", lambda: read_phones(content, "timit: a.phn", 4_000), ValueError, folder=tmp_path)
    assert isinstance(pieces, str) or all(0 <= start < 4_000 and 0 <= phone < 39 for start, phone in pieces)


def joined(compressed):
    buffer = io.BytesIO()
    save = np.savez_compressed if compressed else np.savez
    digit, take, speaker = np.array([[1, 2], [0, 9], [0, 0]], np.uint8)
    save(
        buffer, audio=np.tile(SAMPLES, 3), offsets=np.array([0, 400, 900]), speaker_names=np.array(["theo"]),
        sample_rate=np.array(8_000, np.int32), digit=digit, take=take, speaker=speaker,
    )  # fmt: skip
    return buffer.getvalue()


@effort(200)
@given(
    content=damaged([joined(False), joined(False), joined(True)], [b"(9, 9)", b"'|O'", b"9" * 60, b"<U99"], head=400)
)
def test_joined_recordings(tmp_path, content):
    path = tmp_path / "fsdd" / "some.npz"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    taken = []
    read = outcome(
        "joined recordings",
        lambda: fsdd._read_joined(path, lambda *one: taken.append(one)),
        ValueError,
        folder=tmp_path,
    )
    assert isinstance(read, str) or len(taken) == 2
