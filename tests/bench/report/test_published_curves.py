import matplotlib.figure
import pytest

from bench.report import published_curves
from bench.report.paper_tables import Entry
from bench.report.papers import Metric, PaperTable, Published
from bench.report.published_curves import Curve, curve, draw_published_curves, value_of
from bench.report.statistics import mean_interval


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("FC 400; alpha=0.5; d=104", 104),
        ("d = 8", 8),
        ("FC 400; width=3; id=7", None),  # d stands in other words
        ("d=8x", None),
        ("beta=2", None),
    ],
)
def test_the_parameter_is_read_from_a_published_line(text, value):
    assert value_of(text, "d") == value


def number(setting, value, metric="nats"):
    return Published("1", "MNIST", setting, "VSC", metric, value, None, "", "", "")


def test_a_curve_holds_all_published_points_and_ours_where_they_were_run():
    numbers = (number("d=16", 112.0), number("d=8", 117.0), number("d=8", 1.0, "accuracy"), number("VAE", 100.0))
    table = PaperTable("1", "T", (("d=8", "vsc"),), (("MNIST", "mnist"),), (Metric("nats", "elbo"),), numbers,
                       lines="setting")  # fmt: skip
    ours = [Entry("d=8", numbers[1], mean_interval([118.0, 119.0, 120.0]), {}, ""), Entry("d=16", None, None, {}, "")]
    found = curve("VSC", table, "nats", ours, "d")
    assert found.published == ((8, 117.0), (16, 112.0))
    ((place, mean, low, high, n),) = found.ours
    assert (place, mean, n) == (8, 119.0, 3)
    assert high - mean == pytest.approx(4.302653 / 3**0.5, rel=1e-5)  # Student's t of 95 % at 2 degrees of freedom
    assert mean - low == pytest.approx(high - mean)


def test_published_is_a_line_ours_are_points_with_their_intervals(monkeypatch, tmp_path):
    drawn: list[matplotlib.figure.Figure] = []
    monkeypatch.setattr(published_curves, "save", lambda figure, path, formats: drawn.append(figure) or [path])
    some = [Curve("VSC", ((8, 117.0), (16, 112.0)), ((8, 119.0, 117.0, 121.0, 3),)), Curve("VAE", ((8, 111.0),), ())]
    draw_published_curves(some, tmp_path / "c", x_label="latents", y_label="nats", title="T")
    lines = [(line.get_label(), line.get_xydata().tolist()) for line in drawn[0].axes[0].lines]
    assert lines[0] == ("VSC, published", [[8, 117], [16, 112]])
    assert lines[1] == ("VSC, ours", [[8, 119]])
    assert lines[2][1] == [[8, 117], [8, 121]]
    assert lines[3][0] == "VAE, published"
    assert "mean of n = 3" in drawn[0].get_suptitle().replace("\n", " ")


def test_nothing_is_drawn_of_nothing(tmp_path):
    assert draw_published_curves([Curve("a", (), ())], tmp_path / "c", x_label="", y_label="", title="") == []
