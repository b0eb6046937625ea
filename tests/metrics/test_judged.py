"""Judges, swaps and verification: answers that can be worked out by hand."""

import warnings

import numpy as np
import pytest
from sklearn.metrics import roc_curve

from metrics.content_probe import content_probe
from metrics.judge import balanced, check_probabilities, inception, judge
from metrics.scoring import score
from metrics.swap import JudgedHead, swap, swap_with_details
from metrics.verification import Vectors, eer, eer_with_details, verification

RNG = np.random.default_rng(0)
NINE = np.repeat(np.arange(9), 20)
LN9 = np.log(9)


def one_hot(labels, n_classes):
    return np.eye(n_classes)[labels]


@pytest.mark.parametrize(
    ("probs", "expected"),
    [
        pytest.param(one_hot(NINE, 9), (1, 9, 0, LN9), id="perfect"),
        pytest.param(np.full((180, 9), 1 / 9), (1 / 9, 1, LN9, LN9), id="says nothing"),
        pytest.param(one_hot(0 * NINE, 9), (1 / 9, 1, 0, 0), id="always the same class"),
        pytest.param(one_hot(NINE[::-1], 9), (1 / 9, 9, 0, LN9), id="varied and wrong"),
    ],
)
def test_judge_in_closed_form(probs, expected):
    found = judge(probs, NINE)
    names = [f"judge/{name}" for name in ("acc", "is", "h_y_given_x", "h_y")]
    assert [found[name] for name in names] == pytest.approx(expected, abs=1e-9)
    assert not {"judge/acc_agree", "judge/kl_generated_real"} & found.keys()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_inception_score_is_the_exponential_of_the_entropies_difference(dtype):
    found = inception(RNG.dirichlet(np.full(9, 0.2), 400).astype(dtype))
    assert found["/is"] == pytest.approx(np.exp(found["/h_y"] - found["/h_y_given_x"]), abs=1e-6)


def test_agreement_is_with_the_judge_and_not_with_the_label():
    real = one_hot((NINE + 1) % 9, 9)  # a judge that is always wrong on real input
    found = judge(real, NINE, real)
    assert (found["judge/acc"], found["judge/acc_agree"], found["judge/kl_generated_real"]) == (0, 1, 0)
    assert judge(real, None, real)["judge/acc_agree"] == 1
    assert "judge/acc" not in judge(real, None, real)


def test_balanced_rows_are_the_first_of_each_class():
    np.testing.assert_array_equal(balanced(np.array([2, 0, 0, 2, 5, 2, 5, 0])), [0, 1, 2, 3, 4, 6])


def test_classes_that_are_rare_weigh_as_much_as_others_unless_all_rows_are_asked_for():
    labels = np.array([0] * 90 + [1] * 10)
    assert judge(one_hot(labels, 2), labels)["judge/h_y"] == pytest.approx(np.log(2))
    assert judge(one_hot(labels, 2), labels, is_balanced=False)["judge/h_y"] == pytest.approx(0.325083, abs=1e-6)


@pytest.mark.parametrize(
    ("probs", "labels", "message"),
    [
        (np.array([[0.5, 0.5], [0.9, 0.2]]), [0, 1], "probs_generated: row 1 sums to 1.1, not 1"),
        (np.array([[0.5, 0.5], [3.0, -2.0]]), [0, 1], "got 3 at row 1, column 0; apply a softmax to logits"),
        (np.array([[0.5, 0.5], [np.nan, 1.0]]), [0, 1], "got nan at row 1"),
        (np.full((2, 2), 0.5), [0, 2], "labels: wanted class indices 0 … 1, got 2 in row 1"),
        (np.full((2, 2), 0.5), [0.0, 1.0], "got float64"),
        (np.full((2, 2), 0.5), [0, 1, 1], "wanted one class index per row"),
        (np.ones((2, 1)), [0, 0], "at least two classes"),
    ],
)
def test_what_is_no_judgement_is_refused(probs, labels, message):
    with pytest.raises(ValueError, match=message):
        judge(probs, np.array(labels))


ACTION, SKIN = RNG.integers(9, size=900), RNG.integers(6, size=900)


def heads(action_seen, skin_seen, donors=None):
    """The judge on 900 sequences with the actions kept, two draws of the skin."""
    return {
        "fixed_dynamic": (
            JudgedHead("action", True, np.stack([one_hot(action_seen, 9)] * 2), one_hot(ACTION, 9), ACTION),
            JudgedHead("skin", False, np.stack([one_hot(s, 6) for s in skin_seen]), one_hot(SKIN, 6), SKIN, donors),
        )
    }


