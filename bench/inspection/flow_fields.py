"""The flow field of a trained method in the plane in which its latents move, for each transformation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.api import Method
from bench.evidence import traversal_rule
from bench.evidence.encoding import to_observations
from bench.inspection.trained import loaded, methods_with, told
from bench.opening import Folders, spec_method
from bench.randomness import EVALUATION_SEED, stream
from bench.registry import UsageError
from bench.spec import RunSpec

N_PATHS, N_GRID = 24, 15
MARGIN = 0.15  # of the paths' extent, around them


@dataclass(frozen=True)
class FlowField:
    """One transformation's field, seen in a plane of latent space.

    The plane is that of the two principal axes of codes along the paths, each path about its own mean: where flows
    carry latents, not where observations differ. A place of the plane stands for the paths' codes with their
    coordinates in the plane replaced; potential and velocity are means over these codes and over all moves.

    Attributes:
        transformation, flow: which, and the method's flow that it is.
        paths: (n, n_steps + 1, 2) of the codes of first frames, moved.
        places: (rows, columns, 2).
        velocity: (rows, columns, 2), of one step, projected.
        potential: (rows, columns), whose gradient the velocity is but for rotations; None where there is none.
        in_plane: share of the squared velocity along the paths that lies in the plane.
    """

    transformation: str
    flow: int
    paths: np.ndarray
    places: np.ndarray
    velocity: np.ndarray
    potential: np.ndarray | None
    in_plane: float


def flow_fields(row: Mapping[str, Any], folders: Folders) -> list[FlowField]:
    """One for each transformation of the data of a stored run, on the CPU.

    Raises:
        UsageError: the method has no flow field, or its checkpoint or data are not here.
    """
    spec = RunSpec.from_dict(row["spec"])
    with told(spec):
        cls = spec_method(spec)[0]
    if not (hasattr(cls, "velocities") and hasattr(cls, "moved")):
        raise UsageError(
            f"{spec.method} has no flow field to draw; those that have: {methods_with('velocities', 'moved')}"
        )
    spec, method, data = loaded(row, folders)
    method.eval()
    rule = traversal_rule.rule_for(method, data, spec.dataset_id, torch.device("cpu"))
    rng = stream(EVALUATION_SEED, spec.dataset_id, "flow fields")
    courses = traversal_rule.one_alone(data.info)
    x0 = to_observations(
        data.moved(N_PATHS, courses[0], rng, traversal_rule.scored_split(data))[:, 0], torch.device("cpu")
    )
    with torch.no_grad():
        z0 = method.encode(x0[:, None])[:, 0].float()  # type: ignore[operator]
    return [
        _field(method, name, flow, z0, len(courses[0]))
        for name, flow in zip(data.info.transformations, rule.flows, strict=True)
    ]


def _field(method: Method, name: str, flow: int, z0: Tensor, n_steps: int) -> FlowField:
    acting = _acting(method, flow)
    path = method.moved(z0, acting.expand(len(z0), n_steps, -1))  # type: ignore[operator]
    plane = principal_plane(path.numpy())
    paths = path.numpy() @ plane
    places = _grid(paths)
    velocity, potential = _on_grid(method, flow, path, torch.from_numpy(plane), places)
    steps = np.diff(path.numpy(), axis=1)
    in_plane = float(((steps @ plane) ** 2).sum() / max((steps**2).sum(), 1e-30))
    return FlowField(name, flow, paths, places, velocity, potential, in_plane)


def _acting(method: Method, flow: int) -> Tensor:
    """Amounts, (n_fields,), of one flow: 1 for its field, or for both of them where it has two."""
    n_fields, n_flows = (int(getattr(method, name)) for name in ("n_fields", "n_flows"))
    return (torch.arange(n_fields) % n_flows == flow).float()


def principal_plane(paths: np.ndarray) -> np.ndarray:
    """Two orthonormal columns (n_latents, 2) of paths (n, time, n_latents), signed so that paths go to the right."""
    about = (paths - paths.mean(1, keepdims=True)).reshape(-1, paths.shape[2])
    axes = np.linalg.svd(about, full_matrices=False)[2][:2].T
    gone = (paths[:, -1] - paths[:, 0]).mean(0) @ axes
    return np.asarray(axes * np.where(gone < 0, -1, 1), np.float32)


def _grid(paths: np.ndarray) -> np.ndarray:
    """(N_GRID, N_GRID, 2) places over the paths and a margin, equally far apart along both axes."""
    low, high = paths.min((0, 1)), paths.max((0, 1))
    middle, half = (low + high) / 2, (0.5 + MARGIN) * max((high - low).max(), 1e-6)
    across, up = (np.linspace(middle[i] - half, middle[i] + half, N_GRID) for i in (0, 1))
    return np.stack(np.meshgrid(across, up), axis=-1).astype(np.float32)


def _on_grid(
    method: Method, flow: int, path: Tensor, plane: Tensor, places: np.ndarray
) -> tuple[np.ndarray, np.ndarray | None]:
    """Mean projected velocity (rows, columns, 2) and mean potential (rows, columns)."""
    acting, at = _acting(method, flow), torch.from_numpy(places).flatten(0, 1)
    n_moves = path.shape[1] - 1
    velocity, potential = torch.zeros(len(at), 2), torch.zeros(len(at))
    potentials = getattr(method, "potentials", None)
    for move in range(1, n_moves + 1):
        codes = path[:, move - 1]
        off_plane = codes - (codes @ plane) @ plane.T
        z = (off_plane[:, None] + at @ plane.T).flatten(0, 1)
        with torch.enable_grad():
            fields = method.velocities(z, move).detach()  # type: ignore[operator]
        moved = (acting[:, None, None] * fields).sum(0) @ plane
        velocity += moved.unflatten(0, (len(codes), -1)).mean(0) / n_moves
        if potentials is not None:
            with torch.no_grad():
                each = z.expand(method.n_flows, *z.shape)  # type: ignore[call-overload]
                u = potentials(each, torch.full(each.shape[:2], float(move)))[flow]
            potential += u.unflatten(0, (len(codes), -1)).mean(0) / n_moves
    shape = places.shape[:2]
    return velocity.view(*shape, 2).numpy(), None if potentials is None else potential.view(shape).numpy()
