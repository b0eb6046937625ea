"""The scorer: what applies, what is dropped, what is refused, and under which key a number stands."""

import json
import subprocess
import sys
import warnings
from dataclasses import replace

import numpy as np
import pytest

from metrics import registry
from metrics.capsules import CapsuleSequences
from metrics.equivariance import Rollouts
from metrics.frame_likelihood import LikelihoodTerms
from metrics.protocols import PROTOCOLS
from metrics.registry import UnknownMetric, metric, output_of, resolve, split_ids
from metrics.scoring import BadEvidence, applicable, score
from metrics.swap import CONDITIONS, JudgedHead
from metrics.variation_predictability import PairPredictions
from metrics.verification import Vectors

RNG = np.random.default_rng(0)
FACTORS = np.stack([RNG.integers(size, size=300) for size in (3, 4)], axis=1)
CODES = (FACTORS + 0.1 * RNG.normal(size=(300, 2))).astype(np.float32)
ROWS = {"codes": CODES[:200], "factors": FACTORS[:200], "codes_test": CODES[200:], "factors_test": FACTORS[200:]}


def test_every_card_is_whole():
    for name, card in registry.cards().items():
        assert card.name == name
        assert all((card.summary, card.blind_to, card.cost, card.verified, card.source)), name
        for metric_id in registry.metric_ids():
            one = metric(metric_id)
            assert one.outputs
            for output in one.outputs.values():
                low, high = output.bounds
                assert low is None or high is None or low < high
                assert output.floor is None or output.ceiling is None or output.floor != output.ceiling


def test_numbers_stay_within_the_bounds_of_their_cards():
    grid = np.stack(np.unravel_index(np.arange(12), (3, 4)), axis=1).astype(np.float32)
    evidence = ROWS | {"grid_codes": grid, "factor_sizes": (3, 4), "observations": CODES, "reconstructions": CODES}
    evidence |= {"log_weights": CODES - 5, "latent_kl": CODES**2}
    probs, head = np.eye(2)[[0, 1] * 5], [0, 1] * 5
    evidence |= {"probs_generated": probs, "labels": np.array(head), "probs_real": probs}
    evidence |= {"embeddings": CODES[:10], "speakers": np.array(head)}
    vectors = Vectors({"static": CODES[:10], "dynamic": -CODES[:10]}, np.array(head))
    evidence |= {"vectors": dict.fromkeys(("utterance", "segment"), vectors)}
    many = np.tile(head, 13)  # as many as the released script's batch
    heads = [JudgedHead(str(k), k, np.eye(2)[[many] * 2], np.eye(2)[many], many, np.array([many] * 2)) for k in (1, 0)]
    first = JudgedHead("three", True, np.eye(3)[[many] * 2], np.eye(3)[many], many, np.array([many] * 2))
    evidence |= {"judged": dict.fromkeys(CONDITIONS, (first, *heads))}
    rollouts = Rollouts(("a", "b"), np.ones((2, 3, 4)), np.full((2, 3, 4), 2.0), np.ones((2, 3, 4)))
    evidence |= {f"rollouts{kind}": rollouts for kind in ("", "_inferred", "_unseen", "_switching", "_superposing")}
    rolled = np.stack([np.roll(RNG.normal(size=(6, 1, 3, 4)), t, axis=-1)[:, 0] for t in range(4)], axis=1)
    places = (np.arange(6)[:, None] + np.arange(4)) % 4
    evidence |= {"capsules": CapsuleSequences(rolled, places, np.zeros(6, int), ("a",))}
    evidence |= {"pair_predictions": PairPredictions(np.array([head, head]), np.array(head), 2)}
    likely = -np.ones((5, 3))
    evidence |= {"likelihood_terms": LikelihoodTerms(100 * likely, likely, likely, likely, 12)}
    evidence |= {"cell_codes": np.stack([CODES, 1 - CODES]), "cell_kl": np.ones((2, 2)), "member": 0}
    scores, cards = score(evidence, registry.metric_ids()), registry.cards()
    left_out = {key for key, entry in scores.values.items() if entry["value"] is None}
    assert {key.partition("[")[0] for key in left_out} == {"downstream"}  # fewer rows than its larger probes take
    assert all("rows" in scores.values[key]["reason"] for key in left_out)
    for key, entry in scores.values.items():
        if key in left_out:
            continue
        low, high = output_of(key).bounds
        assert (-np.inf if low is None else low) <= entry["value"] <= (np.inf if high is None else high), key
        name = key.partition("[")[0].partition("/")[0].partition("@")[0]
        assert (entry["version"], entry["protocol"]) == (cards[name].version, "quick")
    json.dumps([scores.values, scores.details, scores.seconds])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_protocol_names_metrics_that_exist_and_is_part_of_the_key(protocol):
    scores = score(ROWS, ["mig", "dci"], protocol)
    suffix = "" if protocol == "quick" else f"@{protocol}"
    assert f"mig[hist20]{suffix}" in scores.values
    assert f"dci[gbt]/disentanglement{suffix}" in scores.values
    assert len(resolve(PROTOCOLS[protocol].metrics)) == len(PROTOCOLS[protocol].metrics)
    assert output_of(f"dci[gbt]/disentanglement{suffix}").ceiling == 1.0


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("mcc", ["mcc[spearman]", "mcc[pearson]"]),
        ("mcc[spearman, matched]", ["mcc[spearman,matched]"]),
        ("betavae_score", ["betavae_score"]),
        ("mce", ["modularity[hist20]", "explicitness[lbfgs]"]),
    ],
)
def test_names_select(name, ids):
    assert [one.id for one in resolve([name])] == ids


