"""Sound files: samples as they were written, and one line for what is not read."""

from __future__ import annotations

import builtins
import io
import struct
import wave

import numpy as np
import pytest
from speech_files import sphere, wav

from bench.datasets.sound_files import files_in, names_in, read_sound

SAMPLES = np.random.default_rng(0).integers(-32_768, 32_768, 500).astype(np.int16)
STEREO = np.stack([SAMPLES, -SAMPLES], axis=1)


@pytest.mark.parametrize(
    ("content", "rate"),
    [
        pytest.param(sphere(SAMPLES), 16_000, id="SPHERE"),
        pytest.param(sphere(SAMPLES, size=2_048), 16_000, id="longer header"),
        pytest.param(sphere(SAMPLES, sample_byte_format="-s2 10"), 16_000, id="big-endian"),
        pytest.param(sphere(SAMPLES, sample_coding=None), 16_000, id="coding not said"),
        pytest.param(sphere(SAMPLES, speaker_id="-s5 fcjf0", note="-s3 -i 7"), 16_000, id="further lines"),
        pytest.param(sphere(STEREO), 16_000, id="first of two channels"),
        pytest.param(wav(SAMPLES), 8_000, id="WAV"),
        pytest.param(wav(SAMPLES, before=b"LIST" + struct.pack("<I", 3) + b"abc\0"), 8_000, id="WAV with a note"),
        pytest.param(wav(STEREO, 16_000), 16_000, id="WAV of two channels"),
    ],
)
def test_samples_come_back(content, rate):
    samples, found = read_sound(content, "set/a.wav")
    assert found == rate
    assert samples.dtype == np.int16
    np.testing.assert_array_equal(samples, SAMPLES)


def test_a_wav_file_of_pythons_own_writer_is_read():
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8_000)
        file.writeframes(SAMPLES.tobytes())
    np.testing.assert_array_equal(read_sound(buffer.getvalue(), "a.wav")[0], SAMPLES)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no SPHERE, WAV or FLAC file: it begins with nothing"),
        (b"\x89PNG", "it begins with 89 50 4e 47"),
        (sphere(SAMPLES, sample_coding="-s26 pcm,embedded-shorten-v2.00"), "'pcm,embedded-shorten-v2.00'.*sph2pipe"),
        (sphere(SAMPLES, sample_coding="-s4 ulaw"), "coded as 'ulaw'"),
        (sphere(SAMPLES, sample_n_bytes="-i 1"), "has 1 bytes a sample, wanted 2"),
        (sphere(SAMPLES, sample_rate=None), "sample_rate -i NUMBER, found no such line"),
        (sphere(SAMPLES, sample_count="-i -5"), "sample_count -i NUMBER, found no such line"),
        (sphere(SAMPLES, sample_count="-i 5000000000"), "claims 10,000,000,000 bytes of samples, 1,000 are there"),
        (sphere(SAMPLES, sample_count="-i 499"), "claims 998 bytes of samples, 1,000 are there"),
        (sphere(SAMPLES, sample_byte_format="-s2 11"), "must be 01 or 10, found '11'"),
        (sphere(SAMPLES, rate=3), "claims 3 samples a second"),
        (sphere(SAMPLES)[:900], "cut short within its header of 1,024 bytes"),
        (sphere(SAMPLES).replace(b"end_head", b"end_hood"), "no line end_head"),
        (b"NIST_1A\nmany   \n", "found 'many'"),
        (sphere(SAMPLES[:0], sample_count="-i 0"), "sample_count -i NUMBER, found '0'"),
        (wav(SAMPLES, bits=24), "found coding 1 of 24 bits in 1 channels"),
        (wav(SAMPLES, coding=7), "found coding 7"),
        (wav(SAMPLES)[:-2], "part 'data' claims 1,000 bytes, 998 are there"),
        (wav(SAMPLES).replace(struct.pack("<I", 1_000), b"\xff" * 4), "claims 4,294,967,295 bytes, 1,000 are there"),
        (wav(SAMPLES)[:36], "has no samples"),
        (wav(SAMPLES[:0]), "has no samples"),
        (wav(SAMPLES).replace(b"WAVE", b"AVI "), "not a WAVE one"),
        (wav(SAMPLES).replace(b"fmt ", b"fmtx"), "come before the part that describes them"),
    ],
)  # fmt: skip
def test_what_is_not_read_is_told_in_one_line(content, message):
    with pytest.raises(ValueError, match=message) as raised:
        read_sound(content, "timit/a.wav")
    assert str(raised.value).startswith("timit/a.wav: ")
    assert "\n" not in str(raised.value)


def test_flac_needs_soundfile_and_says_how_to_get_it(monkeypatch):
    kept = builtins.__import__

    def without(name, *arguments):
        if name == "soundfile":
            raise ImportError
        return kept(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'bench-disentanglement\[audio\]'"):
        read_sound(b"fLaC", "librispeech/a.flac")


def test_flac_gives_its_samples_or_one_line():
    soundfile = pytest.importorskip("soundfile")
    buffer = io.BytesIO()
    soundfile.write(buffer, SAMPLES, 16_000, format="FLAC", subtype="PCM_16")
    samples, rate = read_sound(buffer.getvalue(), "a.flac")
    assert rate == 16_000
    np.testing.assert_array_equal(samples, SAMPLES)
    with pytest.raises(ValueError, match=r"a.flac: cannot be read"):
        read_sound(buffer.getvalue()[:60], "a.flac")


_WANTED = ("a/3.wav", "b/2.wav", "c/6.wav")


def test_names_are_sorted_hidden_ones_left_out_and_rings_of_links_end(tmp_path):
    for name in ("b/2.wav", "b/1.wav", "a/3.wav", ".cache/4.wav", "a/.5.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "a" / "ring").symlink_to(tmp_path)
    elsewhere = tmp_path.parent / f"{tmp_path.name}-elsewhere"
    elsewhere.mkdir()
    (elsewhere / "6.wav").write_bytes(b"c/6.wav")
    (tmp_path / "c").symlink_to(elsewhere)
    assert [str(name) for name in names_in(tmp_path)] == ["a/3.wav", "b/1.wav", "b/2.wav", "c/6.wav"]
    read = dict(files_in(tmp_path, None, lambda name: name.name > "1.wav"))
    assert {str(name): content.decode() for name, content in read.items()} == {
        n: n for n in ("a/3.wav", "b/2.wav", "c/6.wav")
    }
