"""FHVAE's terms against torch.distributions, Monte Carlo and explicit loops."""

import math

import pytest
import torch
from torch.distributions import Categorical, Normal, kl_divergence

from bench.api import Batch, DataSpec
from methods.fhvae import FHVAE, FHVAEConfig, kl_to_s_vector, log_recording, map_s_vector

EXTRAS = {"recording": (), "n_segments": ()}
SPEC = DataSpec((7,), n_frames=5, n_train=30, n_sequences=4, extras=EXTRAS)


def built(spec=SPEC, **parameters):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return FHVAE(FHVAEConfig(**{"width": 6, "n_static": 3, "n_dynamic": 2} | parameters), spec)


def segments(n=6):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(n, 5, 7, generator=generator)
    extras = {
        "recording": torch.randint(4, (n,), generator=generator),
        "n_segments": torch.randint(1, 9, (n,), generator=generator),
    }
    return Batch(x, torch.arange(n), 0, 10, extras=extras)


def test_loss_is_the_papers_bound_and_alpha_times_the_discriminative_term():
    method, batch = built(alpha=10.0), segments()
    terms = method.losses(batch, torch.Generator().manual_seed(3))
    # the same forward pass, written with torch.distributions and loops over the segments
    generator = torch.Generator().manual_seed(3)
    mean, log_var = method.static_encoder(batch.x)
    q2 = Normal(mean, (0.5 * log_var).exp())
    z2 = q2.mean + q2.stddev * torch.randn(6, 3, generator=generator)
    mean, log_var = method.dynamic_encoder(torch.cat([batch.x, z2[:, None].repeat(1, 5, 1)], -1))
    q1 = Normal(mean, (0.5 * log_var).exp())
    z1 = q1.mean + q1.stddev * torch.randn(6, 2, generator=generator)
    mean, log_var = method.decoder(torch.cat([z1, z2], -1), 5)
    losses = []
    for i, row in enumerate(batch.extras["recording"]):
        s_vector, n_segments = method.s_vectors[row], batch.extras["n_segments"][i]
        bound = Normal(mean[i], (0.5 * log_var[i]).exp()).log_prob(batch.x[i]).sum()
        bound -= kl_divergence(Normal(q1.mean[i], q1.stddev[i]), Normal(0.0, 1.0)).sum()
        bound -= kl_divergence(Normal(q2.mean[i], q2.stddev[i]), Normal(s_vector, 0.5)).sum()
        bound += Normal(0.0, 1.0).log_prob(s_vector).sum() / n_segments
        logits = torch.stack([-((q2.mean[i] - other) ** 2).sum() / (2 * 0.25) for other in method.s_vectors])
        losses.append(-(bound + 10 * Categorical(logits=logits).log_prob(row)))
    torch.testing.assert_close(terms["loss"], torch.stack(losses).mean(), rtol=1e-5, atol=1e-4)


def test_without_alpha_the_discriminative_term_is_logged_but_not_minimised():
    terms = built(alpha=0.0).losses(segments(), torch.Generator().manual_seed(3))
    parts = ("nll", "kl_dynamic", "kl_static", "s_vector_nll")
    torch.testing.assert_close(terms["loss"], sum(terms[part] for part in parts))
    assert terms["recording_nll"] > 0


