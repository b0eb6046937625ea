import csv
import io

import pytest
from synthetic_rows import DATA, row, seeds

from bench import registry
from bench.report.frame import groups
from bench.report.paper_tables import compare, is_of, render
from bench.report.papers import BadPaper, Metric, PaperTable, Published, from_csv, papers, read_paper
from bench.running.grid import resolved_methods
from bench.selection import parse, resolve_config
from metrics.registry import output_of

KEY = "mcc[spearman]"
PAPERS = papers()
HEAD = "table,dataset,method,metric,value,spread,note\n"


def published(method, value, note=""):
    return Published("1", "NS", "", method, "MCC", value, None, "", "", note)


def table(*numbers, methods=(("Slow", "slowvae"), ("Beta", "betavae"), ("Other", ""))):
    return PaperTable("1", "A table", methods, (("NS", "natural_sprites"),), (Metric("MCC", KEY, 100),), numbers)


def resolve(text, budget):
    return [(text, row(text)["spec"]["method_params"])]


def blocks(of, *rows):
    return compare(of, groups([r for each in rows for r in each]), resolve, lambda key: True)


def test_ours_stand_beside_the_published_number_in_its_unit():
    (block,) = blocks(table(published("Slow", 50.0)), seeds("slowvae", [0.5, 0.52, 0.54]))
    slow, beta, other = block.entries
    assert slow.ours.mean == pytest.approx(52)
    assert slow.difference == pytest.approx(2)
    # Student's t of 95 % at 2 degrees of freedom, 4.303, times the standard error 2 / √3
    assert slow.in_half_widths == pytest.approx(2 / (4.302653 * 2 / 3**0.5), rel=1e-5)
    assert (beta.reason, beta.published) == ("not run", None)
    assert other.reason == "not in this suite"


@pytest.mark.parametrize(
    ("first", "second", "tau", "is_same"),
    [
        pytest.param([0.8, 0.8, 0.8], [0.2, 0.3, 0.4], 1.0, True, id="the same order at every seed"),
        pytest.param([0.1, 0.1, 0.1], [0.2, 0.3, 0.4], -1.0, False, id="the other order at every seed"),
        pytest.param([0.8, 0.8, 0.1], [0.2, 0.3, 0.4], 1 / 3, True, id="one seed of three differs"),
    ],
)
def test_kendalls_tau_is_taken_at_each_seed(first, second, tau, is_same):
    (block,) = blocks(
        table(published("Slow", 70.0), published("Beta", 60.0)), seeds("slowvae", first), seeds("betavae", second)
    )
    assert block.order.tau.mean == pytest.approx(tau)
    assert block.order.tau.n == 3
    assert block.order.is_same is is_same


@pytest.mark.parametrize(("scale", "higher"), [(100, True), (-1, False)])
def test_a_negative_scale_turns_the_direction_round(scale, higher):
    of = PaperTable("1", "T", (("Slow", "slowvae"),), (("NS", "natural_sprites"),), (Metric("nll", KEY, scale),), ())
    (block,) = blocks(of, seeds("slowvae", [0.5, 0.52, 0.54]))
    assert block.higher_is_better is higher
    assert block.entries[0].ours.mean == pytest.approx(0.52 * scale)


@pytest.mark.parametrize(
    ("text", "changes", "is_ours"),
    [
        ("natural_sprites", {}, True),
        ("natural_sprites", {"n_train": 7}, True),  # sizes may differ
        ("natural_sprites", {"form": "continuous"}, False),  # not what the budget has
        ("natural_sprites[form=continuous]", {"form": "continuous"}, True),
        ("natural_sprites[form=continuous]", {}, False),
    ],
)
def test_a_group_is_of_a_published_data_set_only_with_its_parameters(text, changes, is_ours):
    (group,) = groups(seeds("slowvae", [0.5], dataset_params=DATA | changes))
    assert is_of(group, text, lambda kind, name, budget: {"form": "discrete", "n_train": 50_000}) is is_ours


def test_one_method_has_no_order():
    (block,) = blocks(table(published("Slow", 70.0)), seeds("slowvae", [0.5]), seeds("betavae", [0.4]))
    assert block.order is None


def test_rows_of_other_parameters_or_data_are_not_the_papers():
    other = [row("slowvae", s, {KEY: 0.9}, n_steps=7) for s in range(3)]
    (block,) = blocks(table(published("Slow", 70.0)), other)
    assert block.entries[0].reason == "not run"
    (block,) = blocks(table(published("Slow", 70.0)), seeds("slowvae", [0.9], dataset="elsewhere"))
    assert block.group is None


