"""Moved sequences beside the true ones, and how well seen and unseen ones are followed."""

import numpy as np
import pytest
from PIL import Image

from bench.report.move_pictures import TRUTH, Seen, draw_moves, on_lines
from bench.report.statistics import mean_interval

RNG = np.random.default_rng(0)


def frames(n=2, time=5, channels=3, side=8):
    return RNG.random((n, time, channels, side, side))


@pytest.mark.parametrize("channels", [1, 3])
def test_grey_and_colour_are_drawn_still_and_moving(channels, tmp_path):
    truth, moved = frames(channels=channels), {"a": frames(channels=channels), "b[k=1]": frames(channels=channels)}
    made = draw_moves(["grow", "turn"], truth, moved, tmp_path / "moves", title="t", switch=2)
    assert [path.suffix for path in made] == [".pdf", ".svg", ".png", ".gif"]
    with Image.open(made[-1]) as gif:
        assert gif.n_frames == 5


def test_scores_of_unseen_data_make_the_picture_higher_and_nothing_else(tmp_path):
    truth, moved = frames(), {"a": frames()}
    scores = [Seen("a", mean_interval([0.3, 0.4, 0.35]), mean_interval([0.8, 0.9, 0.7]))]
    sizes = []
    for name, some in (("without", []), ("with", scores)):
        made = draw_moves(["grow", "turn"], truth, moved, tmp_path / name, scores=some)
        with Image.open(made[2]) as image:
            sizes.append(image.size)
    assert sizes[0][0] == sizes[1][0]
    assert sizes[0][1] < sizes[1][1]


def test_equal_frames_are_equal_files(tmp_path):
    truth, moved = frames(), {"a": frames()}
    one, other = (draw_moves(["grow", "turn"], truth, moved, tmp_path / name) for name in "xy")
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in other]


def test_parameters_stand_below_the_name():
    assert on_lines("vae[n_latents=64,network=flow]") == "vae\n[n_latents=64,\nnetwork=flow]"
    assert on_lines(TRUTH) == TRUTH


@pytest.mark.parametrize(
    ("courses", "truth", "moved", "message"),
    [
        (["a", "b"], frames(channels=2), {"m": frames(channels=2)}, "grey or RGB"),
        (["a", "b"], frames(), {"m": frames(time=4)}, "of m do not fit"),
        (["a"], frames(), {"m": frames()}, "1 courses"),
        (["a", "b"], frames(), {}, "no method"),
    ],
)
def test_what_cannot_be_drawn_is_refused(courses, truth, moved, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        draw_moves(courses, truth, moved, tmp_path / "moves")
