"""``bench paper`` as it is typed."""

import pytest


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "slowave"], "unknown paper 'slowave'. Did you mean 'slowvae'? `bench paper list` shows all"),
        (["show", "slowvae:kiti"], "slowvae has no table 'kiti'. Did you mean 'kitti'? It has kitti, "),
        (["show", "nowhere.csv"], "nowhere.csv: cannot be read as CSV"),
        (["show", "slowvae:kitti", "-o", "no/such/folder.md"], "there is no folder no/such"),
        (["run", "slowvae:kitti", "--budget", "fast"], "smoke, quick, standard"),
    ],
)
def test_what_does_not_exist_is_said_in_one_line(bench_in_process, arguments, message):
    code, error = bench_in_process("paper", *arguments)
    assert code == 2
    assert message in error
    assert error.count("\n") == 1


def test_the_grid_of_a_table_is_counted_without_training(bench, tmp_path):
    done = bench(
        "paper", "run", "slowvae:kitti", "--budget", "smoke", "--seeds", "2", "--dry-run",
        "--results", str(tmp_path / "r"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "6 runs to do" in done.stdout
    assert not (tmp_path / "r" / "rows").exists()
