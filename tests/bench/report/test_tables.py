import csv
import io
import re
import subprocess
import sys

import pytest
from synthetic_rows import row, seeds, study

from bench.report.leaderboard import write
from bench.report.long_csv import COLUMNS, to_csv
from bench.report.render import render
from bench.report.tables import tables

KEY = "mcc[spearman]"
EVIL = "a|b <script>alert(1)</script> [x](http://evil) ![i](www.evil.org) *b* `c` \x1b[31m\nq"


def lines_of(*rows, key=KEY):
    (table,) = tables([r for group in rows for r in group])
    return {line.label: line for line in table.lines}, table


def text_line(text, label):
    return next(line for line in text.splitlines() if line.startswith(label))


CLEAR = [0.80, 0.81, 0.82]
LOW = [0.40, 0.41, 0.42]


@pytest.mark.parametrize(
    ("rows", "bold"),
    [
        pytest.param([("slowvae", CLEAR), ("betavae", LOW)], {"slowvae"}, id="intervals apart"),
        pytest.param([("slowvae", CLEAR), ("betavae", [0.5, 0.8, 0.6])], set(), id="intervals overlap"),
        pytest.param([("slowvae", CLEAR), ("betavae", CLEAR)], set(), id="a tie"),
        pytest.param([("slowvae", CLEAR), ("betavae", [0.4, 0.41])], set(), id="too few seeds to say"),
        pytest.param([("slowvae", CLEAR)], set(), id="nothing to compare with"),
        pytest.param([("slowvae", CLEAR), ("pca", LOW)], {"slowvae"}, id="better than a reference point"),
        pytest.param([("slowvae", LOW), ("pca", CLEAR)], set(), id="a reference point is better"),
        pytest.param(
            [("slowvae", LOW), ("vae", [0.1, 0.11, 0.12]), ("oracle", CLEAR)], {"slowvae"}, id="oracle is apart"
        ),
    ],
)
def test_bold_is_only_a_trained_method_whose_interval_stands_apart(rows, bold):
    lines, _ = lines_of(*(seeds(method, values) for method, values in rows))
    assert {label for label, line in lines.items() if line.best} == bold


def test_bold_follows_the_direction_of_the_metric():
    lines, _ = lines_of(seeds("slowvae", CLEAR, "reconstruction"), seeds("betavae", LOW, "reconstruction"))
    assert lines["betavae"].best == {"reconstruction"}
    assert not lines["slowvae"].best


def test_a_method_with_lost_seeds_is_never_bold():
    lost = [row("slowvae", 3, status="diverged", reason="loss is NaN at step 12")]
    lines, _ = lines_of(seeds("slowvae", CLEAR), lost, seeds("betavae", LOW))
    assert not lines["slowvae"].best


def test_a_metric_without_a_card_has_no_direction_and_no_bold():
    lines, table = lines_of(seeds("slowvae", CLEAR, "outside"), seeds("betavae", LOW, "outside"))
    assert not any(line.best for line in lines.values())
    assert table.columns[0].title == "outside"


def test_text_shows_mean_and_half_width():
    # 0.80, 0.81, 0.82: mean 0.81, half-width 4.3027 · 0.01 / √3 = 0.0248
    text = render(tables(seeds("slowvae", CLEAR)), "text")
    assert re.search(r"^slowvae +3 +0\.810 ± 0\.025", text, re.M)


def test_fewer_than_three_seeds_are_shown_as_points():
    text = render(tables([*seeds("slowvae", [0.5]), *seeds("betavae", [0.4, 0.45])]), "text")
    assert re.search(r"^slowvae +1 +0\.500 ", text, re.M)
    assert re.search(r"^betavae +2 +0\.400; 0\.450 ", text, re.M)


@pytest.mark.parametrize("form", ["text", "md", "latex"])
def test_every_table_says_how_its_numbers_were_made(form):
    page = render(tables(study()), form).replace("\\", "")
    for fact in ("budget: quick", "protocol: quick", "source: generated", "bfloat16", "bench: 0.1.0", "torch: 2.13.0"):
        assert fact in page
    assert re.search("seeds: 0(–|--)2", page)
    assert "slowvae: pairs, 1,200 steps, beta=1, n_latents=10" in page.replace("{[}", "[")


