"""``bench compare`` on rows that this repository holds."""

from pathlib import Path

import pytest

ROWS = ["--results", str(Path(__file__).parents[2] / "results"), "--datasets", "dsprites", "--budget", "quick"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["slowvae", "--with", "betvae"], "unknown method 'betvae'. Did you mean 'betavae'?"),
        (["slowvae[gama=1]", "--with", "betavae"], "unknown parameter 'gama' (from METHODS slowvae[gama=1])"),
        (["slowvae", "--with", "betavae", "--metrics", "mcc[sperman]"], "no row holds 'mcc[sperman]'. Did you mean"),
        (["slowvae", "--with", "vae[n_latents=3]"], "no table has scores of both 'slowvae' and 'vae[n_latents=3]'"),
        (["slowvae", "--with", "vae", "--methods", "vae"], "--methods is not for this command"),
    ],
)
def test_what_cannot_be_compared_is_said_in_one_line(bench_in_process, arguments, message):
    code, error = bench_in_process("compare", *arguments, *ROWS)
    assert code == 2
    assert message in error
    assert error.count("\n") == 1


def test_each_method_gets_a_line_of_its_own(bench_in_process, capsys, monkeypatch):
    said = []
    monkeypatch.setattr("sys.stdout.write", said.append)
    code, _ = bench_in_process(
        "compare", "slowvae,oracle", "--each", "--with", "betavae,untrained", "--metrics", "mcc[spearman]",
        "--format", "md", *ROWS,
    )  # fmt: skip
    assert code == 0
    table = "".join(said).splitlines()
    assert [line.split(" | ")[2] for line in table[2:]] == ["slowvae", "oracle"]
    assert " | 1 | " in table[3]
    assert table[3].split(" | ")[8] == "better"
