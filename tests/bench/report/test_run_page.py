"""The page of a run: everything in one file, nothing from outside believed, readable by eye, keyboard and ear."""

from __future__ import annotations

import base64
import re
import shlex
from html.parser import HTMLParser
from io import BytesIO

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from synthetic_rows import row, study

from bench.cli import cli
from bench.cli.results import defaults_of
from bench.opening import Folders
from bench.report import svg
from bench.report.run_page import Figure, Missing, Pictures, Traversals, command_of, render
from bench.report.strips import strips
from bench.rows import empty_row
from bench.running.grid import Request, build
from bench.store import Store

VOID = {"meta", "img", "br", "wbr", "path", "circle", "rect", "polyline", "link", "hr"}


class Page(HTMLParser):
    """Elements, their text, and every rule of markup that the page breaks."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.problems, self.words = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.problems.append(f"</{tag}> closes nothing")

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)

    def named(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


ROWS = study()
THIS = next(one for one in ROWS if one["spec"]["method"] == "slowvae" and one["spec"]["seed"] == 1)


def squares(codes):
    """Frames (n, 1, 8, 8) as bright as the first code."""
    return np.broadcast_to(np.clip(codes[:, 0], 0, 1)[:, None, None, None], (len(codes), 1, 8, 8)).astype(np.float32)


def picture():
    ranges = np.array([[0.0, 1.0], [0.0, 2.0]])
    return Traversals(strips(squares, np.zeros((1, 2)), ranges, {1: "hue"}, 3))


FURTHER = [Pictures("Swaps", "How to read.", [Figure("content by row", picture().strips[0].source, "four sequences")])]


@pytest.fixture(scope="module")
def page():
    return render(THIS, ROWS, defaults=None, traversals=picture(), pictures=FURTHER)


def test_the_page_is_well_formed_and_has_landmarks_labels_and_alternative_texts(page):
    read = Page(page)
    assert (read.problems, read.open) == ([], [])
    assert read.named("html") == [{"lang": "en"}]
    for landmark in ("header", "nav", "main", "footer", "h1", "title"):
        assert len(read.named(landmark)) == 1, landmark
    ids = [attributes["id"] for _, attributes in read.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in read.elements:
        if "aria-labelledby" in attributes:
            assert attributes["aria-labelledby"] in ids
    assert {a["href"].removeprefix("#") for a in read.named("a")} <= set(ids)
    assert all(image["alt"] for image in read.named("img"))
    drawings = [a for a in read.named("svg") if "viewBox" in a]
    assert all(a.get("aria-hidden") == "true" or (a["role"] == "img" and a["aria-label"]) for a in drawings)
    assert all("scope" in header for header in read.named("th"))


def test_it_asks_no_other_address_for_anything_and_runs_nothing(page):
    read = Page(page)
    assert not re.search(r"(src|href|url|action)\s*[=(]\s*[\"']?(https?:)?//", page)
    assert not read.named("script")
    assert not read.named("link")
    assert {image["src"][:22] for image in read.named("img")} == {"data:image/png;base64,"}
    (policy,) = [a["content"] for a in read.named("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")


def test_scores_stand_beside_those_of_noise_and_of_the_oracle_on_the_same_data(page):
    text = Page(page).text
    value = THIS["metrics"]["mig[hist20]"]["value"]
    oracle = [one["metrics"]["mig[hist20]"]["value"] for one in ROWS if one["spec"]["method"] == "oracle"]
    line = text[text.index("mig [hist20] ↑") :][:200]
    assert f"{value:.4f}" in line
    assert f"{np.mean(oracle):.3f}" in line
    assert "0.0006 … 0.887" in line  # the card's floor and ceiling
    assert "random codes here" in text
    alone = Page(render(THIS, [THIS])).text
    assert "random codes here" not in alone
    assert "`bench run … --references` adds it".replace("`", "") in alone


def test_cards_say_how_to_read_each_metric(page):
    text = Page(page).text
    assert "blind to" in text
    assert "lower is better" in text  # reconstruction
    assert "MIG: Gap between the two latents" in text


def test_curves_describe_themselves_and_show_the_other_seeds(page):
    read = Page(page)
    first, last = (THIS["training"]["curve"]["kl"][i] for i in (0, -1))
    (label,) = [a["aria-label"] for a in read.named("svg") if a.get("aria-label", "").startswith("kl (nats)")]
    assert label == f"kl (nats) over training steps: {svg.number(first)} at step 0, {svg.number(last)} at step 1180"
    assert "the 2 other seeds of this cell" in read.text
    assert len([a for a in read.named("polyline") if a["class"] == "other"]) == 2 * len(
        [a for a in read.named("polyline") if a["class"] == "line"]
    )


def test_the_correlation_table_marks_the_assigned_pairs(page):
    details = THIS["details"]["mcc[spearman]"]
    read = Page(page)
    given = [a for a in read.named("td") if a.get("class") == "given"]
    wanted = [f"{details['correlation'][i][j]:.3f}" for i, j in enumerate(details["assignment"])]
    assert [f"{float(a['style'].split()[1]):.3f}" for a in given] == wanted
    assert read.text.count(" assigned") >= len(given)


def test_a_traversal_is_a_picture_of_the_decoded_frames(page):
    further, *images = Page(page).named("img")
    assert further["alt"] == "four sequences"
    assert [image["alt"][:40] for image in images] == [
        "3 decoded frames while latent 1, assigne", "3 decoded frames while latent 0 goes fro",
    ]  # fmt: skip
    with Image.open(BytesIO(base64.b64decode(images[1]["src"].split(",")[1]))) as image:
        pixels = np.asarray(image)
    assert pixels.shape == (8, 3 * 8 + 2, 2)  # grey and opacity
    assert pixels[0, [0, 9, 18], 0].tolist() == [0, 128, 255]
    assert pixels[:, [8, 17], 1].max() == 0


def test_a_failed_run_shows_its_traceback_as_text():
    failed = row("slowvae", status="failed", reason="ValueError: <b>no</b>", metrics={})
    failed["traceback"] = 'Traceback:\n  File "<stdin>", line 1\n<script>alert(1)</script>\x1b[31m'
    failed["details"] = failed["cost"] = failed["provenance"] = {}
    text = render(failed, [failed])
    read = Page(text)
    assert not read.named("script")
    assert "<script>alert(1)</script> [31m" in " ".join(read.words)
    assert "stored as failed : ValueError: <b>no</b>" in read.text
    assert not read.named("b")
    assert read.problems == []


def test_a_diverged_and_a_skipped_run_say_why():
    for status in ("diverged", "skipped"):
        one = row("slowvae", status=status, reason="loss became nan", metrics={})
        assert f"stored as {status} : loss became nan" in Page(render(one, [one])).text


NASTY = '"><img src=x onerror=alert(1)><script>alert(2)</script>{{ 7 * 7 }}\u202e'


def test_names_from_outside_stay_text_wherever_they_stand():
    one = row(NASTY, 0, {"mig[hist20]": 0.5, NASTY: 0.25, "mcc[spearman]": (None, NASTY)}, dataset=NASTY)
    one["spec"]["method_params"] = {NASTY: NASTY}
    one["details"]["mcc[spearman]"] = {"correlation": [[0.5]], "assignment": [0], "factors": [NASTY]}
    one["training"]["curve"] = {"step": [1, 2], NASTY: [2.0, 1.0]}
    one["provenance"] = {"git_commit": NASTY, "versions": {NASTY: NASTY}, "hardware": {NASTY: [NASTY]}}
    one["cost"]["device"] = NASTY
    shown = Traversals(strips(squares, np.zeros((1, 2)), np.array([[0.0, 1.0]] * 2), {0: NASTY}, 2))
    about = {"method": {"title": NASTY, "paper": NASTY, "summary": NASTY}}
    text = render(one, [one], traversals=shown, about=about, missing=[Missing(NASTY, NASTY, (NASTY,))])
    read = Page(text)
    assert read.problems == []
    assert not read.named("script")
    assert all("onerror" not in attributes for _, attributes in read.elements)
    assert {image["src"][:5] for image in read.named("img")} == {"data:"}
    assert "\u202e" not in text
    assert "49" not in re.findall(r"\d+", " ".join(read.words).replace("7 * 7", ""))


def test_a_row_without_curve_matrix_or_pictures_says_what_is_missing():
    one = row("pca", 0, {"mig[hist20]": 0.5}, n_steps=0)
    text = Page(render(one, [one], missing=[Missing("Traversals", "no checkpoint", ("bench merge DIR",))])).text
    assert "pca is not trained by gradient" in text
    assert "mcc[spearman] was not scored" in text
    assert "no checkpoint" in text
    assert "bench merge DIR" in text


def test_equal_rows_give_equal_pages(page):
    assert render(THIS, list(reversed(ROWS)), traversals=picture(), pictures=FURTHER) == page


def test_the_printed_command_makes_the_very_run(tmp_path):
    folders = Folders(tmp_path / "data", tmp_path / "cache", tmp_path / "results")
    request = Request(
        "betavae[beta=0.1234567890123,n_latents=3]", "natural_sprites[form=continuous,n_pairs=77]", (5,), "smoke",
        "slowvae2021", ("mcc",), "float32", 2, 10,
    )  # fmt: skip
    (spec,) = build(request, folders, "cpu").runs
    words = command_of(spec.to_dict(), defaults_of)
    assert "form=continuous" in words
    assert "batch_size" not in words  # the budget's own
    asked = shlex.split(words)[1:]
    Store(folders.results).write(spec, empty_row(spec, "failed", "made up"))
    done = CliRunner().invoke(
        cli, [*asked, "--metrics", "mcc", "--dry-run", "--results", str(folders.results)], standalone_mode=False
    )
    assert "0 runs to do, 1 stored already" in done.output


def test_values_that_cannot_be_typed_make_no_command():
    spec = row("slowvae")["spec"]
    assert command_of({**spec, "method_params": {"layers": [1, 2]}}, lambda *_: {}) == ""
    assert command_of({**spec, "method_params": {"layers": [1, 2]}}, lambda kind, *_: {"layers": (1, 2)} | DATA) != ""
    assert command_of({**spec, "view": "codes"}, lambda *_: {}) == ""


DATA = row()["spec"]["dataset_params"]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 1, [0, 0.25, 0.5, 0.75, 1]), (9, 900, [250, 500, 750]), (-21.5, 14, [-20, -10, 0, 10]), (3, 3, [3])],
)
def test_ticks_are_round_and_inside(low, high, expected):
    assert svg.ticks(low, high) == expected


def test_lines_have_gaps_where_a_value_is_missing_and_limits_of_what_follows_the_first_steps():
    steps = list(range(100))
    values = [1e6] + [1.0 + i / 100 for i in range(99)]
    values[50] = None
    drawn = str(svg.line_chart([(steps, values)], [], x_label="step", describe="a line"))
    assert drawn.count("<polyline") == 2
    assert "1,000,000" not in drawn
    heights = [float(pair.split(",")[1]) for pair in re.findall(r"[\d.-]+,[\d.-]+", drawn.partition('points="')[2])]
    assert max(heights[1:50]) < 150
    assert min(heights[1:50]) > 0


def test_of_very_many_latents_those_with_a_factor_and_those_that_change_most_are_shown():
    def decode(codes):
        return np.broadcast_to(np.abs(codes * [0.1, 0.5, 0.3, 0.2]).sum(1)[:, None, None, None], (len(codes), 1, 8, 8))

    found = strips(decode, np.zeros((1, 4)), np.array([[0.0, 1.0]] * 4), {3: "hue"}, 3, most=3)
    assert [one.latent for one in found] == [3, 1, 2]
    assert [one.latent for one in strips(decode, np.zeros((1, 4)), np.array([[0.0, 1.0]] * 4), {3: "hue"}, 3)] == [
        3,
        0,
        1,
        2,
    ]
