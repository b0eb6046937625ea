"""From (method, data) to the named arrays that metrics ask for.

A metric's ``needs`` are names of this module. ``available`` answers before anything trains which names a method on a
data set will offer; ``gather`` makes them. Nothing else decides applicability.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.api import Method
from bench.datasets.base import DataInfo, DataStore
from bench.randomness import EVALUATION_SEED, stream, torch_stream
from metrics.protocols import Protocol

N_WEIGHTS = 16  # samples of the importance-weighted bound
DRAWN_AT_ONCE = 15_000  # evaluation rows: 184 MB of 64 × 64 colour images
CHUNK = 256  # frames encoded at once: larger only costs memory on a CPU
OF_CELLS = {"cell_codes", "cell_kl", "member"}  # made of several runs' kept codes, by ``bench.cell_metrics``


def available(method: type[Method], info: DataInfo) -> set[str]:
    """Names of the arrays that this method on this data set will offer."""
    names: set[str] = set()
    has_codes = hasattr(method, "encode") or method.card.reads_factors
    if has_codes:
        names |= {"codes", "factors", "codes_test", "factors_test"}
        if info.has_grid and not info.render_is_random:
            names |= {"grid_codes", "factor_sizes", "sampler"}
    if not info.factors.names:
        # nothing is known of the data but its pictures, and there is nothing that an oracle could read
        names = {"codes", "codes_test"} if hasattr(method, "encode") else set()
    if "codes" in names:
        names |= OF_CELLS
    if hasattr(method, "encode") and hasattr(method, "decode"):
        names |= {"observations", "reconstructions"}
    names |= {name for name in ("log_weights", "latent_kl") if hasattr(method, name)}
    return names


def evaluation_rows(data: Any, dataset_id: str, store: DataStore, protocol: Protocol) -> tuple[np.ndarray, np.ndarray]:
    """Observations (n, *observation) and factors (n, k) of the protocol's rows, train then test; the same for all.

    A container that names two splits in ``evaluation_splits`` has its test rows drawn from the second one.
    """
    n = protocol.n_draw + protocol.n_test
    fit, test = getattr(data, "evaluation_splits", ("train", "train"))
    spans = [(fit, 0, n)] if fit == test else [(fit, 0, protocol.n_draw), (test, protocol.n_draw, n)]
    factors: list[np.ndarray] = []
    rng = stream(EVALUATION_SEED, dataset_id, "evaluation")

    def draw(rows: slice) -> np.ndarray:
        nonlocal rng
        if rows.start == 0:
            rng = stream(EVALUATION_SEED, dataset_id, "evaluation")
            factors.clear()
        found = []
        for split, start, stop in spans:
            m = min(stop, rows.stop) - max(start, rows.start)
            if m > 0:
                part = data.labelled(m, rng, split=split, view="images")
                found.append(np.asarray(part.x[:, 0]))
                factors.append(np.asarray(part.factors[:, 0]))
        return np.concatenate(found)

    def drawn_factors() -> np.ndarray:
        if not factors:  # the observations were in the cache
            for start in range(0, n, DRAWN_AT_ONCE):
                draw(slice(start, min(start + DRAWN_AT_ONCE, n)))
        return np.concatenate(factors)

    x = store.cached_rows(f"evaluation-{n}-x", n, draw, DRAWN_AT_ONCE)
    return x, store.cached(f"evaluation-{n}-factors", drawn_factors)


def to_observations(frames: np.ndarray, device: torch.device) -> torch.Tensor:
    """Frames uint8 or float32 → float32 tensor in [0, 1] on ``device``, same shape."""
    x = torch.from_numpy(np.array(frames)).to(device)  # a copy: frames may be a read-only memory map
    return x.float().div_(255) if x.dtype == torch.uint8 else x.float()


@torch.inference_mode()
def encode(method: Method, frames: np.ndarray, device: torch.device) -> np.ndarray:
    """Codes (n, n_latents) float32 of frames (n, *observation), in eval mode and without autocast."""
    method.eval()
    pieces = []
    for start in range(0, len(frames), CHUNK):
        x = to_observations(frames[start : start + CHUNK], device)
        pieces.append(method.encode(x[:, None])[:, 0].float().cpu().numpy())  # type: ignore[operator]
    return np.concatenate(pieces)


@torch.inference_mode()
def decode(method: Method, codes: np.ndarray, device: torch.device) -> np.ndarray:
    """Observations (n, *observation) float32 in [0, 1] of codes (n, n_latents)."""
    method.eval()
    pieces = []
    for start in range(0, len(codes), CHUNK):
        z = torch.from_numpy(codes[start : start + CHUNK]).to(device)
        pieces.append(method.decode(z).float().cpu().numpy())  # type: ignore[operator]
    return np.concatenate(pieces)


class Evidence:
    """The arrays of one trained method on one data set, each made when first asked for.

    Args:
        rows: observations and factors of ``evaluation_rows``.
        seed: the run's seed, for codes that are random by definition (the oracle's padding).
    """

    def __init__(
        self,
        method: Method,
        data: Any,
        dataset_id: str,
        rows: tuple[np.ndarray, np.ndarray],
        protocol: Protocol,
        device: torch.device,
        seed: int,
    ) -> None:
        self.method, self.data, self.dataset_id = method, data, dataset_id
        self.x, self.factors = rows
        self.protocol, self.device, self.seed = protocol, device, seed
        self.all_codes = self._encode(self.x, self.factors)

    def _encode(self, x: np.ndarray, factors: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
        if self.method.card.reads_factors:
            generator = torch_stream(self.seed, self.dataset_id, "oracle", torch.device("cpu"))
            if rng is not None:  # an intervention's own noise, or every piece of a grid would get the same
                generator.manual_seed(int(rng.integers(2**62)))
            values = torch.from_numpy(np.array(factors)).float()
            return self.method.encode_factors(values, generator).numpy()  # type: ignore[operator]
        return encode(self.method, x, self.device)

    def gather(self, names: Collection[str]) -> dict[str, Any]:
        """The named arrays, and the codes in any case: where a metric cannot run, its reason names what is missing.

        Raises:
            KeyError: a name that this module does not know.
        """
        return {name: self._makers()[name]() for name in {"codes", "codes_test", *names}}

    def _makers(self) -> Mapping[str, Callable[[], Any]]:
        n = self.protocol.n_draw
        return {
            "codes": lambda: self.all_codes[:n],
            "factors": lambda: np.asarray(self.factors[:n]),
            "codes_test": lambda: self.all_codes[n:],
            "factors_test": lambda: np.asarray(self.factors[n:]),
            "observations": lambda: self._held_out(),
            "reconstructions": lambda: decode(self.method, self.all_codes[n:][: self.n_shown], self.device),
            "factor_sizes": lambda: np.array(self.data.info.factors.sizes),
            "grid_codes": self._grid_codes,
            "sampler": lambda: self._sample,
            "log_weights": self._log_weights,
            "latent_kl": self._latent_kl,
        }

    @property
    def n_shown(self) -> int:
        """Test rows that are decoded: as many as a stable mean needs, no more (floats of a frame are 16 kB)."""
        return min(1_000, len(self.all_codes) - self.protocol.n_draw)

    def _held_out(self) -> np.ndarray:
        frames = self.x[self.protocol.n_draw :][: self.n_shown]
        return to_observations(frames, torch.device("cpu")).numpy()

    @torch.inference_mode()
    def _log_weights(self) -> np.ndarray:
        generator = torch_stream(EVALUATION_SEED, self.dataset_id, "log weights", self.device)
        self.method.eval()
        pieces = [
            self.method.log_weights(x.to(self.device), N_WEIGHTS, generator).cpu()  # type: ignore[operator]
            for x in torch.from_numpy(self._held_out()).split(CHUNK)
        ]
        return torch.cat(pieces).numpy()

    @torch.inference_mode()
    def _latent_kl(self) -> np.ndarray:
        self.method.eval()
        frames = torch.from_numpy(self._held_out())
        return torch.cat([self.method.latent_kl(x.to(self.device)).cpu() for x in frames.split(CHUNK)]).numpy()  # type: ignore[operator]

    def mean_kl(self) -> np.ndarray:
        """(n_latents,) float64 mean KL of each latent in nats, infinite where the method tells none of its codes."""
        none = np.full(self.all_codes.shape[1], np.inf)
        if not hasattr(self.method, "latent_kl"):
            return none
        mean = self._latent_kl().mean(0, dtype=np.float64)
        return mean if mean.shape == none.shape else none

    def _grid_codes(self) -> np.ndarray:
        """Codes of every cell, C order of the factor tuple; rendered and encoded in pieces, frames never kept."""
        sizes = self.data.info.factors.sizes
        total, step, pieces = int(np.prod(sizes)), 8_192, []
        rng = stream(EVALUATION_SEED, self.dataset_id, "grid")
        for start in range(0, total, step):
            cells = np.stack(np.unravel_index(np.arange(start, min(start + step, total)), sizes), axis=1)
            pieces.append(self._sample(cells, rng))
        return np.concatenate(pieces)

    def _sample(self, factors: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return self._encode(self.data.render(factors, rng), factors, rng)


def save_codes(
    path: Path, codes: np.ndarray, factors: np.ndarray, n_train: int, latent_kl: np.ndarray | None = None
) -> None:
    """Keep what was scored, so that a new metric needs no training: HDF5 with ``codes``, ``factors``, ``n_train``.

    Args:
        latent_kl: (n_latents,) of ``Evidence.mean_kl``, where metrics that compare runs will read it.
    """
    import os

    import h5py

    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    with h5py.File(partial, "w") as file:
        file.create_dataset("codes", data=codes)
        file.create_dataset("factors", data=factors)
        file.attrs["n_train"] = n_train
        if latent_kl is not None:
            file.attrs["latent_kl"] = latent_kl
    os.replace(partial, path)


@dataclass(frozen=True)
class KeptCodes:
    """What ``save_codes`` kept of one run: codes (n, n_latents) float32 and the KL of each latent (n_latents,)."""

    codes: np.ndarray
    latent_kl: np.ndarray


def kept_codes(path: Path, n_rows: int) -> KeptCodes | None:
    """The first ``n_rows`` codes that a run kept, and its KL; None where either is missing or cannot be read."""
    import h5py

    from bench.hdf5_codes import check_stored

    try:
        with h5py.File(path, "r") as file:
            found = file["codes"] if isinstance(file.get("codes", getlink=True), h5py.HardLink) else None
            if not isinstance(found, h5py.Dataset) or found.is_virtual or found.external:
                return None  # the file may have come with the rows of another machine: it is not followed elsewhere
            check_stored(path, f"{path}: codes", found)
            codes, kl = found[:n_rows], np.asarray(file.attrs["latent_kl"], np.float64)
    except (OSError, RuntimeError, KeyError, TypeError, ValueError):  # no file, or not a whole one of ours
        return None
    return KeptCodes(codes, kl) if codes.ndim == 2 and codes.dtype.kind == "f" and kl.shape == codes.shape[1:] else None
