"""The tab key: names and options complete, quickly, in the shells' own words."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from bench.cli import cli, completion, main
from bench.spec import BUDGETS

ROOT = Path(__file__).parents[2]
COMMITTED = str(ROOT / "results")
ROWS = ROOT / "results" / "rows"
HASH = min(path.stem for path in ROWS.glob("natural_sprites/pca/*.json"))
WITH_ORACLE = sorted(f"oracle/{path.parent.name}/" for path in ROWS.glob("*/oracle"))
SLOWVAE = "slowvae/natural_sprites"


def complete(*words):
    """What would be proposed for the last word."""
    *before, last = words
    return [item.value for item in ShellComplete(cli, {}, "bench", "_BENCH_COMPLETE").get_completions(before, last)]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("run", "--methods", "slow"), ["slowvae"]),
        (("run", "--methods", "slowvae,oracl"), ["slowvae,oracle"]),
        (("run", "--methods", "betavae[beta=1,4],slowv"), ["betavae[beta=1,4],slowvae"]),
        (("run", "--methods", "slowvae,slowv"), []),
        (("run", "--datasets", "natural_"), ["natural_sprites"]),
        (("run", "--metrics", "mig,mcc[spearman,m"), ["mig,mcc[spearman,matched]"]),
        (("run", "--budget", "s"), ["smoke", "standard"]),
        (("run", "--protocol", "slow"), ["slowvae2021"]),
        (("run", "--met"), ["--methods", "--metrics"]),
        (("score", "c.npz", "--metrics", "reconstr"), ["reconstruction[mse]"]),
        (("table", "--metrics", "dci[gbt]/comp"), ["dci[gbt]/completeness"]),
        (("table", "--methods", "random"), ["random_codes"]),
        (("show", "natural_"), ["natural_sprites"]),
        (("data", "show", "natural_"), ["natural_sprites"]),
        (("list", "me"), ["methods", "metrics"]),
        (("completion", ""), ["bash", "zsh", "fish"]),
        (("mer",), ["merge"]),
        (("report", "--results", COMMITTED, HASH[:12]), [HASH]),
        (("traverse", "--results", COMMITTED, f"{SLOWVAE}/"), [f"{SLOWVAE}/{seed}" for seed in range(3)]),
        (("report", "--results", COMMITTED, "orac"), ["oracle/"]),
        (("report", "--results", COMMITTED, "oracle/"), WITH_ORACLE),
        (("report", "--results", "nowhere", ""), []),
        (("frobnicate", ""), None),
    ],
)  # fmt: skip
def test_the_last_word_completes(words, expected):
    found = complete(*words)
    assert found == expected if expected is not None else isinstance(found, list)


def test_names_come_from_a_note_that_a_change_of_the_code_makes_anew(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    assert "slowvae" in completion.names_of("methods")
    note = tmp_path / "names.json"
    known = json.loads(note.read_text())
    note.write_text(json.dumps(known | {"names": known["names"] | {"methods": ["from_the_note"]}}))
    assert completion.names_of("methods") == ["from_the_note"]
    monkeypatch.setattr(completion, "_stamp", lambda: "another state of the code")
    assert "slowvae" in completion.names_of("methods")


def test_a_broken_note_or_package_gives_names_or_nothing_never_a_traceback(tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    for content in ("{", "[]", '{"stamp": 1}', "\x00"):
        (tmp_path / "names.json").write_text(content)
        assert "mig[hist20]" in completion.names_of("metrics")
    (tmp_path / "names.json").unlink()

    def breaks():
        raise SyntaxError("in a package of the user's")

    monkeypatch.setattr("bench.registry.methods", breaks)
    assert completion.names_of("methods") == []


def test_completing_a_noted_name_imports_neither_torch_nor_a_method(tmp_path):
    """The process that a shell starts for one press of the tab key."""
    environment = {**os.environ, "BENCH_CACHE": str(tmp_path), "_BENCH_COMPLETE": "bash_complete"}
    environment |= {"COMP_WORDS": "bench run --methods slowv", "COMP_CWORD": "3"}
    stamp = completion._stamp()
    names = {"methods": ["slowvae"], "datasets": [], "metrics": [], "keys": []}
    (tmp_path / "names.json").write_text(json.dumps({"stamp": stamp, "names": names}))
    code = (
        "import atexit, sys\n"
        "heavy = ('torch', 'methods.slowvae', 'pandas', 'sklearn', 'matplotlib', 'scipy')\n"
        "atexit.register(lambda: print([m for m in heavy if m in sys.modules], file=sys.stderr))\n"
        "from bench.cli import main\nmain()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.stdout == "plain,slowvae\n"
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_printed_script_is_the_shells_and_calls_bench(capsys, shell):
    with pytest.raises(SystemExit) as ended:
        main(["completion", shell])
    text = capsys.readouterr().out
    assert not ended.value.code
    assert f"_BENCH_COMPLETE={shell}_complete" in text
    if shell == "fish":
        assert 'string split -m 1 "," $completion' in text
        assert 'string split ","' not in text
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=text, text=True, check=True)


def test_another_shell_is_one_line_and_exit_2(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["completion", "tcsh"])
    assert ended.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_every_budget_is_proposed_as_the_spec_knows_it():
    assert complete("run", "--budget", "") == list(BUDGETS)
