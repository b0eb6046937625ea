"""The command line on hostile files and hostile words: an exit code, one line, no traceback; nothing trains here."""

from __future__ import annotations

import contextlib
import io
import sys

import pytest
from guard import Broken, check_line, effort, outcome
from hypothesis import given
from hypothesis import strategies as st
from mutations import TEXTS
from test_codes import GOOD_CSV, GOOD_HDF5, GOOD_NPY, GOOD_NPZ, archives, arrays, hierarchies, tables
from test_rows import GOOD as GOOD_ROWS
from test_rows import contents, placed
from test_specs import TYPED

from bench.cli import main
from bench.cli import run as run_command

WORDS = st.one_of(
    st.sampled_from([text for text in TEXTS if "\x00" not in text and text != "\ud800"]),
    st.sampled_from(["--help", "--json", "--metrics", "mcc[pearson]", "--rows", "-o", "--results", ".", "--seed", "5", "--", "--budget", "quick"]),
    st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=6), st.just("\udcff"),
)  # fmt: skip


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
    (tmp_path / "good.npz").write_bytes(GOOD_NPZ[0])
    call("score", "good.npz", "--metrics", "mcc[pearson],mig", "--json")
    placed(tmp_path / "good", b"{}")
    call("table", "--results", "good")
    return tmp_path


FILES = st.one_of(
    archives(), arrays(), tables().map(lambda text: text.encode("utf-8", "surrogatepass")), hierarchies(),
    st.sampled_from([*GOOD_NPZ, *GOOD_NPY, *GOOD_CSV, *GOOD_HDF5]),
)  # fmt: skip
SCORING = (
    (), ("--json",), ("--metrics", "mig"), ("--metrics", "mcc[spearman],modularity"), ("--discrete", "all"), ("--discrete", "\x1b[2J"),
    ("--protocol", "slowvae2021"), ("--protocol", "x" * 300), ("--metrics", ""), ("--metrics", "[[["), ("--seed", "-1"), ("--name", "../x"),
    ("--factors", "good.npz"), ("--factors", "."), ("--factors", "/dev/zero"), ("--save",), ("--save", "--dataset", "../../x"),
)  # fmt: skip


@effort(100)
@given(content=FILES, options=st.sampled_from(SCORING))
def test_score(folder, content, options):
    (folder / "given.dat").write_bytes(content)
    metrics = () if "--metrics" in options else ("--metrics", "mcc[pearson]")
    run("bench score", folder, "score", "given.dat", *metrics, *options)


@effort(100)
@given(content=contents(), options=st.lists(WORDS, max_size=3), form=st.sampled_from(["text", "md", "csv", "latex", "pdf"]))
def test_table(folder, content, options, form):
    placed(folder / "results", content)
    if "-o" in options or any(word.startswith("-o") for word in options):
        return
    run("bench table", folder, "table", "--format", form, *options)
    run("bench table, rows", folder, "table", "--rows")


@effort(100)
@given(methods=TYPED, datasets=st.one_of(st.just("natural_sprites"), TYPED), options=st.lists(WORDS, max_size=2))
def test_run(folder, methods, datasets, options):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_command, "_run", lambda *_: 0)
        patch.setattr("bench.estimate.expected_seconds", lambda specs, *_: (dict.fromkeys([s.hash for s in specs], 1.0), "x"))
        patch.setattr("bench.grid.refusal", lambda *_: "")
        typed = [word.replace("\x00", "") for word in (methods, datasets)]
        run("bench run", folder, "run", "--methods", typed[0], "--datasets", typed[1], *options, "--dry-run")


@effort(100)
@given(command=st.sampled_from(["show", "list", "traverse", "report", "merge", "table", "score", "data", "x", "\x1b"]), words=st.lists(WORDS, min_size=1, max_size=3))  # fmt: skip
def test_any_words(folder, command, words):
    if any(word.startswith(("-o", "--output")) for word in words):
        return
    run("bench, any words", folder, command, *words)


def test_good_files_are_scored(folder):
    assert run("bench score", folder, "score", "good.npz", "--metrics", "mcc[pearson]") == 0
    placed(folder / "results", __import__("json").dumps(GOOD_ROWS[0]).encode())
    assert run("bench table", folder, "table") == 0
    assert sys.stdout is not None
