"""The terms that methods log while they train: how they are called, in which order they stand, and their units."""

from __future__ import annotations

from collections.abc import Iterable

_ORDER = ("loss", "nll", "kl")
# words in the names of what is so measured
_NATS = {"nll", "kl", "elbo", "entropy", "correlation", "information", "mi", "contrast"}
_UNITS = {
    "loss": "as minimised",
    "sparsity": "nats",
    "distance": "nats",
    "active": "share of latents",
    "on_rate": "share of spikes",
    "shared": "share of latents",
    "accuracy": "share of answers",
    "quantize": "squared distance",
    "commit": "squared distance",
    "off_diagonal": "sum of squares",
    "diagonal": "sum of squares",
    "hessian": "ratio of variances",
    "reconstruction": "sum of squares",
    "mse": "mean square",
    "predicted_mse": "mean square",
    "latent_mse": "mean square",
    "spectrum": "squared distance",
    "static_gap": "MMD² or nats",
    "dynamic_gap": "MMD² or nats",
    "latent": "mean square",
    "continuity": "nats",
    "hamilton_jacobi": "squared residual",
    "wave": "squared residual",
    "initial": "squared residual",
    "divergence": "squared residual",
    "jacobian": "mean square",
    "penalty": "nats",
    "triplet": "distance",
    "area": "nats",
    "direction": "nats",
    "image": "nats",
    "video": "nats",
}


def in_term_order(terms: Iterable[str]) -> list[str]:
    """Terms in the order of figures: the model's before other players', then loss, nll, kl, then by name."""

    def place(term: str) -> tuple[str, int, str]:
        player, name = _parts(term)
        return player, _ORDER.index(name) if name in _ORDER else len(_ORDER), name

    return sorted(terms, key=place)


def term_title(term: str) -> str:
    """``kl (nats)``, ``discriminator: loss (as minimised)``; a term whose unit is not known stands alone."""
    player, name = _parts(term)
    unit = _UNITS.get(name) or ("nats" if _NATS & set(name.split("_")) else "")
    title = f"{player}: " if player else ""
    return f"{title}{name.replace('_', ' ')}{f' ({unit})' if unit else ''}"


def shared_name(term: str) -> str:
    """The term's name without the player ``model``, so that it compares with that of methods with one player."""
    return term.removeprefix("model/")


def _parts(term: str) -> tuple[str, str]:
    """Player, empty for the model, and name."""
    player, _, name = shared_name(term).rpartition("/")
    return player, name
