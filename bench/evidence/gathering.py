"""From (method, data) to the named arrays that metrics ask for.

A metric's ``needs`` are names of this module. ``available`` answers before anything trains which names a method on a
data set will offer; ``gather`` makes them. Nothing else decides applicability. What is more than codes, factors and
reconstructions is made by the modules in ``FURTHER``, each with ``offers`` and ``make``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch

from bench.api import Method
from bench.datasets.base import DataInfo
from bench.evidence import part_evidence, swap_evidence, transformation_evidence, verification_evidence
from bench.evidence.encoding import CHUNK, decode, encode, encode_rows, item_chunks, regenerate, to_observations
from bench.evidence.evaluation import ITEM_VIEWS, ItemRows, Rows
from bench.evidence.judges import Judge
from bench.randomness import EVALUATION_SEED, stream, torch_stream
from metrics.protocols import Protocol as MetricProtocol

N_WEIGHTS = 16  # samples of the importance-weighted bound
OF_CELLS = {"cell_codes", "cell_kl", "member"}  # made of several runs' kept codes, by ``bench.running.cell_metrics``


class Maker(Protocol):
    """Further evidence; a module with these two functions is one."""

    def offers(self, method: type[Method], info: DataInfo) -> set[str]:
        """Names of the arrays that it will make of this method on this data set; asked before anything trains."""

    def make(self, evidence: Evidence, name: str) -> Any:
        """One of these arrays."""


FURTHER: tuple[Maker, ...] = (part_evidence, transformation_evidence, swap_evidence, verification_evidence)


def has_codes(method: type[Method]) -> bool:
    """Whether there is anything to score a representation by; a method that only generates has none."""
    return hasattr(method, "encode") or method.card.reads_factors


def available(method: type[Method], info: DataInfo) -> set[str]:
    """Names of the arrays that this method on this data set will offer."""
    names: set[str] = set()
    if has_codes(method):
        names |= {"codes", "factors", "codes_test", "factors_test"}
        if info.has_grid and not info.render_is_random and method.card.view not in ITEM_VIEWS:
            names |= {"grid_codes", "factor_sizes", "sampler"}
    if not info.factors.names:
        # nothing is known of the data but its pictures, and there is nothing that an oracle could read
        names = {"codes", "codes_test"} if hasattr(method, "encode") else set()
    if "codes" in names:
        names |= OF_CELLS
    if hasattr(method, "encode") and (hasattr(method, "decode") or _regenerates(method)):
        names |= {"observations", "reconstructions"}
    names |= {name for name in ("log_weights", "latent_kl") if hasattr(method, name)}
    return names.union(*(maker.offers(method, info) for maker in FURTHER))


def _regenerates(method: type[Method]) -> bool:
    """Whether whole sequences can be made again of the parts of their code, where no frame is decoded by itself."""
    return hasattr(method, "parts") and hasattr(method, "generate") and method.card.view == "sequences"


class Evidence:
    """The arrays of one trained method on one data set, each made when first asked for.

    Args:
        rows: of ``bench.evidence.evaluation.evaluation_rows``.
        seed: the run's seed, for what is random by definition: samples of a prior, the oracle's padding.
        find_judge: gives the judge of generated sequences, trained where there is none yet.
    """

    def __init__(
        self,
        method: Method,
        data: Any,
        dataset_id: str,
        rows: Rows,
        protocol: MetricProtocol,
        device: torch.device,
        seed: int,
        find_judge: Callable[[], Judge] | None = None,
    ) -> None:
        self.method, self.data, self.dataset_id = method, data, dataset_id
        self.rows, self.protocol, self.device, self.seed = rows, protocol, device, seed
        self._made: dict[str, Any] = {}
        self._find_judge = find_judge

    @property
    def has_codes(self) -> bool:
        return has_codes(type(self.method))

    @cached_property
    def all_codes(self) -> np.ndarray:
        """Codes (n, n_latents) float32 of the rows."""
        if self.method.card.reads_factors:
            return self._read_factors(self.rows.factors)
        return encode_rows(self.method, self.rows, self.device)

    def made_once(self, key: str, make: Callable[[], Any]) -> Any:
        """What ``make`` returned when it was first asked for under ``key``: for makers whose arrays share work."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def judge(self) -> Judge:
        """The judge of this data."""
        if self._find_judge is None:
            raise ValueError("swaps need a judge, and none is at hand")
        return self.made_once("judge", self._find_judge)  # type: ignore[no-any-return]

    @property
    def judge_facts(self) -> Mapping[str, Any] | None:
        """What a row says of the judge; None where nothing was judged."""
        return self._made["judge"].facts if "judge" in self._made else None

    def gather(self, names: Collection[str]) -> dict[str, Any]:
        """The named arrays, and the codes in any case: where a metric cannot run, its reason names what is missing.

        Raises:
            KeyError: a name that this module does not know.
        """
        own = self._makers()
        further = {
            name: maker
            for maker in FURTHER
            for name in maker.offers(type(self.method), self.data.info)
            if name in names
        }
        wanted = {*names, "codes", "codes_test"} if self.has_codes else set(names)
        return {name: further[name].make(self, name) if name in further else own[name]() for name in sorted(wanted)}

    def _makers(self) -> Mapping[str, Callable[[], Any]]:
        n = self.rows.n_train
        return {
            "codes": lambda: self.all_codes[:n],
            "factors": lambda: np.asarray(self.rows.factors[:n]),
            "codes_test": lambda: self.all_codes[n:],
            "factors_test": lambda: np.asarray(self.rows.factors[n:]),
            "observations": self._held_out_frames,
            "reconstructions": self._reconstructions,
            "factor_sizes": lambda: np.array(self.data.info.factors.sizes),
            "grid_codes": self._grid_codes,
            "sampler": lambda: self._sample,
            "log_weights": self._log_weights,
            "latent_kl": self._latent_kl,
        }

    @property
    def n_shown(self) -> int:
        """Test rows that are decoded: as many as a stable mean needs, no more (floats of a frame are 16 kB)."""
        return min(1_000, len(self.rows) - self.rows.n_train)

    def _held_out_frames(self) -> np.ndarray:
        n = self.rows.n_train
        return to_observations(self.rows.frames(slice(n, n + self.n_shown)), torch.device("cpu")).numpy()

    def _reconstructions(self) -> np.ndarray:
        if hasattr(self.method, "decode"):
            return decode(self.method, self.all_codes[self.rows.n_train :][: self.n_shown], self.device)
        assert isinstance(self.rows, ItemRows)
        shown = self.rows.part(self.rows.n_train, self.rows.n_train + self.n_shown)
        return regenerate(self.method, shown, self.device)

    @torch.inference_mode()
    def _over_held_out(self, give: Callable[[torch.Tensor], torch.Tensor]) -> np.ndarray:
        """What ``give`` makes of held-out frames, or of whole sequences of about as many frames, in pieces."""
        self.method.eval()
        rows = self.rows
        if isinstance(rows, ItemRows) and self.method.card.view == "sequences":
            first = rows.n_train_items
            items = item_chunks(rows, self.device, first, first + max(100, self.n_shown // rows.n_frames))
            return torch.cat([give(x).float().cpu() for _, x in items]).numpy()
        frames = torch.from_numpy(self._held_out_frames())
        return torch.cat([give(x.to(self.device)).float().cpu() for x in frames.split(CHUNK)]).numpy()

    def _log_weights(self) -> np.ndarray:
        generator = torch_stream(EVALUATION_SEED, self.dataset_id, "log weights", self.device)
        return self._over_held_out(lambda x: self.method.log_weights(x, N_WEIGHTS, generator))  # type: ignore[operator]

    def _latent_kl(self) -> np.ndarray:
        return self._over_held_out(self.method.latent_kl)  # type: ignore[arg-type]

    def mean_kl(self) -> np.ndarray:
        """(n_latents,) float64 mean KL of each latent in nats, infinite where the method tells none of its codes."""
        none = np.full(self.all_codes.shape[1], np.inf)
        if not hasattr(self.method, "latent_kl"):
            return none
        mean = self._latent_kl().mean(0, dtype=np.float64)
        return mean if mean.shape == none.shape else none

    def _read_factors(self, factors: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
        """Codes of a method that is told the factors (n, n_factors)."""
        generator = torch_stream(self.seed, self.dataset_id, "oracle", torch.device("cpu"))
        if rng is not None:  # an intervention's own noise, or every piece of a grid would get the same
            generator.manual_seed(int(rng.integers(2**62)))
        values = torch.from_numpy(np.array(factors)).float()
        return self.method.encode_factors(values, generator).numpy()  # type: ignore[operator, no-any-return]

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
        frames = self.data.render(factors, rng)
        if self.method.card.reads_factors:
            return self._read_factors(factors, rng)
        return encode(self.method, frames, self.device)