def test_a_perfect_swap_keeps_one_side_and_exchanges_the_other():
    donors = RNG.permuted(np.stack([SKIN, SKIN]), axis=1)
    found = swap(heads(ACTION, donors, donors))
    assert (found["swap/acc"], found["swap/acc_agree"], found["swap/follows"]) == (1, 1, 1)
    assert found["swap/is"] == pytest.approx(9)
    assert found["swap/leak"] == pytest.approx(0, abs=0.05)  # 900 draws of 6 classes: 3 standard errors of κ are .045
    assert found["swap/other_acc"] == pytest.approx(1 / 6, abs=0.04)
    assert found["swap/pass_std"] == 0


def test_a_decoder_that_ignores_what_was_drawn_leaks_everything():
    found = swap(heads(ACTION, [SKIN, SKIN]))
    assert (found["swap/acc"], found["swap/leak"], found["swap/other_acc"]) == (1, 1, 1)
    assert "swap/follows" not in found


@pytest.mark.skipif(np.finfo(np.longdouble).max == np.finfo(float).max, reason="long doubles are doubles here")
def test_probabilities_that_no_double_holds_are_refused_without_a_warning():
    probs = np.full((3, 2), np.finfo(np.longdouble).max)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match="wanted probabilities in 0 … 1, got inf at row 0, column 0"):
            check_probabilities("probs", probs)


def test_one_class_for_everything_is_no_leak():
    assert swap(heads(ACTION, np.zeros((2, 900), int)))["swap/leak"] == pytest.approx(0, abs=1e-12)


def test_heads_and_passes_are_averaged_and_kept():
    wrong = (ACTION + 1) % 9
    judged = (
        JudgedHead("a", True, np.stack([one_hot(ACTION, 9), one_hot(wrong, 9)]), one_hot(ACTION, 9), ACTION),
        JudgedHead("b", True, np.stack([one_hot(8 - ACTION, 9)] * 2), one_hot(8 - ACTION, 9), 8 - ACTION),
        JudgedHead("c", True, np.stack([one_hot(SKIN, 6)] * 2), one_hot(SKIN, 6), SKIN),
    )
    found, details = swap_with_details({"fixed_static": judged}, condition="fixed_static")
    assert found["swap/acc"] == 0.75
    assert found["swap/pass_std"] == pytest.approx(np.std([1.0, 0.5], ddof=1))
    assert (details["kept"], details["acc"], details["passes"]) == (["a", "b"], [0.5, 1.0], [1.0, 0.5])
    assert details["is"] == pytest.approx([9, 9])
    # IS and entropies of 6 classes do not belong into a mean with those of 9
    smaller, of_six = swap_with_details({"fixed_static": judged}, condition="fixed_static", is_smaller=True)
    assert (of_six["kept"], smaller["swap/is"]) == (["c"], pytest.approx(6))
    with pytest.raises(ValueError, match="no kept factor has fewer classes than a, which has 9"):
        swap({"fixed_static": judged[:2]}, condition="fixed_static", is_smaller=True)
    assert not {"swap/leak", "swap/other_acc"} & found.keys()


def test_the_released_script_leaves_out_the_last_incomplete_batch():
    seen = np.where(np.arange(900) < 896, ACTION, (ACTION + 1) % 9)  # wrong in the 4 after 7 batches of 128 alone
    judged = {"fixed_dynamic": [JudgedHead("action", True, one_hot(seen, 9)[None], one_hot(ACTION, 9), ACTION)]}
    values = score({"judged": judged}, ["swap[fixed_dynamic]", "swap[fixed_dynamic,legacy_drop_last]"]).values
    assert values["swap[fixed_dynamic]/acc"]["value"] == pytest.approx(896 / 900)
    assert values["swap[fixed_dynamic,legacy_drop_last]/acc"]["value"] == 1
    few = {"fixed_dynamic": [JudgedHead("action", True, one_hot(ACTION, 9)[None, :99], one_hot(ACTION, 9)[:99])]}
    with pytest.raises(ValueError, match="legacy_drop_last needs 128 sequences, got 99"):
        swap(few, legacy_drop_last=True)


def test_without_labels_the_reference_is_what_the_judge_sees_in_it():
    judged = {"fixed_dynamic": [JudgedHead("action", True, one_hot(ACTION, 9)[None], one_hot(ACTION, 9))]}
    found = swap(judged)
    assert found["swap/acc_agree"] == 1
    assert not {"swap/acc", "swap/pass_std"} & found.keys()
    values = score({"judged": judged}, ["swap"]).values
    assert values["swap[fixed_dynamic]/is"]["value"] == pytest.approx(9)
    assert "needs labels" in values["swap[fixed_dynamic]/acc"]["reason"]
    assert "nothing was judged as fixed_static" in values["swap[fixed_static]/acc"]["reason"]
    with pytest.raises(ValueError, match="the judge knows none of them"):
        swap({"fixed_static": judged["fixed_dynamic"][:0]}, condition="fixed_static")


# verification


