"""β-VAE (Higgins et al., ICLR 2017): a VAE whose KL term is weighted by β."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bench.api import DataSpec
from bench.registry import register_method
from methods.image_vae import STUDY_NOTE
from methods.parameters import check_at_least
from methods.vae import CARD as VAE_CARD
from methods.vae import VAE, VAEConfig


@dataclass(frozen=True)
class BetaVAEConfig(VAEConfig):
    """The β-VAE of the SlowVAE paper's tables; its β = 8 stands before a doubled reconstruction, so it is 4 here."""

    beta: float = 4.0

    def __post_init__(self) -> None:
        self.check("betavae")
        check_at_least("betavae", self, 0, "beta")


CARD = replace(
    VAE_CARD,
    title="β-VAE",
    paper="Higgins et al., beta-VAE: Learning Basic Visual Concepts with a Constrained Variational Framework, "
    "ICLR 2017",
    summary="A VAE whose KL term is weighted by β > 1, trading reconstruction for independent latents.",
    source="Eq. 4 of the paper, as in bethgelab/slow_disentanglement, scripts/solver.py (train) with gamma = 0, which "
    "minimises 2 rec + β KL: its published β = 8 is β = 4 per image (Adam ignores the common factor 2).",
    grids={"study": tuple({"beta": beta, "network": "study"} for beta in (1.0, 2.0, 4.0, 6.0, 8.0, 16.0))},
    notes="β multiplies the KL in rec + β KL per image: betavae[beta=4] is the SlowVAE paper's β-VAE (8 there). "
    "β = 1 is vae. Codes are posterior means. Grey and colour values count as Bernoulli probabilities. In the paper's "
    "data it saw both frames of every pair as ordinary images; here it draws single images. Other image sides than 64 "
    f"change the innermost kernels (methods/networks.py). {STUDY_NOTE}",
)


@register_method("betavae", config=BetaVAEConfig, card=CARD)
class BetaVAE(VAE):
    """VAE with a Bernoulli decoder and β · KL(q(z|x) ‖ N(0, I)). Sees single frames."""

    def __init__(self, config: BetaVAEConfig, data: DataSpec) -> None:
        super().__init__(config, data)
        self.beta = config.beta
