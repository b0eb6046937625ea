import base64
import hashlib
import html
import io
import json
import re
import shutil
import subprocess

import pytest
from PIL import Image
from synthetic_rows import row, seeds

from bench.report.board import Picture, page
from bench.report.tables import tables

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
KEY = "mcc[spearman]"
CARDS = {
    name: {"title": name, "paper": "p", "summary": "s", "family": family, "verified": "v", "source": "c", "notes": ""}
    for name, family in (("slowvae", "temporal"), ("betavae", "static"), ("vae", "static"))
}


def board(*rows, pictures=()):
    return page(tables([r for each in rows for r in each]), methods=CARDS, pictures=pictures)


def study_page(pictures=()):
    return board(
        seeds("slowvae", [0.6, 0.7, 0.8]), seeds("betavae", [0.4, 0.41, 0.42]), seeds("vae", [0.9, 0.5, 0.1]),
        seeds("pca", [0.3, 0.31, 0.32]), seeds("betavae", [0.2, 0.3, 0.4], dataset="shapes3d"),
        [row("infogan", 0, status="failed", reason=EVIL), *seeds(EVIL, [0.1, 0.2, 0.3])], pictures=pictures,
    )  # fmt: skip


def data_of(text):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S).group(1))


def test_the_page_holds_every_number_of_the_tables():
    table = next(one for one in data_of(study_page())["tables"] if one["dataset"] == "natural_sprites")
    line = next(one for one in table["lines"] if one["label"] == "slowvae")
    score = line["scores"][[column["key"] for column in table["columns"]].index(KEY)]
    assert score["mean"] == pytest.approx(0.7)
    assert score["high"] - score["mean"] == pytest.approx(4.302653 * 0.1 / 3**0.5, rel=1e-5)
    assert score["text"] == "0.700 ± 0.248"


def test_no_text_from_outside_becomes_markup():
    text = study_page()
    assert EVIL not in text
    assert text.count("<script") == 2
    assert EVIL in [line["method"] for one in data_of(text)["tables"] for line in one["lines"]]


def test_only_the_pages_own_script_may_run_and_nothing_is_loaded():
    text = study_page()
    script = re.search(r"<script>(.*?)</script>", text, re.S).group(1)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text).group(1)
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")
    assert not re.search(r"https?://", re.sub(r'<script type="application/json".*?</script>', "", text, flags=re.S))


PROBE = """
const sections = () => [...document.querySelectorAll("section.table")];
const labels = (section) => [...section.querySelectorAll("tbody th")].map((th) => th.firstChild.textContent);
const click = (section, name) =>
  [...section.querySelectorAll("th button")].find((b) => b.textContent.startsWith(name)).click();
const set = (id, value) => {
  document.getElementById(id).value = value;
  document.getElementById(id).dispatchEvent(new Event("input", { bubbles: true }));
};
const found = {};
found.tables = sections().length;
const first = () => sections().find((s) => s.querySelector("h2").textContent.startsWith("natural_sprites"));
found.descending = labels(first());
found.sort = first().querySelector("th[aria-sort]").getAttribute("aria-sort");
click(first(), "mcc[spearman]");
found.ascending = labels(first());
set("family", "static");
found.kept = labels(first());
set("family", "temporal");
found.temporal = sections().map(labels);
found.pictures = [...document.querySelectorAll("figure")].map((figure) => figure.hidden);
set("family", "");
set("method", "beta");
found.named = sections().map(labels);
set("method", "");
set("dataset", "shapes3d");
found.shapes3d = sections().map((s) => s.querySelector("h2").textContent);
set("dataset", "");
found.bars = document.querySelectorAll(".bar").length;
found.cards = document.querySelectorAll("#method-cards details").length;
found.images = document.querySelectorAll("img").length;
document.body.replaceChildren(JSON.stringify(found));
"""


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """What a browser makes of the page after clicks; the probe needs the page without its policy."""
    if CHROMIUM is None:
        pytest.skip("needs Chromium")
    folder = tmp_path_factory.mktemp("page")
    png = io.BytesIO()
    Image.new("L", (2, 2)).save(png, "png")
    pixels = f"data:image/png;base64,{base64.b64encode(png.getvalue()).decode()}"
    text = study_page([Picture(0, "slowvae", "seed 0", pixels), Picture(0, "vae", "seed 0", pixels, "swaps")])
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    path = folder / "page.html"
    path.write_text(text.replace("</body>", f"<script>{PROBE}</script></body>"))
    done = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
            "--disable-sync",
            "--disable-component-update", "--no-first-run", "--enable-logging=stderr", "--v=0",
            f"--user-data-dir={folder / 'profile'}", "--dump-dom", path.as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    body = re.search(r"<body>(.*?)</body>", done.stdout, re.S).group(1)
    return json.loads(html.unescape(body)), done.stderr


def test_a_browser_sorts_and_filters(seen):
    found, errors = seen
    assert "CONSOLE" not in errors
    assert found["tables"] == 2
    assert found["sort"] == "descending"
    assert found["descending"][:3] == ["slowvae", "vae", "betavae"]
    assert found["descending"][-1] == "infogan"  # without a score, at the end both ways
    assert found["ascending"][:3] == [EVIL, "pca", "betavae"]
    assert found["ascending"][-1] == "infogan"
    assert found["kept"][:3] == ["pca", "betavae", "vae"]  # the order that was asked for outlives a filter
    assert found["pictures"] == [False, True]  # the picture of a method that a filter leaves out is hidden
    assert found["temporal"] == [["pca", "slowvae"]]
    assert found["named"] == [["betavae"], ["betavae"]]
    assert [title.split(",")[0] for title in found["shapes3d"]] == ["shapes3d"]
    assert found["bars"] > 5
    assert found["cards"] == 3
    assert found["images"] == 2  # one of each kind, at its place


def test_a_page_without_pictures_says_how_to_have_some():
    assert "bench leaderboard --gallery" in study_page()
    assert "bench leaderboard --gallery" not in study_page([Picture(0, "slowvae", "seed 0", "data:image/png;base64,")])
