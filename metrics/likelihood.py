"""What a latent-variable model says of its data: evidence lower bound, its importance-weighted form, KL per latent."""

from __future__ import annotations

import numpy as np

from metrics.registry import MetricCard, Output, register_metric


@register_metric(
    "elbo",
    card=MetricCard(
        title="ELBO",
        summary="Evidence lower bound of held-out frames, always with β = 1 and without a method's other terms.",
        paper="Kingma & Welling, ICLR 2014; Burda, Grosse & Salakhutdinov, ICLR 2016",
        source="/weighted is log (1/S) Σ w_s with S = 16 samples, the bound of Burda et al.",
        needs=("log_weights",),
        factors=None,
        variants={"": {}},
        outputs={
            "": Output(bounds=(None, None), note="nats per frame, summed over pixels; compare within one likelihood"),
            "/weighted": Output(bounds=(None, None), note="at least the ELBO in expectation"),
        },
        blind_to="disentanglement: it is a model's fit to its data",
        cost="16 decoder passes over 1,000 frames",
        verified="closed form of a linear Gaussian model",
    ),
)
def elbo(log_weights: np.ndarray) -> dict[str, float]:
    """Means over frames of the two bounds, from log p(x, z_s) - log q(z_s|x), (n, n_samples), in nats.

    Raises:
        ValueError: not a matrix with at least one sample.
    """
    if log_weights.ndim != 2 or not log_weights.size:
        raise ValueError(f"elbo: log_weights must be (n, n_samples), got {log_weights.shape}")
    weights = log_weights.astype(np.float64)
    top = weights.max(1)
    weighted = top + np.log(np.exp(weights - top[:, None]).mean(1))
    return {"elbo": float(weights.mean()), "elbo/weighted": float(weighted.mean())}


@register_metric(
    "latent_kl",
    card=MetricCard(
        title="KL of the latents",
        summary="How far each latent's posterior is from its prior, summed, and how many latents are in use.",
        paper="Kingma & Welling, ICLR 2014",
        source="closed form of the model; in use means a mean KL above 0.01 nats",
        needs=("latent_kl",),
        factors=None,
        variants={"": {}},
        outputs={
            "/total": Output(bounds=(0.0, None), higher_is_better=False, note="nats; neither end is good by itself"),
            "/active": Output(bounds=(0.0, None), note="number of latents"),
        },
        blind_to="what the latents in use stand for",
        cost="one encoder pass",
        verified="closed form",
    ),
)
def latent_kl(latent_kl: np.ndarray) -> dict[str, float]:
    """Sum over latents of the mean KL, and the number above 0.01, from the KLs (n, n_latents) in nats.

    Raises:
        ValueError: not a matrix with at least one row.
    """
    if latent_kl.ndim != 2 or not len(latent_kl):
        raise ValueError(f"latent_kl: must be (n, n_latents), got {latent_kl.shape}")
    mean = latent_kl.mean(0, dtype=np.float64)
    return {"latent_kl/total": float(mean.sum()), "latent_kl/active": float((mean > 0.01).sum())}