@pytest.mark.parametrize("form", ["text", "md", "latex"])
def test_floor_and_ceiling_come_from_the_cards(form):
    page = render(tables(seeds("slowvae", CLEAR)), form)
    floor = next(line for line in page.splitlines() if "floor" in line.split(":")[0] and "0.02" in line)
    ceiling = next(line for line in page.splitlines() if "ceiling" in line.split(":")[0] and "0.985" in line)
    assert floor != ceiling


@pytest.mark.parametrize("form", ["text", "md", "latex"])
def test_a_method_whose_seeds_are_all_lost_is_shown_with_the_reason(form):
    rows = [row("vae", s, status="failed", reason="loss is NaN\nTraceback (most recent call last)") for s in range(3)]
    page = render(tables([*seeds("slowvae", CLEAR), *rows]), form)
    assert re.search(r"vae.*0/3.*(—|---) \(3/3 failed: loss is NaN\)", page)
    assert "Traceback" not in page


def test_partly_lost_cells_are_marked_and_explained():
    rows = [*seeds("vae", [0.5]), *(row("vae", s, status="failed", reason="killed") for s in (1, 2))]
    text = render(tables(rows), "text")
    assert re.search(r"^vae \[a\] +1/3 +0\.500", text, re.M)
    assert "[a] 2/3 failed: killed. The numbers are those of the other seeds" in text


def test_a_missing_score_has_a_footnote_with_its_reason():
    rows = seeds("vae", [0.5, 0.6, (None, "factor 0 is constant")])
    text = render(tables(rows), "text")
    assert "0.500; 0.600 [a]" in text
    assert "[a] 1/3 without a score: factor 0 is constant" in text


@pytest.mark.parametrize("form", ["text", "md", "latex"])
def test_a_metric_that_nobody_has_is_a_line_and_no_column(form):
    why = {key: (None, f"{key} needs discrete factors") for key in ("mig[hist20]", "modularity[hist20]")}
    rows = [row(name, s, {"mcc[spearman]": 0.5, **why}) for name in ("vae", "slowvae") for s in range(3)]
    (found,) = tables(rows)
    assert [c.key for c in found.columns] == ["mcc[spearman]"]
    assert found.unscored == ((("mig[hist20]", "modularity[hist20]"), "needs discrete factors"),)
    assert "needs discrete factors" in render([found], form)
    assert "mig[hist20]" in to_csv([found])
    # asked for by name it is shown; one number, even of a reference point, makes it a column
    assert [c.key for c in tables(rows, metrics=["mig[hist20]"])[0].columns] == ["mig[hist20]"]
    (more,) = tables([*rows, row("pca", 0, {"mig[hist20]": 0.1})])
    assert [c.key for c in more.columns] == ["mcc[spearman]", "mig[hist20]"]


def test_skipped_runs_are_named_under_the_table_and_not_in_it():
    skipped = [row("cdsvae", s, status="skipped", reason="needs sequences") for s in range(3)]
    text = render(tables([*seeds("slowvae", CLEAR), *skipped]), "text")
    assert text.count("cdsvae") == 1
    assert "skipped: cdsvae: needs sequences" in text


@pytest.mark.parametrize("width", [80, 100, 120])
def test_text_fits_the_width_asked_for(width):
    rows = study()
    rows[0] |= {"status": "failed", "reason": "why " * 60, "metrics": {}}
    text = render(tables(rows), "text", width)
    assert max(map(len, text.splitlines())) <= width


def test_scores_on_training_rows_are_only_in_the_csv():
    found = tables(study())
    assert "informativeness_train" not in render(found, "md").split("only in the CSV")[0]
    assert "informativeness_train" in render(found, "csv")


def test_metrics_can_be_chosen_in_any_order():
    (table,) = tables(study(), metrics=["mig[hist20]", "mcc[spearman]"])
    assert [column.key for column in table.columns] == ["mig[hist20]", "mcc[spearman]"]


def test_an_unknown_metric_is_refused_by_name():
    with pytest.raises(ValueError, match=r"no row holds the metric 'mgi'; rows hold mcc\[spearman\]"):
        tables(seeds("slowvae", CLEAR), metrics=["mgi"])


def test_an_unknown_format_is_refused_by_name():
    with pytest.raises(ValueError, match="unknown table format 'html'; choose one of text, md, csv, latex"):
        render([], "html")


