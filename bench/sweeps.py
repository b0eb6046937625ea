"""Several methods with the sweep of a published study, under one name: ``--methods study``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from bench.registry import UsageError
from bench.selection import Selected


@dataclass(frozen=True)
class Sweep:
    """A name that stands for ``METHOD[grid=NAME]`` of each of its methods.

    Attributes:
        methods: in the study's order.
    """

    name: str
    title: str
    paper: str
    summary: str
    methods: tuple[str, ...]
    notes: str = ""


SWEEPS: Mapping[str, Sweep] = {
    sweep.name: sweep
    for sweep in (
        Sweep(
            name="study",
            title="The study of Locatello et al.",
            paper="Locatello et al., Challenging Common Assumptions in the Unsupervised Learning of Disentangled "
            "Representations, ICML 2019",
            summary="A sweep: six unsupervised methods, each at six strengths, on the study's network.",
            methods=("betavae", "factorvae", "dipvae1", "dipvae2", "betatcvae", "annealedvae"),
            notes="Parameters apply to all six: study[n_latents=6]. The study's own size is --seeds 50 --budget paper "
            "on dsprites, dsprites_color, dsprites_noisy, dsprites_scream, smallnorb, cars3d and shapes3d: 12,600 runs "
            "of 300,000 steps. Its 300,000 steps of FactorVAE are 150,000 of ours (see `bench show factorvae`).",
        ),
    )
}


def expanded(selected: Selected) -> list[Selected]:
    """The selection itself, or one of each method where its name is that of a sweep.

    Raises:
        UsageError: a sweep that was given a ``grid`` of its own.
    """
    sweep = SWEEPS.get(selected.name)
    if sweep is None:
        return [selected]
    if "grid" in selected.params:
        raise UsageError(f"{sweep.name} is a sweep itself and takes no 'grid' (from --methods {selected.text})")
    params = {"grid": sweep.name, **selected.params}
    return [replace(selected, name=method, params=params) for method in sweep.methods]
