"""Log-likelihood of frames under a stated decoder distribution, by importance sampling from the posterior."""

from __future__ import annotations

from dataclasses import dataclass
from math import log, pi
from typing import Literal

import numpy as np

from metrics.registry import MetricCard, Output, register_metric

LOG_2_PI = log(2 * pi)


@dataclass(frozen=True)
class LikelihoodTerms:
    """Logarithms of densities, in nats, of frames x and samples z ~ q(z|x).

    Attributes:
        gaussian: (n, samples) log N(x; decoded mean, I), summed over pixels.
        bernoulli: (n, samples) −cross-entropy of grey values, summed over pixels.
        prior: (n, samples) log p(z).
        posterior: (n, samples) log q(z|x).
        n_pixels: values of a frame, channels included.
    """

    gaussian: np.ndarray
    bernoulli: np.ndarray
    prior: np.ndarray
    posterior: np.ndarray
    n_pixels: int


@register_metric(
    "log_likelihood",
    card=MetricCard(
        title="Log-likelihood",
        summary="Importance-weighted estimate of log p(x) of test frames, nats per frame summed over pixels.",
        paper="Song, Keller, Sebe & Welling, NeurIPS 2023; Burda, Grosse & Salakhutdinov, ICLR 2016",
        source="log (1/K) Σ p(x|z_k) p(z_k) / q(z_k|x) with K = 100 samples of q(z|x), the K subtracted. [gaussian]: "
        "unit variance around the decoded mean, as FFRL reports, though training uses the Bernoulli cross-entropy. "
        "[bernoulli]: that cross-entropy of grey values. [released]: latent-flow's own estimator, one sample and "
        "log p(x|z) − log p(z) + log q(z|x), which has the signs of the last two terms the wrong way around: it adds "
        "the KL instead of taking it off and bounds nothing. It is there to be compared with FFRL's tables alone.",
        needs=("likelihood_terms",),
        factors=None,
        variants={
            "gaussian": {"decoder": "gaussian"},
            "bernoulli": {"decoder": "bernoulli"},
            "released": {"decoder": "released"},
        },
        defaults=("gaussian", "bernoulli"),
        outputs={
            "": Output(bounds=(None, None), note="compare within one decoder distribution and one frame size"),
            "/elbo": Output(bounds=(None, None), note="the mean over samples: at most the estimate"),
        },
        variant_outputs={
            "gaussian": {
                "": Output(bounds=(None, None), note="at most −(d/2) log 2π: −2161.3 for 3 × 28 × 28"),
                "/elbo": Output(bounds=(None, None), note="the mean over samples: at most the estimate"),
                "/below_limit": Output(
                    bounds=(0.0, None),
                    higher_is_better=False,
                    ceiling=0.0,
                    note="−(d/2) log 2π minus the estimate: what no unit Gaussian can do better",
                ),
            },
            "released": {"": Output(bounds=(None, None), note="wrong signs; may exceed what any estimate can reach")},
        },
        blind_to="disentanglement; under a unit Gaussian, nearly everything but the squared error",
        cost="100 decoder passes over 500 frames; first frames where the data are sequences of transformations",
        version=2,
        verified="closed form of a linear Gaussian model; never above the limit",
    ),
)
def log_likelihood(
    likelihood_terms: LikelihoodTerms, *, decoder: Literal["gaussian", "bernoulli", "released"]
) -> dict[str, float]:
    """Means over frames, in nats; see the card.

    Raises:
        ValueError: terms of different shapes.
    """
    terms = likelihood_terms
    kind = "bernoulli" if decoder == "bernoulli" else "gaussian"
    likelihood, prior, posterior = (
        np.asarray(values, np.float64) for values in (getattr(terms, kind), terms.prior, terms.posterior)
    )
    if likelihood.ndim != 2 or not likelihood.size or not likelihood.shape == prior.shape == posterior.shape:
        raise ValueError(
            f"log_likelihood: terms must be (n, samples), each alike, got {likelihood.shape}, {prior.shape}, "
            f"{posterior.shape}"
        )
    if decoder == "released":
        return {"log_likelihood": float((likelihood - prior + posterior)[:, 0].mean())}
    weights = likelihood + prior - posterior
    top = weights.max(1)
    estimate = float((top + np.log(np.exp(weights - top[:, None]).mean(1))).mean())
    found = {"log_likelihood": estimate, "log_likelihood/elbo": float(weights.mean())}
    if decoder == "gaussian":
        found["log_likelihood/below_limit"] = -terms.n_pixels / 2 * LOG_2_PI - estimate
    return found