def test_mce_explains_itself():
    (note,) = score(ROWS, ["mce"]).notes
    assert "Ridgeway & Mozer" in note


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("migg", r"^unknown metric 'migg'. Did you mean 'mig'\? `bench list metrics` shows all of them.$"),
        (
            "mig[hist2]",
            r"^unknown variant 'mig\[hist2\]'. Did you mean 'mig\[hist20\]'\? mig is offered as mig\[hist20\].$",
        ),
        ("dci[gbt", r"Did you mean 'dci\[gbt\]'"),
        ("zzz", r"^unknown metric 'zzz'. `bench list metrics`"),
    ],
)
def test_a_mistyped_metric_is_told_the_nearest(name, message):
    with pytest.raises(UnknownMetric, match=message):
        score(ROWS, [name])


def test_ids_split_at_commas_outside_brackets():
    assert split_ids("mcc[spearman,matched], mig,") == ["mcc[spearman,matched]", "mig"]


def test_a_constant_factor_is_dropped_and_listed():
    factors = np.insert(FACTORS, 1, 7, axis=1)
    evidence = {"codes": CODES, "factors": factors, "codes_test": CODES, "factors_test": factors}
    bare = {"codes": CODES, "factors": FACTORS, "codes_test": CODES, "factors_test": FACTORS}
    found = score(evidence, factor_names=("shape", "colour", "scale"))
    assert found.dropped_factors == ("colour",)
    assert found.factor_names == ("shape", "scale")
    assert found.values == score(bare).values


def test_a_constant_factor_is_dropped_from_grid_and_sampler():
    codes = np.stack(np.unravel_index(np.arange(12), (3, 4)), axis=1).astype(np.float32)
    sizes = (3, 1, 4)
    seen = []

    def sampler(factors, rng):
        seen.append(factors[:, 1])
        return codes[np.ravel_multi_index((factors[:, 0], factors[:, 2]), (3, 4))]

    for source in ({"grid_codes": codes}, {"sampler": sampler}):
        found = score(source | {"factor_sizes": sizes}, ["factorvae_score"])
        assert found.values["factorvae_score"]["value"] == 1.0
        assert found.dropped_factors == ("factor 1",)
    assert (np.concatenate(seen) == 0).all()


def test_constant_latents_are_counted_and_dropped_where_the_card_says():
    padded = {key: np.insert(value, 1, 0.7, axis=1) if "codes" in key else value for key, value in ROWS.items()}
    found = score(padded, ["explicitness", "mcc[pearson]"])
    assert found.n_constant_latents == 1
    bare = score(ROWS, ["explicitness", "mcc[pearson]"])
    for key, entry in bare.values.items():
        assert found.values[key]["value"] == pytest.approx(entry["value"], abs=1e-9)


def test_what_does_not_apply_is_null_with_its_reason():
    evidence = ROWS | {"factors": ROWS["factors"] * 0.5, "factors_test": ROWS["factors_test"] * 0.5}
    found = score(evidence, ["mig", "dci", "mcc[pearson]", "reconstruction"], factor_names=("x", "y")).values
    assert found["mig[hist20]"]["value"] is None
    assert found["mig[hist20]"]["reason"] == "mig[hist20] needs discrete factors; x, y are continuous"
    assert found["dci[gbt]/completeness"]["value"] is None
    assert found["reconstruction[mse]"]["reason"] == "reconstruction[mse] needs observations, reconstructions"
    assert found["mcc[pearson]"]["value"] > 0.9


def test_what_fails_is_null_with_its_reason():
    found = score({"codes": CODES[:, :1], "factors": FACTORS}, ["mig"]).values["mig[hist20]"]
    assert found["value"] is None
    assert found["reason"] == "mig: needs at least 2 latents, got codes (300, 1)"


