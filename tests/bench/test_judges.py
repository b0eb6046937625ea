"""The judge of real sequences, and what it says of swaps of codes that are known to be right or wrong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from bench.api import Method, MethodCard
from bench.datasets.base import DataInfo, DataStore, FactorSpace
from bench.datasets.containers import SequenceData
from bench.evidence import judges, swap_evidence, verification_evidence
from bench.evidence.gathering import Evidence
from bench.evidence.judges import BUDGETS, JudgeNetwork, Settings, judge_for, weights_hash
from metrics.protocols import protocol_named
from metrics.scoring import score
from metrics.swap import swap, swap_with_details

N_FRAMES, SIDE = 4, 16
STEPS = np.array([[0, 1], [0, -1], [1, 0], [-1, 0]])
CPU = torch.device("cpu")
FACTORS = FactorSpace(("direction", "shade", "row"), (4, 3, SIDE), ("categorical",) * 3, (True, False, True))
INFO = DataInfo((1, SIDE, SIDE), ("sequences", "images"), FACTORS, n_frames=N_FRAMES, judged=("direction", "shade"))
CARD = MethodCard(
    title="Toy", paper="none", summary="Knows the drawing.", family="sequential", view="sequences",
    budgets={}, verified="by its own test", source="none",
)  # fmt: skip


def drawing(shade, place):
    """Frames (batch, time, 1, 16, 16) in [0, 1] of shades (batch,) in 0 … 2 and the corners (batch, time, 2)."""
    grid = torch.arange(SIDE)
    inside = [(grid >= p[..., None]) & (grid < p[..., None] + 5) for p in place.round().unbind(-1)]
    square = inside[0][..., :, None] & inside[1][..., None, :]
    return (square * ((shade + 1) / 3)[:, None, None, None])[:, :, None]


def walks(n, seed=0, splits=None):
    """n sequences of a square of one of three shades that walks in one of four directions."""
    rng = np.random.default_rng(seed)
    direction, shade, start = rng.integers(4, size=n), rng.integers(3, size=n), rng.integers(4, 8, size=(n, 1, 2))
    place = start + STEPS[direction][:, None] * np.arange(N_FRAMES)[:, None]
    x = drawing(torch.from_numpy(shade).float(), torch.from_numpy(place).float())
    frames = (255 * x).round().to(torch.uint8).numpy()
    repeated = [np.repeat(one[:, None], N_FRAMES, 1) for one in (direction, shade)]
    factors = np.stack([*repeated, place[..., 0]], -1).astype(np.int64)
    return SequenceData(INFO, frames, factors, splits)


class Knows(Method):
    """Its static code is the shade, its dynamic code the place, read off the pixels."""

    card = CARD

    def parts(self, x):
        shade = 3 * x.flatten(1).amax(1) - 1
        rows, columns = (x[:, :, 0].amax(axis).argmax(2, keepdim=True).float() for axis in (3, 2))
        return {"static": shade[:, None], "dynamic": torch.cat([rows, columns], 2)}

    def generate(self, static, dynamic):
        return drawing(static[:, 0], dynamic)

    def sample_prior(self, n, n_frames, generator):
        static = torch.randint(3, (n, 1), generator=generator).float()
        direction = torch.randint(4, (n,), generator=generator)
        start = torch.randint(4, 8, (n, 1, 2), generator=generator)
        place = start + torch.from_numpy(STEPS)[direction][:, None] * torch.arange(n_frames)[:, None]
        return {"static": static, "dynamic": place.float()}


class Ignores(Knows):
    """Decodes the dynamic code alone, which holds the shade too."""

    def parts(self, x):
        known = super().parts(x)
        shade = known["static"][:, None].expand(-1, x.shape[1], -1)
        return {"static": known["static"], "dynamic": torch.cat([known["dynamic"], shade], 2)}

    def generate(self, static, dynamic):
        return drawing(dynamic[:, 0, 2], dynamic[..., :2])

    def sample_prior(self, n, n_frames, generator):
        known = super().sample_prior(n, n_frames, generator)
        shade = known["static"][:, None].expand(-1, n_frames, -1)
        return {"static": known["static"], "dynamic": torch.cat([known["dynamic"], shade], 2)}


class OnlyGenerates(Method):
    """As MoCoGAN: nothing to encode with."""

    card = CARD
    generate, sample_prior = Knows.generate, Knows.sample_prior


SPLITS = {"train": np.arange(300), "val": np.arange(300, 350), "test": np.arange(350, 500)}
DATA = walks(500, splits=SPLITS)
QUICK = Settings(
    width=4, n_features=32, n_hidden=32, batch_size=32, learning_rate=3e-3, n_epochs=20, patience=8, decays=True
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("judges")


def judge_of(folder, **changed):
    given = {"data": DATA, "dataset": "walks", "dataset_id": "walks", "budget": "quick", "device": CPU} | changed
    return judge_for(store=DataStore(folder, folder, "walks"), **given)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(judges, "BUDGETS", {"quick": QUICK, "smoke": replace(QUICK, n_epochs=1)})


def judged(method, judge, seed=0):
    evidence = Evidence(method, DATA, "walks", None, protocol_named("quick"), CPU, seed, lambda: judge)
    return swap_evidence.make(evidence, "judged")


def test_published_judge_has_the_published_size():
    heads = {"action": 9, "skin": 6, "pant": 6, "top": 6, "hair": 6}
    network = JudgeNetwork((3, 64, 64), heads, Settings())
    assert sum(p.numel() for p in network.parameters()) == 5_263_073
    assert BUDGETS["paper"] == Settings(64, 128, 256, 128, 2e-4, 100)


def test_judge_is_trained_once_and_known_by_its_weights(folder, monkeypatch):
    first = judge_of(folder)
    assert set(first.facts["accuracy"]) == {"direction", "shade"}
    assert first.facts["mean_accuracy"] > 0.97  # chance is .29
    assert first.is_dynamic == {"direction": True, "shade": False}
    assert not any(p.requires_grad for p in first.network.parameters())
    monkeypatch.setattr(judges, "train", None)
    again = judge_of(folder)
    assert again.facts == first.facts
    assert weights_hash(again.network) == first.facts["hash"]
    sizes = {name: probs.shape for name, probs in again.probabilities(torch.rand(2, 4, 1, 16, 16)).items()}
    assert sizes == {"direction": (2, 4), "shade": (2, 3)}


def test_one_seed_gives_one_judge_and_leaves_the_global_generator(tmp_path):
    before = torch.get_rng_state()
    one, other = (judge_of(tmp_path / name, budget="smoke") for name in "ab")
    assert one.facts == other.facts
    torch.testing.assert_close(torch.get_rng_state(), before)


def test_a_judge_file_that_is_damaged_is_made_again(tmp_path):
    expected = judge_of(tmp_path, budget="smoke").facts
    (path,) = tmp_path.glob("*-judge.safetensors")
    path.write_bytes(path.read_bytes()[:-100])
    assert judge_of(tmp_path, budget="smoke").facts == expected


def test_a_poor_judge_is_marked_and_not_refused(tmp_path):
    facts = judge_of(tmp_path, budget="smoke").facts
    assert facts["threshold"] == 0.99
    assert facts["is_trusted"] is (facts["mean_accuracy"] >= 0.99) is False
    assert judge_of(tmp_path, budget="smoke", dataset="sprites").facts["threshold"] == 0.999


def test_without_a_validation_split_every_tenth_training_sequence_is_held_out():
    rows, held_out = judges._training_rows(walks(40, splits={"train": np.arange(5, 40)}))
    assert held_out.tolist() == [14, 24, 34]
    assert sorted([*rows, *held_out]) == list(range(5, 40))


def test_small_budgets_see_a_number_of_frames():
    quick = replace(QUICK, n_epochs=24, most_frames=450_000)
    assert [judges._n_epochs(quick, n) for n in (18_000, 45_000, 10**6)] == [24, 10, 1]
    assert judges._n_epochs(QUICK, 10**9) == 20


def test_a_factor_that_changes_within_a_sequence_cannot_be_judged(monkeypatch):
    info = replace(INFO, judged=("row",))
    data = SequenceData(info, DATA.frames, DATA.factors)
    with pytest.raises(ValueError, match="'row' changes within a sequence"):
        judges.labels_of(data, np.arange(10))


def test_swaps_of_a_perfect_code_keep_one_side_and_exchange_the_other(folder):
    found = judged(Knows(), judge_of(folder))
    assert list(found) == ["fixed_static", "fixed_static,swapped", "fixed_dynamic", "fixed_dynamic,swapped"]
    for condition, heads in found.items():
        scores, details = swap_with_details(found, condition=condition)
        side = "direction" if "dynamic" in condition else "shade"
        assert details["kept"] == [side]
        assert heads[0].probs_generated.shape == ((1 if "swapped" in condition else 2), 150, 4)
        assert scores["swap/acc"] > 0.95  # the judge errs on 2 to 4 %, by the number of threads that trained it
        assert scores["swap/acc_agree"] > 0.95
        assert scores["swap/leak"] == pytest.approx(0, abs=0.2)  # 150 draws: κ of chance has a deviation of .06
        assert ("swap/follows" in scores) is ("swapped" in condition)
        assert scores.get("swap/follows", 1) > 0.95


def test_a_decoder_that_ignores_its_static_code_is_found_out_by_the_leak(folder):
    found = judged(Ignores(), judge_of(folder))
    kept = swap(found, condition="fixed_dynamic")
    assert kept["swap/acc"] > 0.97  # what the published tables show
    assert kept["swap/leak"] > 0.95
    assert swap(found, condition="fixed_dynamic,swapped")["swap/follows"] < 0.45
    assert swap(found, condition="fixed_static")["swap/acc"] < 0.45


def test_one_seed_gives_one_judgement(folder):
    judge = judge_of(folder)
    one, again, other = (judged(Knows(), judge, seed)["fixed_static"][0].probs_generated for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


def test_what_only_generates_is_judged_against_what_it_drew(folder):
    found = judged(OnlyGenerates(), judge_of(folder))
    assert list(found) == ["fixed_static", "fixed_dynamic"]
    scores = swap(found, condition="fixed_dynamic")
    assert scores["swap/acc_agree"] > 0.95
    assert scores["swap/leak"] == pytest.approx(0, abs=0.2)
    assert "swap/acc" not in scores
    reasons = score({"judged": found}, ["swap[fixed_dynamic]"]).values
    assert "needs labels" in reasons["swap[fixed_dynamic]/acc"]["reason"]


def test_every_sequence_has_another_one_as_donor():
    donors = swap_evidence.donors_of(50, np.random.default_rng(0))
    assert sorted(donors) == list(range(50))
    assert (donors != np.arange(50)).all()


@pytest.mark.parametrize(
    ("method", "info", "expected"),
    [
        (Knows, INFO, {"judged"}),
        (OnlyGenerates, INFO, {"judged"}),
        (Knows, replace(INFO, judged=()), set()),
        (type("NoPrior", (Method,), {"card": CARD, "parts": Knows.parts}), INFO, set()),
        (type("Else", (Knows,), {"part_names": ("capsules",)}), INFO, set()),
        (type("Pairs", (Knows,), {"card": replace(CARD, view="pairs")}), INFO, set()),
    ],
)
def test_judgements_are_offered_where_there_is_something_to_judge(method, info, expected):
    assert swap_evidence.offers(method, info) == expected


def test_vectors_of_an_utterance_are_means_over_its_segments():
    info = replace(INFO, identity="shade")
    groups = DATA.factors[:, 0, 1] * 100 + np.arange(500) // 100  # utterances of one shade each
    data = SequenceData(info, DATA.frames, DATA.factors, SPLITS, groups)
    found = verification_evidence.make(
        Evidence(Knows(), data, "walks", None, protocol_named("quick"), CPU, 0), "vectors"
    )
    segment, utterance = found["segment"], found["utterance"]
    assert segment.codes["static"].shape == (150, 1)
    wanted = DATA.factors[350:, :, 2].mean(1)
    np.testing.assert_allclose(segment.codes["dynamic"][:, 0], wanted)
    np.testing.assert_array_equal(segment.speakers, DATA.factors[350:, 0, 1])
    own = np.unique(groups[350:])
    expected = [wanted[groups[350:] == group].mean() for group in own]
    np.testing.assert_allclose(utterance.codes["dynamic"][:, 0], expected)
    np.testing.assert_array_equal(utterance.speakers, own // 100)
    assert verification_evidence.offers(Knows, info) == {"vectors"}
    assert verification_evidence.offers(Knows, INFO) == set()
    assert verification_evidence.offers(OnlyGenerates, info) == set()


class DependsOnTheBatch(Knows):
    """Its codes are those of ``Knows``, less the mean of all that are encoded at once."""

    card = replace(CARD, batch_dependent=True)

    def parts(self, x):
        known = super().parts(x)
        known["static"] = known["static"] - known["static"].mean(0)
        return known


def test_codes_that_depend_on_the_batch_are_made_in_mixed_batches(monkeypatch):
    """Sorted by the factor that is verified, as utterances are: alone with their like, all sequences have one code."""
    monkeypatch.setattr(swap_evidence, "CHUNK", 40)  # ten sequences at once
    of_shade = np.argsort(DATA.factors[:, 0, 1], kind="stable")
    data = SequenceData(
        replace(INFO, identity="shade"), DATA.frames[of_shade], DATA.factors[of_shade], {"train": np.arange(500)}
    )
    evidence = Evidence(DependsOnTheBatch(), data, "walks", None, protocol_named("quick"), CPU, 0)
    segment = verification_evidence.make(evidence, "vectors")["segment"]
    codes = segment.codes["static"][:, 0]
    means = [codes[segment.speakers == shade].mean() for shade in range(3)]
    assert means == sorted(means)
    assert means[2] - means[0] > 1.5  # 2 less what the ten of a piece have in common; 0.02 in the order of the rows


@pytest.mark.parametrize(("method", "sizes"), [(Knows, [32, 32, 32, 4]), (DependsOnTheBatch, [25, 25, 25, 25])])
def test_every_sequence_is_encoded_once(method, sizes):
    together = swap_evidence.encoded_together(method(), 100, 32)
    assert [len(places) for places in together] == sizes
    assert sorted(np.concatenate(together)) == list(range(100))
    assert (np.concatenate(together) == np.arange(100)).all() == (method is Knows)


def test_swaps_of_codes_that_depend_on_the_batch_stay_with_their_sequences(folder):
    class Mixed(Knows):
        card = replace(CARD, batch_dependent=True)

    judge = judge_of(folder)
    for mixed, plain in zip(judged(Mixed(), judge).values(), judged(Knows(), judge).values(), strict=True):
        for one, other in zip(mixed, plain, strict=True):
            np.testing.assert_allclose(one.probs_real, other.probs_real, atol=1e-5)
            np.testing.assert_allclose(one.probs_generated, other.probs_generated, atol=1e-5)


def test_an_utterance_has_one_speaker():
    with pytest.raises(ValueError, match="several speakers"):
        verification_evidence.of_groups({"static": np.ones((3, 1))}, np.array([0, 1, 1]), np.array([5, 5, 6]))