def test_equal_error_rate_of_one_distribution_is_a_half():
    found, details = eer_with_details(RNG.normal(size=(1500, 16)), np.repeat(np.arange(150), 10))
    assert found["eer"] == pytest.approx(0.5, abs=0.012)  # 6,750 pairs of one speaker: two standard errors
    assert details == {"n_pairs_same": 6_750, "n_pairs_different": 150 * 149 // 2 * 100}


def test_pairs_of_the_timit_test_split():
    _, details = eer_with_details(RNG.normal(size=(192, 4)), np.arange(192) // 8)
    assert details == {"n_pairs_same": 672, "n_pairs_different": 17_664}


@pytest.mark.parametrize(
    ("embeddings", "speakers", "expected"),
    [
        pytest.param(np.eye(3)[[0, 0, 1, 1, 2, 2]], [0, 0, 1, 1, 2, 2], 0.0, id="a direction for each speaker"),
        pytest.param(np.eye(3)[[0, 1, 0, 1, 0, 1]], [0, 0, 1, 1, 2, 2], 2 / 3, id="unlike within, alike between"),
        pytest.param(np.ones((6, 3)), [0, 0, 1, 1, 2, 2], 0.5, id="constant"),
        pytest.param(np.zeros((6, 3)), [0, 0, 1, 1, 2, 2], 0.5, id="zeros"),
        # own 1 and .6, others .6, .6, -.28, -.28: the ROC goes straight from (0, 1/2) to (1/2, 0)
        pytest.param([[1, 0], [1, 0], [0.6, 0.8], [-0.28, 0.96]], [0, 0, 1, 1], 1 / 4, id="a tie of both kinds"),
    ],
)
def test_equal_error_rate_in_closed_form(embeddings, speakers, expected):
    assert eer(np.array(embeddings, float), np.array(speakers))["eer"] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("digits", [1, 2, 7])
def test_equal_error_rate_is_that_of_the_interpolated_roc(digits):
    x = np.round(RNG.normal(size=(60, 3)) + np.repeat(RNG.normal(size=(12, 3)), 5, axis=0), digits - 1)
    who = np.repeat(np.arange(12), 5)
    unit = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    rows, columns = np.triu_indices(60, 1)
    scores = (unit @ unit.T)[rows, columns].astype(np.float32)
    fpr, tpr, _ = roc_curve(who[rows] == who[columns], scores, drop_intermediate=False)
    grid = np.linspace(0, 1, 200_001)
    gap = np.interp(grid, fpr + 1e-9 * np.arange(len(fpr)), 1 - tpr) - grid
    assert eer(x, who)["eer"] == pytest.approx(grid[np.abs(gap).argmin()], abs=2e-4)


def test_order_scale_and_blocks_change_nothing(monkeypatch):
    x = RNG.normal(size=(80, 5)) + np.repeat(RNG.normal(size=(8, 5)), 10, axis=0)
    who = np.repeat(np.arange(8), 10)
    expected, order = eer(x, who)["eer"], RNG.permutation(80)
    monkeypatch.setattr("metrics.verification._BLOCK", 700)
    assert eer(1e200 * x[order], 7 - who[order])["eer"] == pytest.approx(expected, abs=1e-9)


def test_verification_wants_the_speaker_in_one_part_only():
    who = np.repeat(np.arange(20), 8)
    vectors = {"utterance": Vectors({"static": np.eye(20)[who], "dynamic": RNG.normal(size=(160, 8))}, who)}
    found = verification(vectors)
    assert found["verification/static_eer"] == 0
    assert found["verification/dynamic_eer"] == pytest.approx(0.5, abs=0.06)
    assert found["verification/gap"] == found["verification/dynamic_eer"]
    with pytest.raises(ValueError, match="no vectors of each segment"):
        verification(vectors, level="segment")


@pytest.mark.parametrize(
    ("embeddings", "speakers", "message"),
    [
        (np.ones((3, 2)), [0, 1, 2], "two rows of one speaker"),
        (np.ones((3, 2)), [1, 1, 1], "rows of two speakers"),
        (np.array([[1.0, np.inf], [0, 1]]), [1, 1], "inf at row 0, column 1"),
        (np.ones((3, 2)), [0.5, 1, 1], "one whole number per row"),
        (np.ones(3), [0, 1, 1], r"\(rows, size\)"),
    ],
)
def test_what_cannot_be_verified_is_refused(embeddings, speakers, message):
    with pytest.raises(ValueError, match=message):
        eer(embeddings, np.array(speakers))


def test_a_collapsed_code_cannot_pass_the_content_probe():
    phones = RNG.integers(4, size=(600, 1))
    told = np.eye(4)[phones[:, 0]] + 0.01 * RNG.normal(size=(600, 4))
    for codes, expected in ((told, 1.0), (np.zeros((600, 4)), None)):
        found = content_probe(codes[:400], phones[:400], codes[400:], phones[400:])
        majority = (phones[400:] == np.bincount(phones[:400, 0]).argmax()).mean()
        assert found["content_probe/majority"] == pytest.approx(majority)
        assert found["content_probe/acc"] == pytest.approx(majority if expected is None else expected)