def test_csv_holds_every_number_in_full():
    rows = [*study(), row("vae", 0, status="failed", reason="killed")]
    lines = list(csv.DictReader(io.StringIO(render(tables(rows), "csv"))))
    assert tuple(lines[0]) == COLUMNS
    (line,) = (one for one in lines if one["label"] == "slowvae" and one["metric"] == KEY)
    values = [r["metrics"][KEY]["value"] for r in rows if r["spec"]["method"] == "slowvae"]
    assert [float(v) for v in line["values"].split()] == values
    assert line["seeds"] == "0 1 2"
    assert float(line["mean"]) == pytest.approx(sum(values) / 3, abs=1e-15)
    assert float(line["low"]) < float(line["min"]) < float(line["mean"]) < float(line["high"])
    assert (line["n"], line["n_lost"], line["floor"], line["ceiling"]) == ("3", "0", "0.02", "0.985")
    (failed,) = {one["lost"] for one in lines if one["label"] == "vae"}
    assert failed == "1/1 failed: killed"


def test_latex_tables_are_balanced():
    page = render(tables(study()), "latex")
    bare = re.sub(r"\\[{}]", "", page)
    assert bare.count("{") == bare.count("}")
    assert page.count("\\begin{tabular}") == page.count("\\end{tabular}") == page.count("\\bottomrule") == 2
    for block in re.findall(r"\\toprule(.*?)\\bottomrule", page, re.S):
        rows = [line for line in block.splitlines() if line.endswith(r"\\")]
        assert len({line.count(" & ") for line in rows}) == 1


def evil_rows():
    return [row(EVIL, 0, {KEY: 0.5}), row("vae", 0, status="failed", reason=EVIL)]


def test_a_malicious_name_stays_text_in_markdown():
    page = render(tables(evil_rows()), "md")
    assert "<script>" not in page
    assert "](http" not in page
    assert "://" not in page
    table = [line for line in page.splitlines() if line.startswith("| ")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {len(re.findall(r"\|", table[0]))}
    assert not any(ord(char) < 32 and char != "\n" for char in page)


def test_a_malicious_name_cannot_move_the_terminal():
    text = render(tables(evil_rows()), "text")
    assert "\x1b" not in text
    assert "\nq" not in text


def test_a_malicious_name_runs_nothing_in_latex():
    page = render(tables([row("\\input{/etc/passwd}%", 0, {KEY: 0.5})]), "latex")
    assert "\\input" not in page
    assert "\\textbackslash{}input\\{/etc/passwd\\}\\%" in page


def test_a_malicious_name_is_no_formula_in_a_spreadsheet():
    page = render(tables([row("=cmd()", 0, {KEY: -0.5})]), "csv")
    (line,) = csv.DictReader(io.StringIO(page))
    assert (line["method"], line["values"]) == ("'=cmd()", "-0.5")
    assert "\x1b" not in render(tables([row("\x1b[2Jvae", 0, {KEY: 0.5})]), "csv")


def test_the_leaderboard_has_a_section_per_group_with_costs(tmp_path):
    rows = [*study(), *study(budget="standard"), *study(source="user", fingerprint="ab12")]
    _, page, numbers = write(rows, tmp_path / "boards")
    text = page.read_text()
    assert [line for line in text.splitlines() if line.startswith("## ")] == [
        "## natural_sprites, generated, budget quick, protocol quick",
        "## natural_sprites, generated, budget standard, protocol quick",
        "## natural_sprites, user, budget quick, protocol quick",
    ]
    assert re.search(r"\| slowvae \| 3 \|.*\| 1,200 \| 61 \| 1,234 \| 812 \|", text)
    assert len(numbers.read_text().splitlines()) == 1 + 3 * 8 * 12


def test_the_leaderboard_of_no_rows_says_so(tmp_path):
    _, page, numbers = write([], tmp_path)
    assert "No rows yet" in page.read_text()
    assert numbers.read_text().startswith("dataset,source,")


def test_reports_import_neither_torch_nor_what_only_frames_and_figures_need():
    modules = ("frame", "tables", "render", "leaderboard", "figures", "style", "traverse")
    imports = ", ".join(f"bench.report.{name}" for name in modules)
    code = f"import sys, {imports}; print(sorted({{'torch', 'pandas', 'matplotlib'}} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
