"""Wrong parameter values fail when the config is built, in one line that names method, parameter and value."""

import pytest

from bench.api import DataSpec
from methods.betavae import BetaVAEConfig
from methods.references import PCA, ReferenceConfig
from methods.slowvae import SlowVAE, SlowVAEConfig
from methods.vae import VAEConfig


@pytest.mark.parametrize(
    ("config", "values", "message"),
    [
        (SlowVAEConfig, {"rate": 0}, "slowvae: parameter 'rate' must be > 0, got 0"),
        (SlowVAEConfig, {"rate": float("nan")}, "slowvae: parameter 'rate' must be > 0, got nan"),
        (SlowVAEConfig, {"gamma": -1.0}, "slowvae: parameter 'gamma' must be >= 0, got -1.0"),
        (SlowVAEConfig, {"n_latents": 0}, "slowvae: parameter 'n_latents' must be >= 1, got 0"),
        (
            SlowVAEConfig,
            {"objective": "kl"},
            "slowvae: parameter 'objective' must be one of released, elbo, got 'kl'",
        ),
        (BetaVAEConfig, {"beta": "four"}, "betavae: parameter 'beta' must be >= 0, got 'four'"),
        (BetaVAEConfig, {"beta": float("inf")}, "betavae: parameter 'beta' must be >= 0, got inf"),
        (VAEConfig, {"learning_rate": 0.0}, "vae: parameter 'learning_rate' must be > 0, got 0.0"),
        (VAEConfig, {"batch_size": 0}, "vae: parameter 'batch_size' must be >= 1, got 0"),
        (ReferenceConfig, {"n_steps": 5}, "reference point: it is not trained, so 'n_steps' cannot be set"),
    ],
)
def test_a_wrong_value_is_named(config, values, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole message is compared
        config(**values)
    assert str(caught.value) == message


def test_published_values_are_the_defaults():
    slow = SlowVAEConfig()
    assert (slow.beta, slow.gamma, slow.rate, slow.objective) == (1, 10, 6, "released")
    assert (slow.n_latents, slow.batch_size, slow.n_steps, slow.learning_rate) == (10, 32, 300_000, 1e-4)
    beta = BetaVAEConfig()
    assert (beta.beta, beta.n_latents, beta.batch_size, beta.n_steps, beta.learning_rate) == (4, 10, 64, 300_000, 1e-4)


def test_slowvae_refuses_data_that_are_not_pairs():
    with pytest.raises(ValueError, match="2 frames an item"):
        SlowVAE(SlowVAEConfig(), DataSpec((1, 64, 64), n_frames=1, n_train=9))


def test_pca_refuses_fewer_frames_than_components():
    import torch

    pca = PCA(ReferenceConfig(), DataSpec((1, 16, 16), n_frames=1, n_train=9))
    with pytest.raises(ValueError, match="PCA: 10 components need as many frames"):
        pca.fit(torch.rand(9, 1, 16, 16), torch.Generator())
