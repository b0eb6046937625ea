"""`bench plot PAPER:FIGURE`: figures that a paper.toml declares, the project's own and a user's."""

from __future__ import annotations

import shutil

import pytest

TABLE = """title = "Mine"

[[tables]]
id = "1"
title = "A table"
methods = { "PCA" = "pca" }
datasets = { "Smiley" = "smiley" }
metrics = [{ published = "MCC", key = "mcc[spearman]" }]
"""


def declared(draw, extra="", methods='{ "PCA" = "pca" }'):
    return f"""{TABLE}
[[figures]]
id = "fig"
title = "A figure"
place = "Figure 9"
draw = "{draw}"
methods = {methods}
datasets = {{ "Smiley" = "smiley" }}
{extra}
"""


@pytest.fixture(scope="module")
def stored(train):
    return train("pca", "smiley", "mcc")


@pytest.fixture
def paper(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    return folder / "paper.toml"


@pytest.mark.parametrize(
    ("draw", "extra", "names"),
    [
        ("sources", "", ["mine-fig-pca.pdf", "mine-fig-pca.png", "mine-fig-pca.svg"]),
        ("codes", "options = { n_images = 3 }", ["mine-fig-pca.pdf", "mine-fig-pca.png", "mine-fig-pca.svg"]),
        ("traversals", "options = { largest = 2, base = 1 }", ["mine-fig-pca.png"]),
        ("scores", "", ["mine-fig.pdf", "mine-fig.png", "mine-fig.svg"]),
        ("correlation", "", ["mine-fig-pca.pdf", "mine-fig-pca.png", "mine-fig-pca.svg"]),
    ],
)
def test_a_users_figure_is_data(typed, stored, paper, tmp_path, draw, extra, names):
    paper.write_text(declared(draw, extra))
    code, out, err = typed("plot", f"{paper}:fig", "--results", stored.root, "-o", tmp_path / "out")
    assert (code, err) == (0, "")
    made = sorted((tmp_path / "out").rglob("*.*"))
    assert [path.name for path in made] == names
    assert sorted(out.split("\n")) == [str(path) for path in made]
    assert {path.parent.name for path in made} == {"smiley-generated-smoke"}


def test_for_a_paper_it_is_one_pdf_with_its_caption(typed, stored, paper, tmp_path):
    paper.write_text(declared("sources"))
    code, out, _ = typed("plot", f"{paper}:fig", "--for", "paper", "--results", stored.root, "-o", tmp_path / "out")
    assert code == 0
    assert [line.rpartition(".")[2] for line in out.split("\n")] == ["pdf", "txt"]


def test_what_lacks_is_said_with_the_command_that_makes_it(typed, stored, paper, tmp_path):
    paper.write_text(declared("sources", methods='{ "PCA" = "pca", "VSC" = "vsc", "Theirs" = "" }'))
    code, out, err = typed("plot", f"{paper}:fig", "--results", stored.root, "-o", tmp_path / "out")
    assert (code, out.count("\n")) == (0, 2)
    assert err == (
        f"bench: {paper}:fig lacks vsc on smiley (not run). `bench paper run {paper}:fig --budget quick --results "
        f"{stored.root}` makes it"
    )


def test_files_that_are_elsewhere_are_made_in_another_store(typed, stored, paper, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(stored.root / "rows", copy / "rows")
    paper.write_text(declared("traversals"))
    code, out, err = typed("plot", f"{paper}:fig", "--results", copy)
    assert (code, out, err.count("\n")) == (2, "", 0)
    assert "pca on smiley (its files are not in this store)" in err
    assert f"`bench paper run {paper}:fig --budget quick --results again` makes it, then `bench plot " in err


def test_published_curves_stand_alone_where_nothing_was_run(typed, tmp_path):
    code, out, err = typed("plot", "vsc:elbo", "--results", tmp_path, "-o", tmp_path / "out")
    assert code == 0
    assert sorted(path.name for path in (tmp_path / "out").rglob("*.png")) == [
        "vsc-elbo-Fashion-MNIST.png", "vsc-elbo-MNIST.png",
    ]  # fmt: skip
    assert len(out.split("\n")) == 6
    assert "lacks convvsc[" in err
    assert err.endswith(f"`bench paper run vsc:elbo --budget quick --results {tmp_path}` makes it")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("scors", "draws no 'scors'. Did you mean 'scores'? It draws scores, curves, "),
        ("cdsvea:fig3", "unknown paper 'cdsvea'. Did you mean 'cdsvae'?"),
        ("cdsvae:fig33", "cdsvae has no figure 'fig33'. Did you mean 'fig3'? It has fig3, fig4, fig5, fig6"),
        ("cdsvae:1", "cdsvae:1 is a table; `bench paper show cdsvae:1` shows it"),
        ("fdae:1", "fdae has no figures here"),
        ("cdsvae:fig3", "cdsvae:fig3 lacks cdsvae on sprites (not run). `bench paper run cdsvae:fig3"),
    ],
)
def test_what_cannot_be_drawn_is_one_line_and_exit_2(typed, tmp_path, name, message):
    code, out, err = typed("plot", name, "--results", tmp_path)
    assert (code, out, err.count("\n")) == (2, "", 0)
    assert message in err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (declared("pie"), "figure fig: draw is 'pie', wanted one of swaps, codes, "),
        (declared("codes", "options = { largest = 3 }"), "figure fig: options has 'largest'; entries are n_images"),
        (declared("statistics"), "figure fig has 'methods'"),
        (declared("sweep", 'lines = { "1" = "A" }\noptions = { parameter = "d", label = "d" }'), "has 'datasets'"),
        (TABLE + '[[figures]]\nid = "f"\ntitle = "T"\nplace = "P"\ndraw = "sweep"\nlines = { "2" = "A" }\n'
         'options = { parameter = "d", label = "d" }', "figure f: there is no table '2'"),
        (TABLE + '[[figures]]\nid = "f"\ntitle = "T"\nplace = "P"\ndraw = "sweep"\nlines = { "1" = "A" }',
         "figure f: options lacks 'label'"),
        (TABLE + '[[figures]]\nid = "f"\ntitle = "T"\ndraw = "codes"', "figure f lacks 'place'"),
        (declared("codes").replace('"fig"', '"1"'), "two tables or figures are called '1'"),
    ],
)  # fmt: skip
def test_a_declaration_that_is_wrong_is_named(typed, paper, text, message):
    paper.write_text(text)
    code, _, err = typed("plot", f"{paper}:fig")
    assert (code, err.count("\n")) == (2, 0)
    assert message in err


def test_a_figure_is_listed_and_shown_and_run_by_the_right_command(typed, tmp_path):
    _, out, _ = typed("paper", "list")
    assert "cdsvae:fig3" in out
    assert "(Figure 3; `bench plot cdsvae:fig3`)" in out
    code, _, err = typed("paper", "show", "cdsvae:fig3")
    assert (code, err) == (2, "bench: cdsvae:fig3 is a figure; `bench plot cdsvae:fig3` draws it")
    code, _, err = typed("paper", "run", "slowvae:statistics", "--results", tmp_path)
    assert (code, err) == (2, "bench: slowvae:statistics needs no runs; `bench plot slowvae:statistics` draws it")
