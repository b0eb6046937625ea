"""The codes that a run was scored on, kept beside its row: HDF5 in its artifacts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np


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

    from bench.files.hdf5_codes import check_stored

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
