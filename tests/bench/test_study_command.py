"""``bench study`` on rows that this repository holds: numbers printed and written, and what each question needs."""

import csv
from pathlib import Path

import pytest

ROWS = ["--results", Path(__file__).parents[2] / "results", "--budget", "quick"]
TWO = ["--methods", "slowvae,vae", "--datasets", "dsprites,shapes3d"]


def test_aggregates_are_printed_and_lie_beside_their_figures(typed, tmp_path):
    code, out, err = typed("study", "aggregates", *TWO, *ROWS, "-o", tmp_path)
    assert (code, err) == (0, "")
    names = [f"aggregates-mcc-spearman.{end}" for end in ("md", "csv", "pdf", "svg", "png")]
    names += [f"improvement-mcc-spearman.{end}" for end in ("pdf", "svg", "png")]
    assert out.splitlines()[-len(names) :] == [str(tmp_path / name) for name in names]
    with (tmp_path / names[1]).open(encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert [line["statistic"] for line in lines] == [
        name for name in ("IQM", "mean", "median", "probability of improvement") for _ in range(1 + (name[0] != "p"))
    ]
    for line in lines:
        digits = 2 if line["other"] else 3
        assert f" {float(line['value']):.{digits}f} " in out
    assert "2 methods that all 2 data sets have" in (tmp_path / names[0]).read_text(encoding="utf-8")


def test_figures_for_print_have_their_caption_beside_them(typed, tmp_path):
    assert typed("study", "aggregates", *TWO, *ROWS, "--for", "paper", "-o", tmp_path)[0] == 0
    assert "mcc[spearman] over dsprites, shapes3d" in (tmp_path / "aggregates-mcc-spearman.txt").read_text()


@pytest.mark.parametrize(
    ("question", "needs"),
    [
        ("aggregates", "two methods that two data sets of one source and budget both have scores of"),
        ("ranks", "two methods that two data sets"),
        ("selection", "a method with several cells in one table"),
        ("agreement", "a table with at least eight trained runs"),
    ],
)
def test_a_question_that_has_no_answer_says_what_it_needs(typed, tmp_path, question, needs):
    code, out, err = typed("study", question, "--methods", "pcl,vae", "--datasets", "dsprites", *ROWS, "-o", tmp_path)
    assert (code, out, err.count("\n")) == (0, "", 0)
    assert needs in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["aggregate"], "`bench study` has no 'aggregate'. Did you mean 'aggregates'? It has agreement, "),
        (["aggregates", "--metrics", "mcc[sperman]"], "no row holds 'mcc[sperman]'. Did you mean"),
        (["ranks", "--metrics", "sap"], "no row holds 'sap'. Did you mean sap[linearsvc]?"),
        (["aggregates", "--methods", "slovae"], "no stored rows of method 'slovae'"),
    ],
)
def test_what_does_not_exist_is_said_in_one_line(typed, arguments, message):
    code, out, err = typed("study", *arguments, *ROWS)
    assert (code, out, err.count("\n")) == (2, "", 0)
    assert message in err