@pytest.mark.parametrize("form", ["text", "md", "latex", "csv"])
def test_every_format_holds_the_number_the_flag_and_what_was_not_run(form):
    of = table(published("Slow", 51.25, note="a <b>strange</b> number"))
    text = render(next(iter(PAPERS.values())), of, blocks(of, seeds("slowvae", [0.5, 0.6, 0.7])), form)
    for wanted in ("51.25", "not run", "not in this suite", "strange"):
        assert wanted in text
    assert form in ("csv", "text") or "<b>" not in text


def test_a_table_without_published_numbers_says_so_and_shows_ours():
    of = table()
    text = render(next(iter(PAPERS.values())), of, blocks(of, seeds("slowvae", [0.5, 0.6, 0.7])), "text")
    assert "could not be obtained" in text
    assert "60 ±" in text


def test_csv_can_be_read_back():
    of = table(published("Slow", 50.0))
    text = render(next(iter(PAPERS.values())), of, blocks(of, seeds("slowvae", [0.5, 0.52, 0.54])), "csv")
    first = next(csv.DictReader(io.StringIO(text)))
    assert (first["published"], float(first["ours"]), first["n_seeds"]) == ("50.0", pytest.approx(52), "3")


@pytest.mark.parametrize("name", PAPERS)
def test_declared_tables_name_things_that_exist(name):
    for one in PAPERS[name].tables:
        for _, ours in one.methods:
            for selected in parse(ours, "methods") if ours else ():
                assert selected.name in registry.methods(), (one.id, selected.name)
        for _, ours in one.datasets:
            (selected,) = parse(ours, "datasets")
            assert selected.name in registry.datasets(), (one.id, selected.name)
        for metric in one.metrics:
            output_of(metric.key)
        lines = {label for label, _ in one.methods}
        known = {getattr(number, one.lines) for number in one.published}
        assert not one.published or lines & known, one.id


@pytest.mark.parametrize("name", PAPERS)
def test_declared_figures_name_methods_with_parameters_that_exist_and_data_that_they_run_on(name):
    for one in PAPERS[name].figures:
        for _, ours in one.datasets:
            (selected,) = parse(ours, "datasets")
            data = registry.dataset(selected.name)
            config = resolve_config(data.config, data.card.budgets["quick"], selected, "figure")
            for _, method in one.methods:
                ((method_name, _),) = resolved_methods(method, "quick", "figure")
                views = data.card.describe(config).views
                assert registry.method(method_name).card.view in views, (one.id, method, ours)


def test_numbers_from_memory_are_not_among_the_published_ones():
    notes = [number.note for paper in PAPERS.values() for one in paper.tables for number in one.published]
    assert len(notes) > 300
    assert not any("recalled" in note for note in notes)


def test_a_users_csv_is_a_paper(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text(HEAD + f'A,natural_sprites,slowvae,"{KEY}",0.5,,\nB,natural_sprites,betavae,"{KEY}",0.4,0.1,\n')
    paper = from_csv(path)
    assert [one.id for one in paper.tables] == ["A", "B"]
    (block,) = blocks(paper.tables[0], seeds("slowvae", [0.5, 0.52, 0.54]))
    assert block.entries[0].difference == pytest.approx(0.02)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("method,dataset,value\na,b,1\n", "column 'metric' is missing"),
        (HEAD + "1,d,m,k,fast,,\n", "line 2: value is 'fast', no number"),
        (HEAD + "1,d,m,k,nan,,\n", "line 2: value is 'nan', no number"),
        (HEAD + "1,d,m\n", "line 2: another number of columns"),
        (HEAD, "no rows below the header"),
        ("\x00", "is missing"),
    ],
)
def test_a_bad_csv_is_refused_by_its_line(tmp_path, text, message):
    path = tmp_path / "mine.csv"
    path.write_text(text)
    with pytest.raises(BadPaper, match=message):
        from_csv(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title = 3 4", "paper.toml"),
        ('title = "x"', "lacks 'tables'"),
        ('title = "x"\ntable = []\ntables = []', "has 'table'; entries are"),
        ('title = "x"\n[[tables]]\nid = "1"', "table 1 lacks 'datasets'"),
    ],
)
def test_a_bad_declaration_is_refused(tmp_path, text, message):
    path = tmp_path / "paper.toml"
    path.write_text(text)
    with pytest.raises(BadPaper, match=message):
        read_paper(path)


def test_numbers_of_c_dsvae_are_those_of_the_paper():
    first = PAPERS["cdsvae"].table("1")
    assert first.value("Sprites", "C-DSVAE", "acc_pct").value == 99.99
    assert first.value("Sprites", "MoCoGAN", "IS").value == 8.461
    assert "not consistent" in first.value("Sprites", "MoCoGAN", "IS").note
    assert PAPERS["cdsvae"].table("4").value("TIMIT", "C-DSVAE", "content_eer_pct") is not None