def test_what_applies_is_known_before_training():
    ids, refused = applicable(["codes", "factors"], False, ["mig", "mcc[spearman]"], continuous=("x", "y", "scale"))
    assert ids == ["mcc[spearman]"]
    assert refused == {"mig[hist20]": "mig[hist20] needs discrete factors; x, y, scale are continuous"}
    ids, refused = applicable(["codes", "factors"], True, ["betavae_score", "betavae_score[pool]"])
    assert ids == ["betavae_score[pool]"]
    assert refused["betavae_score"].endswith("betavae_score[pool] works on labelled rows")


def test_flags_make_float_columns_discrete():
    evidence = ROWS | {"factors": ROWS["factors"].astype(float), "factors_test": ROWS["factors_test"].astype(float)}
    assert score(evidence, ["mig"], discrete=[True, True]).values == score(ROWS, ["mig"]).values
    mixed = score(evidence, ["mig"], discrete=[True, False], factor_names=("shape", "x"))
    assert mixed.values["mig[hist20]"]["reason"].endswith("x is continuous")


def broken(name, value, at):
    array = ROWS[name].astype(float)
    array[at] = value
    return ROWS | {name: array}


@pytest.mark.parametrize(
    ("evidence", "message"),
    [
        pytest.param(broken("codes", np.nan, (3, 1)), "codes: nan at row 3, column 1", id="nan"),
        pytest.param(broken("codes_test", -np.inf, (0, 0)), "codes_test: -inf at row 0, column 0", id="inf"),
        pytest.param(ROWS | {"factors": FACTORS}, r"factors: one row per row of codes.*\(300, 2\)", id="lengths"),
        pytest.param(ROWS | {"codes_test": CODES[200:, :1]}, "codes with 2, codes_test with 1", id="widths"),
        pytest.param({"codes": CODES[0]}, r"codes: wanted \(rows, latents\).*\(2,\)", id="one axis"),
        pytest.param({"codes": CODES.astype("U8")}, "codes: wanted numbers", id="text"),
        pytest.param(
            {"grid_codes": CODES, "factor_sizes": (3, 4)}, "wanted 12 for factor_sizes", id="cells of the grid"
        ),
        pytest.param(ROWS | {"factor_sizes": (3, 4, 2)}, "factors with 2.*factor_sizes with 3", id="sizes"),
    ],
)
def test_arrays_that_cannot_be_scored_are_refused(evidence, message):
    with pytest.raises(BadEvidence, match=message) as caught:
        score(evidence, ["mcc"])
    assert "\n" not in str(caught.value)


def test_a_fraction_is_no_class():
    with pytest.raises(BadEvidence, match=r"factors: column 1 is discrete.*got 0.5 in row 4"):
        score(broken("factors", 0.5, (4, 1)), ["mig"], discrete=[True, True])


def test_wide_codes_are_cut_for_trees_only_under_quick(monkeypatch):
    seen = []

    def count(codes, factors):
        seen.append(len(codes))
        return {"dci": 0.0}

    card = replace(registry.cards()["reconstruction"], needs=("codes", "factors"), factors="any", name="dci")
    monkeypatch.setitem(registry._REGISTERED, "dci", (count, card))
    rng = np.random.default_rng(0)
    for n_latents, protocol in ((64, "quick"), (65, "quick"), (65, "slowvae2021")):
        score({"codes": rng.normal(size=(3000, n_latents)), "factors": rng.normal(size=(3000, 2))}, ["dci"], protocol)
    assert seen == [3000, 2000, 3000]


def test_protocols_have_the_published_sizes():
    quick, study, slow = (PROTOCOLS[name] for name in ("quick", "locatello2019", "slowvae2021"))
    assert (quick.n_draw, quick.n_test) == (study.n_draw, study.n_test) == (10_000, 5_000)
    assert slow.n_draw == slow.rows_for("mig", 10) == slow.rows_for("modularity", 10) == 100_000
    assert slow.rows_for("dci", 10) == 10_000


def test_a_metric_registered_twice_is_refused():
    with pytest.raises(ValueError, match="'mig' is registered twice"):
        registry.register_metric("mig", card=registry.cards()["mcc"])(lambda codes: {"mig": 0.0})


def test_metrics_work_without_torch_and_listing_them_loads_no_learner():
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "from metrics import registry\n"
        "assert {'mcc', 'mig', 'dci', 'sap', 'reconstruction'} <= set(registry.cards())\n"
        "loaded = {'sklearn', 'numba', 'scipy'} & set(sys.modules)\n"
        "assert not loaded, loaded\n"
        "import numpy as np; from metrics.mig import mig\n"
        "print(mig(np.eye(4), np.arange(4)[:, None] % 2)['mig'])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_classes_that_no_integer_holds_are_refused_without_a_warning():
    factors = np.array([[0.0], [1.0], [1e300]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(BadEvidence, match=r"column 0 is discrete.*got 1e\+300 in row 2"):
            score({"codes": np.eye(3), "factors": factors}, ["mig"], discrete=[True])
