"""The command line on hostile files and hostile words: an exit code, one line, no traceback; nothing trains here."""

from __future__ import annotations

import contextlib
import io
import json

import array_files
import hdf5_files
import pytest
from guard import Broken, check_line, effort, outcome
from hypothesis import given
from mutations import TEXTS, made, some_text
from test_rows import GOOD as GOOD_ROWS
from test_rows import contents, placed
from test_specs import typed

from bench.cli import main
from bench.cli import run as run_command

OPTIONS = (
    "--help", "--json", "--metrics", "mcc[pearson]", "--rows", "--results", ".", "--seed", "5", "--", "--budget",
    "quick",
)  # fmt: skip


def word(rng):
    """What a shell can hand over: any text without a NUL, odd bytes as half surrogates."""
    text = rng.choice((rng.choice(TEXTS), rng.choice(OPTIONS), some_text(rng, 6), "\udcff"))
    text = "".join(
        char for char in text if char != "\x00" and ("\udc80" <= char <= "\udcff" or not "\ud800" <= char <= "\udfff")
    )
    return "x" if text.startswith(("-o", "--o")) else text  # would write


def words(rng, most=3):
    return [word(rng) for _ in range(rng.randint(0, most))]


def call(*arguments):
    """Exit code, standard output and standard error of one command line, encoded as a terminal would have them."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="strict", write_through=True)
    err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace", write_through=True)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(arguments)
        except SystemExit as ended:
            code = ended.code
    return code, out.buffer.getvalue().decode(), err.buffer.getvalue().decode()


def run(reader, folder, *arguments, writes=False):
    """Call, and hold the answer against what the command line promises."""
    code, out, err = outcome(reader, lambda: call(*arguments), (), folder=folder, writes=writes)
    if "Traceback" in err or code not in (0, 1, 2):
        raise Broken(f"{arguments}: {code} {err:.300}")
    if code == 2:
        if out or not err.startswith("bench: ") or not err.endswith("\n"):
            raise Broken(f"{arguments}: {out:.100} {err:.300}")
        check_line(err[:-1][:1000])
    if any(not (char.isprintable() or char == "\n") for char in out):
        raise Broken(f"{arguments}: moves the cursor: {ascii(out)[:200]}")
    return code


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.npz").write_bytes(array_files.GOOD_NPZ[0])
    call("score", "good.npz", "--metrics", "mcc[pearson],mig", "--json")
    placed(tmp_path / "good", b"{}")
    call("table", "--results", "good")
    return tmp_path


GOOD = (*array_files.GOOD_NPZ, *array_files.GOOD_CSV, *hdf5_files.GOOD_HDF5)
MAKERS = (array_files.npz, array_files.npy, array_files.csv, hdf5_files.hdf5, lambda rng: rng.choice(GOOD))
SCORING = (
    (), ("--json",), ("--metrics", "mig"), ("--metrics", "mcc[spearman],modularity"), ("--discrete", "all"),
    ("--discrete", "\x1b[2J"),
    ("--protocol", "slowvae2021"), ("--protocol", "x" * 300), ("--metrics", ""), ("--metrics", "[[["), ("--seed",
    "-1"), ("--name", "../x"),
    ("--factors", "good.npz"), ("--factors", "."), ("--factors", "/dev/zero"), ("--save",), ("--save", "--dataset",
    "../../x"),
)  # fmt: skip


@effort(80)
@given(asked=made(lambda rng: (rng.choice(MAKERS)(rng), rng.choice(SCORING))))
def test_score(folder, asked):
    content, options = asked
    (folder / "given.dat").write_bytes(content)
    metrics = () if "--metrics" in options else ("--metrics", "mcc[pearson]")
    run("bench score", folder, "score", "given.dat", *metrics, *options)


FORMS = ("text", "md", "csv", "latex", "pdf")


@effort(60)
@given(asked=made(lambda rng: (contents(rng), rng.choice(FORMS), words(rng) if rng.random() < 0.3 else [])))
def test_table(folder, asked):
    content, form, options = asked
    placed(folder / "results", content)
    run("bench table", folder, "table", "--format", form, *options)
    run("bench table --rows", folder, "table", "--rows")


def plain(text):
    return text.replace("\x00", "")


@effort(80)
@given(asked=made(lambda rng: (typed(rng), rng.choice(("natural_sprites", typed(rng))), words(rng, 2))))
def test_run(folder, asked):
    methods, datasets, options = asked
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_command, "_run", lambda *_: 0)
        patch.setattr(
            "bench.running.estimate.expected_seconds", lambda specs, *_: ({spec.hash: 1.0 for spec in specs}, "x")
        )
        patch.setattr("bench.running.grid.refusal", lambda *_: "")
        arguments = ("--methods", plain(methods), "--datasets", plain(datasets), *options, "--dry-run")
        run("bench run --dry-run", folder, "run", *arguments)


COMMANDS = ("show", "list", "traverse", "report", "merge", "table", "score", "data", "x", "\x1b")


@effort(80)
@given(arguments=made(lambda rng: [rng.choice(COMMANDS), word(rng), *words(rng, 2)]))
def test_any_words(folder, arguments):
    run("bench, any words", folder, *arguments)


def test_good_files_are_scored(folder):
    assert run("bench score", folder, "score", "good.npz", "--metrics", "mcc[pearson]") == 0
    placed(folder / "results", json.dumps(GOOD_ROWS[0]).encode())
    assert run("bench table", folder, "table") == 0
