"""Rules by which methods move, and the evidence made with them, on toy methods whose answers are known."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
import torch

from bench.api import Method, MethodCard
from bench.datasets.base import DataInfo, FactorSpace
from bench.datasets.transformation_data import TransformationData, at_times, single_amounts, totals
from bench.evidence import pair_classifier, transformation_evidence, traversal_rule
from bench.evidence.gathering import Evidence, available
from bench.evidence.pair_classifier import VPSettings, pair_network
from bench.running.metric_choice import wanted
from metrics.capsules import capcorr
from metrics.equivariance import equivariance_details, equivariance_error
from metrics.protocols import protocol_named
from metrics.variation_predictability import vp_score

N_STEPS = 5
KINDS = ("brighter", "darker", "greener")
SPACE = FactorSpace(KINDS, (N_STEPS + 1,) * 3, ("ordinal",) * 3, (True, True, True))
INFO = DataInfo((3, 4, 4), TransformationData.views, SPACE, n_frames=N_STEPS + 1, transformations=KINDS, unseen="dim")
# what a step of each adds to the three channels
EFFECT = np.array([[0.08, 0, 0], [0, 0, -0.08], [0, 0.05, 0]], np.float32)
CARD = MethodCard("Toy", "none", "none", "transformation", "transformations", {}, "by hand", "none", supervised=True)


class Lights:
    """Uniform patches: each channel between 0.4 and 0.6 at first, then moved by what acts."""

    def begin(self, amounts, split, rng):
        first = rng.uniform(0.4, 0.6, size=(len(amounts), 3)) / (2 if split == "dim" else 1)
        return np.zeros(len(amounts), np.int64), first

    def run(self, start, amounts, times):
        gone = at_times(totals(amounts), times)
        channels = (start[:, None] + gone @ EFFECT).astype(np.float32)
        frames = np.broadcast_to(channels[..., None, None], (*channels.shape, 4, 4))
        return np.ascontiguousarray(frames), np.round(gone).astype(np.int64)


DATA = TransformationData(INFO, Lights(), single_amounts(N_STEPS, 3), {"train": 1, "test": 1, "dim": 1})


class Codes(Method):
    """Codes are minus three times the channels, in another order; decoding is exact."""

    card: ClassVar[MethodCard] = replace(CARD, supervised=False)

    def encode(self, x):
        return -3 * x.mean((-1, -2))[..., [2, 0, 1]]

    def decode(self, codes):
        return (codes[:, [1, 2, 0]] / -3)[:, :, None, None].expand(-1, -1, 4, 4)


class Mover(Codes):
    """Moves as the data does; ``order`` says which of its flows acts as which transformation."""

    card: ClassVar[MethodCard] = CARD
    order: ClassVar[list[int]] = [0, 1, 2]

    def transform(self, x0, amounts):
        gone = torch.cat([torch.zeros_like(amounts[:, :1]), amounts.cumsum(1)], 1)[..., self.order]
        return x0[:, None] + (gone @ torch.from_numpy(EFFECT))[..., None, None]


class Untold(Mover):
    card: ClassVar[MethodCard] = replace(CARD, supervised=False)
    order: ClassVar[list[int]] = [2, 0, 1]

    def infer_amounts(self, x):
        step = (x[:, 1:] - x[:, :-1]).mean((-1, -2))
        amounts = torch.stack([step[..., 0] / 0.08, step[..., 2] / -0.08, step[..., 1] / 0.05], -1)
        return amounts[..., np.argsort(self.order)]


def evidence_of(method):
    return Evidence(method, DATA, "toy", None, protocol_named("quick"), torch.device("cpu"), 0)


def rollouts(method, kind=""):
    return transformation_evidence.make(evidence_of(method), f"rollouts{kind}")


@pytest.mark.parametrize("kind", ["", "_switching", "_superposing"])
def test_a_method_that_moves_as_the_data_has_no_error(kind):
    found = equivariance_error(rollouts(Mover(), kind))
    assert found["equivariance_error/relative"] == pytest.approx(0, abs=1e-5)
    assert found["equivariance_error/unmoved"] == pytest.approx(found["equivariance_error/still"], rel=1e-5)


def test_standing_still_costs_what_the_data_says():
    _, details = equivariance_details(rollouts=rollouts(Mover()))
    # 16 pixels of one channel, 1 + 2 + … + 5 steps
    assert details["still"] == pytest.approx([16 * 15 * 0.08, 16 * 15 * 0.08, 16 * 15 * 0.05], rel=1e-4)
    assert (details["n"], details["steps"], details["rule"]) == (200, N_STEPS, "transform")


def test_unseen_observations_are_those_of_their_split():
    class Squares(Codes):
        def decode(self, codes):
            return super().decode(codes) ** 2

    dim = rollouts(Squares(), "_unseen").unmoved[:, :, 0].mean()
    seen = rollouts(Squares()).unmoved[:, :, 0].mean()
    assert dim < seen
    # x - x² of 48 values between 0.2 and 0.3, and 0.08 - 0.08 + 0.05 in a channel of one course each
    assert dim == pytest.approx(48 * (0.25 - 0.25**2 - 0.1**2 / 12) + 16 * 0.05 / 3, rel=0.01)
    assert "rollouts_unseen" not in available(Codes, replace(INFO, unseen=""))


def test_flows_of_methods_that_were_told_nothing_are_matched_on_training_sequences():
    found, details = equivariance_details(rollouts=rollouts(Untold()))
    assert details["assignment"] == ["brighter: flow 2", "darker: flow 0", "greener: flow 1"]
    assert details["rule"] == "matched"
    assert found["equivariance_error/relative"] == pytest.approx(0, abs=1e-5)


def test_a_method_that_spreads_a_transformation_over_its_flows_is_moved_at_the_speeds_it_infers():
    class Mixed(Untold):
        mixing = torch.tensor([[0.5, 0.25, 0.0], [0.0, 0.5, 0.25], [0.25, 0.0, 0.5]])

        def transform(self, x0, amounts):
            return super().transform(x0, amounts @ torch.linalg.inv(self.mixing))

        def infer_amounts(self, x):
            return super().infer_amounts(x) @ self.mixing

    for kind in ("", "_switching", "_superposing"):
        found, details = equivariance_details(**{f"rollouts{kind}": rollouts(Mixed(), kind)})
        assert found["equivariance_error/relative"] == pytest.approx(0, abs=1e-4)
    assert details["assignment"][0] == "brighter: speeds 0.25, 0.00, 0.50"


def test_inferred_speeds_are_those_of_the_true_frames():
    found, details = equivariance_details(rollouts_inferred=rollouts(Untold(), "_inferred"))
    assert found["equivariance_error/relative"] == pytest.approx(0, abs=1e-4)
    assert "inferred from the true frames" in details["rule"]


def test_axis_aligned_codes_are_traversed_along_the_best_latent_and_sign():
    _, details = equivariance_details(rollouts=rollouts(Codes()))
    assert details["rule"] == "best_dim"
    assert details["assignment"] == ["brighter: -latent 1", "darker: +latent 0", "greener: -latent 2"]
    # only the step is not the data's: the rule goes from quantile to quantile
    deviation = float(torch.cat([Codes().encode(x)[:, 0] for x in _train_frames()]).std(0)[1])
    reach = deviation / 3 * 2 * 1.6449
    steps = np.abs(_quantile_steps() * reach - 0.08 * np.arange(1, N_STEPS + 1))
    assert details["error"][0] == pytest.approx(16 * steps.sum(), rel=0.02)


def _train_frames():
    return traversal_rule._Sequences(DATA, "toy", torch.device("cpu")).frames()


def _quantile_steps():
    """Share of the way from the 5 % to the 95 % quantile that each step has come."""
    from scipy.stats import norm

    at = norm.ppf(0.05 + 0.9 * np.arange(1, N_STEPS + 1) / N_STEPS)
    return (at + 1.6449) / (2 * 1.6449)


def test_methods_that_only_encode_cannot_be_moved():
    class Blind(Method):
        card = CARD

        def encode(self, x):
            return x

    assert not traversal_rule.can_move(Blind, INFO)
    assert traversal_rule.can_move(Codes, INFO)
    assert not traversal_rule.can_move(Codes, replace(INFO, transformations=()))
    offered = available(Untold, INFO)
    assert {"rollouts", "rollouts_inferred", "pair_predictions"} <= offered
    assert "rollouts_inferred" not in available(Codes, INFO)
    assert "capsules" not in offered
    for method, info, is_scored in (
        (Codes, INFO, True),
        (Untold, INFO, True),
        (Blind, INFO, False),
        (Codes, replace(INFO, transformations=()), False),
    ):
        assert ("equivariance_error" in wanted(None, "quick", method, info)) == is_scored


def test_capsules_are_read_with_the_places_of_what_moves():
    """Activations that show the position of every transformation: rolled by how far what moves has gone."""

    class Wheels(Method):
        card = CARD
        part_names = ("capsules",)
        n_capsules = 3

        def parts(self, x):
            change = (x.mean((-1, -2)) - x[:, :1].mean((-1, -2))) / torch.tensor([0.08, 0.05, 0.08])
            gone = change.abs().sum(-1).round().long()
            return {"capsules": torch.nn.functional.one_hot(gone % 8, 8).float().repeat(1, 1, 3)}

    found = transformation_evidence.make(evidence_of(Wheels()), "capsules")
    assert found.activations.shape == (200, N_STEPS + 1, 3, 8)
    np.testing.assert_array_equal(found.positions, np.tile(np.arange(N_STEPS + 1), (200, 1)))
    np.testing.assert_array_equal(found.activations.argmax(-1)[:, :, 0], found.positions)
    assert set(found.moving) == {0, 1, 2}
    with pytest.raises(ValueError, match="begin at several places"):
        capcorr(found)


def test_the_pair_network_has_the_published_layers():
    network = pair_network(3, 5)
    weights = 3 * 64 * 49 + 64 * 64 * 9 + 64 * 128 * 9 + 128 * 256 * 9
    assert sum(p.numel() for p in network.parameters()) == weights + 2 * (64 + 64 + 128 + 256) + 256 * 5 + 5
    assert network(torch.zeros(2, 3, 28, 28)).shape == (2, 5)


def test_pairs_that_differ_are_told_apart_and_others_are_not(monkeypatch):
    settings = VPSettings(n_pairs=300, side=16, n_epochs=6, evaluate_every=3)
    monkeypatch.setattr(pair_classifier, "QUICK", settings)
    found = transformation_evidence.make(evidence_of(Mover()), "pair_predictions")
    assert found.predicted.shape == (2, 270)
    assert vp_score(found)["vp_score"] > 0.95
    still = Codes()
    still.transform = lambda x0, amounts: x0[:, None].expand(-1, N_STEPS + 1, -1, -1, -1)
    blind = vp_score(transformation_evidence.make(evidence_of(still), "pair_predictions"))["vp_score"]
    assert blind == pytest.approx(1 / 3, abs=0.1)  # three standard errors of 270 pairs


def test_pairs_of_a_method_that_was_told_nothing_are_those_of_its_own_flows(monkeypatch):
    """Four flows, of which one is nearest to every transformation: still there are four moves to tell apart."""
    monkeypatch.setattr(pair_classifier, "QUICK", VPSettings(n_pairs=400, side=16, n_epochs=6, evaluate_every=3))

    class FourFlows(Codes):
        card = replace(CARD, supervised=False)
        n_flows = 4

        def transform(self, x0, amounts):
            effect = torch.tensor([[0, 0, -0.02], [-0.08, 0, 0], [0, -0.08, 0], [-0.08, -0.08, -0.08]])
            gone = torch.cat([torch.zeros_like(amounts[:, :1]), amounts.cumsum(1)], 1)
            return x0[:, None] + (gone @ effect)[..., None, None]

    evidence = evidence_of(FourFlows())
    found = transformation_evidence.make(evidence, "pair_predictions")
    assert transformation_evidence.make(evidence, "rollouts").assignment == tuple(f"{name}: flow 0" for name in KINDS)
    assert found.n_classes == 4
    assert set(found.labels) == {0, 1, 2, 3}
    assert vp_score(found)["vp_score"] > 0.95

    class OneMove(Untold):
        n_flows = 1

    assert "pair_predictions" not in available(OneMove, INFO)
    assert "rollouts_switching" in available(OneMove, INFO)


def test_likelihood_terms_are_densities_of_the_first_frames():
    class Gaussian(Codes):
        def gaussian_posterior(self, x):
            mean = self.encode(x[:, None])[:, 0]
            return mean, torch.full_like(mean, -20.0)

    terms = transformation_evidence.make(evidence_of(Gaussian()), "likelihood_terms")
    assert terms.gaussian.shape == (500, 100)
    assert terms.n_pixels == 48
    np.testing.assert_allclose(terms.gaussian, -24 * np.log(2 * np.pi), atol=1e-3)  # decoding is exact
    noise = terms.posterior + 0.5 * 3 * (np.log(2 * np.pi) - 20)
    assert -2 * noise.mean() == pytest.approx(3, abs=0.1)  # squares of three unit normals
    assert terms.prior.max() <= -1.5 * np.log(2 * np.pi)
    assert (terms.bernoulli <= 0).all()
