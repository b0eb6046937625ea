"""A stored run brought back to life: its method with the trained weights, and the evaluation rows it was scored on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from bench import checkpoint, registry
from bench.api import Method
from bench.evidence.encoding import decode, encode_rows, to_observations
from bench.evidence.evaluation import Rows, evaluation_rows
from bench.messages import listed
from bench.opening import Folders, data_store, describe_data, open_dataset, spec_dataset, spec_method
from bench.registry import UsageError
from bench.spec import RunSpec
from bench.store import Store
from metrics.protocols import protocol_named

N_CODES = 1_000  # evaluation rows whose codes say where a latent usually is


class NotTraversable(UsageError):
    """The run's frames or codes cannot be had; the message says what is missing.

    Attributes:
        can_be_made: files of the run, which training it again would leave, are all that is missing.
    """

    def __init__(self, message: str, can_be_made: bool = False) -> None:
        super().__init__(message)
        self.can_be_made = can_be_made


@dataclass(frozen=True)
class Trained:
    """A method that decodes, on the CPU, with the protocol's rows to start from."""

    spec: RunSpec
    method: Method
    rows: Rows

    def codes(self, start: int, stop: int) -> np.ndarray:
        """Codes (n, n_latents) float32 of the evaluation rows ``start`` to ``stop``."""
        return encode_rows(self.method, self.rows.part(start, stop), torch.device("cpu"))

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Frames (n, *observation) float32 in [0, 1]."""
        return decode(self.method, codes, torch.device("cpu"))

    def shown_frames(self, n: int) -> np.ndarray:
        """The first n evaluation rows, (n, *observation) float32 in [0, 1]."""
        return to_observations(self.rows.frames(slice(n)), torch.device("cpu")).numpy()

    def usual_codes(self) -> np.ndarray:
        """Codes (≤ 1,000, n_latents) of evaluation rows."""
        return self.codes(0, N_CODES)

    def start(self, base: int) -> np.ndarray:
        """The code (1, n_latents) of one evaluation row.

        Raises:
            UsageError: there are fewer rows.
        """
        n = len(self.rows)
        if base >= n:
            raise UsageError(f"--base {base}: there are {n} evaluation rows, 0 … {n - 1}")
        return self.codes(base, base + 1)


def revive(row: Mapping[str, Any], folders: Folders) -> Trained:
    """The trained method of a row; its checkpoint must be in the store of ``folders``.

    Raises:
        NotTraversable: one line that says what is missing: names, checkpoint, data.
    """
    spec = RunSpec.from_dict(row["spec"])
    with told(spec):
        cls, _ = spec_method(spec)
        if not (hasattr(cls, "encode") and hasattr(cls, "decode")):
            raise NotTraversable(f"{spec.method} cannot be traversed: it does not decode codes")
        dataset_config, source = spec_dataset(spec)
        shape = describe_data(spec).observation_shape
        if len(shape) != 3:
            raise NotTraversable(f"{spec.dataset} has no images to draw: its observations are {shape[0]} features")
        _, method, data = loaded(row, folders)
        store = data_store(spec.dataset, dataset_config, source, folders)
        rows = evaluation_rows(data, spec.dataset_id, store, protocol_named(spec.protocol), spec.view)
    return Trained(spec, method, rows)


def loaded(row: Mapping[str, Any], folders: Folders) -> tuple[RunSpec, Method, Any]:
    """A row's spec, its method with the trained weights on the CPU, and its data set; raises as ``revive``."""
    spec = RunSpec.from_dict(row["spec"])
    with told(spec):
        cls, config = spec_method(spec)
        path = Store(folders.results).artifacts(spec.hash) / "checkpoint.safetensors"
        if not path.exists():
            raise NotTraversable(f"{path} is not there; checkpoints stay on the machine that trained", True)
        dataset_config, source = spec_dataset(spec)
        data = open_dataset(spec.dataset, dataset_config, source, folders)
        method = cls(config, data.spec(spec.view))
        found = checkpoint.load(path)
        assert found is not None
        checkpoint.load_module(method, found[0])
    return spec, method, data


@contextmanager
def told(spec: RunSpec) -> Iterator[None]:
    """What is missing or of another version becomes ``NotTraversable``."""
    try:
        yield
    except NotTraversable:
        raise
    except TypeError as error:
        raise NotTraversable(f"{spec.label}: the row is of another version of bench ({error})") from None
    except (OSError, ValueError) as error:
        raise NotTraversable(str(error)) from None


def methods_with(*capabilities: str) -> str:
    """Names of the registered methods that offer all of these, for messages."""
    methods = registry.methods().items()
    return listed(name for name, entry in methods if all(hasattr(entry.target, one) for one in capabilities))


def scored_codes(row: Mapping[str, Any], folders: Folders) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Codes (n, n_latents) and factors (n, n_factors) that a run was scored on, and the factors' names.

    Raises:
        UsageError: one line: the run kept none here, or its data set has no factors.
    """
    import h5py

    spec = RunSpec.from_dict(row["spec"])
    path = Store(folders.results).artifacts(spec.hash) / "codes.h5"
    if not path.exists():
        raise NotTraversable(
            f"{path} is not there; codes stay on the machine that trained, unless `bench merge --artifacts`", True
        )
    try:
        with h5py.File(path, "r") as file:
            codes, factors = file["codes"][()], file["factors"][()]
        names = describe_data(spec).factors.names
    except TypeError as error:
        raise UsageError(f"{spec.label}: the row is of another version of bench ({error})") from None
    except (OSError, KeyError, ValueError) as error:
        raise UsageError(f"{path}: not readable codes of {spec.label} ({error})") from None
    if codes.ndim != 2 or factors.shape != (len(codes), len(names)):
        raise UsageError(f"{path}: codes {codes.shape} and factors {factors.shape} are not those of {spec.label}")
    if not names:
        raise UsageError(f"{spec.dataset} has no factors to compare codes with")
    return codes, factors, names


def assigned(row: Mapping[str, Any], metric_id: str = "mcc[spearman]") -> dict[int, str]:
    """Latent → name of the factor that the MCC's assignment gives it; empty where no matrix was stored."""
    details = row["details"].get(metric_id, {})
    pairs = zip(details.get("assignment", []), details.get("factors", []), strict=False)
    return {latent: name for latent, name in pairs if latent is not None}