def test_kl_to_the_s_vector_agrees_with_monte_carlo():
    mean, log_var = torch.tensor([0.3, -1.2], dtype=torch.float64), torch.tensor([0.5, -1.7], dtype=torch.float64)
    s_vector = torch.tensor([0.1, 0.4], dtype=torch.float64)
    q = Normal(mean, (0.5 * log_var).exp())
    z = q.mean + q.stddev * torch.randn(200_000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    draws = (q.log_prob(z) - Normal(s_vector, 0.5).log_prob(z)).sum(1)
    error = draws.std() / math.sqrt(len(draws))
    assert kl_to_s_vector(mean, log_var, s_vector).item() == pytest.approx(draws.mean().item(), abs=4 * error.item())


def test_discriminative_term_equals_a_loop_over_all_recordings_far_from_the_origin():
    generator = torch.Generator().manual_seed(0)
    means, table = 5 + torch.randn(8, 32, generator=generator), 5 + torch.randn(50, 32, generator=generator)
    recording = torch.randint(50, (8,), generator=generator)
    found = log_recording(means, table, recording)
    exact = []
    for mean, row in zip(means.double(), recording, strict=True):
        scores = torch.stack([-((mean - other) ** 2).sum() / 0.5 for other in table.double()])
        exact.append(scores[row] - scores.logsumexp(0))
    # float32 sums of 32 products near 25, divided by 1/4
    torch.testing.assert_close(found, torch.stack(exact).float(), rtol=1e-5, atol=5e-3)


def test_map_estimate_is_the_maximum_of_its_posterior_and_shrinks_the_sum():
    means = torch.randn(7, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    s_vector = map_s_vector(means).requires_grad_()
    posterior = Normal(0.0, 1.0).log_prob(s_vector).sum() + Normal(s_vector, 0.5).log_prob(means).sum()
    (slope,) = torch.autograd.grad(posterior, s_vector)
    torch.testing.assert_close(slope, torch.zeros_like(slope), rtol=0, atol=1e-12)
    torch.testing.assert_close(built().utterance_vector(means), means.sum(0) / 7.25)


def test_the_table_moves_only_the_rows_of_the_batch_without_the_softmax():
    method, batch = built(alpha=0.0), segments(2)
    method.losses(batch, torch.Generator().manual_seed(0))["loss"].backward()
    moved = method.s_vectors.grad.abs().sum(1) > 0
    assert moved.nonzero()[:, 0].tolist() == sorted(set(batch.extras["recording"].tolist()))


def test_dynamic_part_is_one_vector_per_segment_and_generation_reads_it_back():
    method, batch = built(), segments()
    with torch.no_grad():
        parts, codes = method.parts(batch.x), method.encode(batch.x)
        assert parts["static"].shape == (6, 3)
        assert parts["dynamic"].shape == (6, 5, 2)
        assert torch.equal(parts["dynamic"][:, 0], parts["dynamic"][:, 4])
        assert torch.equal(codes, torch.cat([parts["static"][:, None].expand(-1, 5, -1), parts["dynamic"]], -1))
        expected, _ = method.decoder(torch.cat([parts["dynamic"][:, 0], parts["static"]], -1), 5)
        torch.testing.assert_close(method.generate(**parts), expected)


def test_prior_samples_have_the_variance_of_both_levels():
    codes = built(n_static=40).sample_prior(4000, 3, torch.Generator().manual_seed(0))
    assert codes["static"].var().item() == pytest.approx(1.25, abs=0.02)  # four errors of 160,000 draws
    assert codes["dynamic"].shape == (4000, 3, 2)
    assert codes["dynamic"].var().item() == pytest.approx(1.0, abs=0.06)


def test_published_sizes_have_the_authors_number_of_parameters():
    spec = DataSpec((200,), 20, 100, n_sequences=3696, extras=EXTRAS)
    method = FHVAE(FHVAEConfig(), spec)
    trained = sum(p.numel() for p in method.player_parameters("model"))

    def lstm(n_inputs):  # one matrix over input and state, one bias, four gates
        return (n_inputs + 256 + 1) * 4 * 256

    encoders = lstm(200) + lstm(232) + 4 * (256 + 1) * 32
    assert trained == encoders + lstm(64) + 2 * (256 + 1) * 200 + 3696 * 32


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (DataSpec((3, 64, 64), 8, 10, 10, EXTRAS), "needs audio features"),
        (DataSpec((200,), 20, 10, 10, {"recording": ()}), "no 'n_segments'"),
        (DataSpec((200,), 20, 10, 0, EXTRAS), "no 'n_sequences'"),
    ],
)
def test_data_that_cannot_serve_are_refused_by_name(spec, message):
    with pytest.raises(ValueError, match=f"fhvae: .*{message}"):
        built(spec)
