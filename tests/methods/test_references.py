"""Reference points give what their names say."""

import numpy as np
import torch
from scipy import stats
from scipy.optimize import linear_sum_assignment

from bench.api import DataSpec
from methods.references import ICA, PCA, Oracle, RandomCodes, ReferenceConfig, Untrained, UntrainedConfig
from methods.vae import VAE, VAEConfig

SPEC = DataSpec((1, 16, 16), n_frames=1, n_train=100)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def random_codes(x, seed=0):
    torch.manual_seed(seed)
    return RandomCodes(ReferenceConfig(), DataSpec(tuple(x.shape[2:]), 1, 100)).encode(x)


def test_random_codes_are_standard_normal_and_independent_of_each_other_and_of_neighbouring_images():
    # The hardest case for a hash: images that differ in one pixel by one grey level.
    x = torch.zeros(20_000, 1, 1, 16, 16)
    x[:, 0, 0, 3, 5] = torch.arange(20_000) / 2**16
    codes = random_codes(x)[:, 0].double().numpy()
    for column in codes.T:
        assert stats.kstest(column, "norm").pvalue > 1e-3
    shifted = np.hstack([codes[1:], codes[:-1]])  # each image beside its neighbour
    correlation = np.corrcoef(shifted.T) - np.eye(20)
    assert np.abs(correlation).max() < 4.5 / np.sqrt(20_000)  # 190 pairs
    rank = stats.spearmanr(np.column_stack([np.arange(20_000), np.abs(codes)])).statistic - np.eye(11)
    assert np.abs(rank).max() < 4.5 / np.sqrt(20_000)


def test_random_codes_repeat_for_equal_images_whatever_stands_beside_them():
    x = torch.rand(700, 1, 3, 8, 8, generator=generator())
    codes = random_codes(x)
    order = torch.randperm(700, generator=generator())
    assert torch.equal(random_codes(x[order]), codes[order])
    assert torch.equal(random_codes(x.reshape(70, 10, 3, 8, 8)), codes.reshape(70, 10, 10))
    assert torch.equal(random_codes(x.transpose(3, 4).contiguous().transpose(3, 4)), codes)  # another memory layout


def test_random_codes_differ_between_seeds():
    x = torch.rand(500, 1, 1, 8, 8, generator=generator())
    correlation = np.corrcoef(random_codes(x)[:, 0].numpy().T, random_codes(x, seed=1)[:, 0].numpy().T)[:10, 10:]
    assert np.abs(correlation).max() < 4.5 / np.sqrt(500)


def mixed_sources(n=2_000, n_sources=4):
    """Independent uniform sources (n, n_sources) and images that are linear in them, inside [0, 1]."""
    rng = np.random.default_rng(0)
    sources = rng.uniform(-1, 1, (n, n_sources))
    mixing = rng.normal(size=(n_sources, 256))
    pixels = sources @ mixing
    x = 0.5 + 0.5 * pixels / np.abs(pixels).max()
    return sources, torch.from_numpy(x).float().reshape(n, 1, 16, 16)


def test_pca_equals_the_eigenvectors_of_the_covariance():
    _, x = mixed_sources()
    pca = PCA(ReferenceConfig(n_latents=4), SPEC)
    pca.fit(x, generator())
    codes = pca.encode(x[:, None])[:, 0].double().numpy()

    flat = x.flatten(1).double().numpy()
    values, vectors = np.linalg.eigh(np.cov(flat.T))
    expected = (flat - flat.mean(0)) @ vectors[:, : -4 - 1 : -1]
    np.testing.assert_allclose(np.abs(codes), np.abs(expected), atol=1e-4)
    np.testing.assert_allclose(codes.var(0, ddof=1), values[: -4 - 1 : -1], rtol=1e-4)
    torch.testing.assert_close(pca.decode(torch.from_numpy(codes).float()), x, atol=1e-5, rtol=0)  # rank 4 exactly


def test_ica_finds_the_sources_that_pca_leaves_mixed():
    sources, x = mixed_sources()

    def match(kind):
        method = kind(ReferenceConfig(n_latents=4), SPEC)
        method.fit(x, generator())
        codes = method.encode(x[:, None])[:, 0]
        correlation = np.abs(np.corrcoef(sources.T, codes.numpy().T)[:4, 4:])
        rows, columns = linear_sum_assignment(-correlation)
        return method, codes, correlation[rows, columns].min()

    _, _, pca = match(PCA)
    ica, codes, best = match(ICA)
    assert best > 0.99 > pca
    torch.testing.assert_close(codes.var(0), torch.ones(4), atol=2e-3, rtol=0)
    torch.testing.assert_close(ica.decode(codes), x, atol=1e-5, rtol=0)


def test_untrained_equals_a_vae_of_the_same_seed_before_its_first_step():
    torch.manual_seed(3)
    untrained = Untrained(UntrainedConfig(), SPEC)
    torch.manual_seed(3)
    vae = VAE(VAEConfig(), SPEC)
    x = torch.rand(5, 1, 1, 16, 16, generator=generator())
    assert torch.equal(untrained.encode(x), vae.encode(x))


def test_oracle_passes_factors_unchanged_beside_standard_normal_noise():
    factors = torch.arange(60_000).reshape(20_000, 3) % 40
    codes = Oracle(ReferenceConfig(), SPEC).encode_factors(factors, generator())
    assert codes.shape == (20_000, 10)
    assert torch.equal(codes[:, :3], factors.float())
    for column in codes[:, 3:].T:
        assert stats.kstest(column.numpy(), "norm").pvalue > 1e-3


def test_oracle_has_no_noise_when_there_are_more_factors_than_latents():
    factors = torch.rand(5, 12, generator=generator())
    assert torch.equal(Oracle(ReferenceConfig(), SPEC).encode_factors(factors, generator()), factors)
