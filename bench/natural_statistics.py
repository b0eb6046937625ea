"""How objects move from frame to frame: the transition statistics of SlowVAE (Klindt et al., ICLR 2021).

Quantities and conventions of the authors' ``scripts/data_analysis_utils.py``: steps of area, x and y between
consecutive frames in pixels of a 64-pixel window; biased excess kurtosis; maximum-likelihood fits of a generalised
normal, a normal and a Laplace law with their log-likelihoods and Kolmogorov-Smirnov tests; Pearson correlations; mutual
information by nearest neighbours. The density of the generalised normal is
a / (2 c Γ(1/a)) exp(-(|u - m| / c)^a) with shape a, location m, scale c; a = 1 is Laplace, a = 2 normal. It is fitted
twice: by ``fit_gennorm``, and as the authors do, because their published values are what that routine returns.
"""

from __future__ import annotations

import csv
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

QUANTITIES = ("area", "x", "y")
PAIRS = (("area", "x"), ("area", "y"), ("x", "y"))
LAWS = ("gennorm", "norm", "laplace")
SCIPY = "gennorm_scipy"  # the generalised normal where the authors' routine, scipy's general optimiser, stops
MIN_STEPS = 20
MI_ROWS = 20_000  # as the authors; the estimate's own error is then about 0.01 nats
RESOLUTION = 0.001  # pixels, of positions; the centre of mass of 100 pixels is a multiple of 0.01
SHAPES = (0.1, 20.0)
_GRID = np.geomspace(SHAPES[1], SHAPES[0], 40)
_THIN = 5_000
_ATOM = 0.2  # share of equal steps that no density describes


@dataclass(frozen=True)
class Law:
    """A fitted law.

    Attributes:
        parameters: by name: shape (gennorm), loc, and scale (gennorm, laplace) or sd (norm).
        loglik: sum of log densities, nats.
        ks_distance, ks_p: Kolmogorov-Smirnov test of the steps against the fitted law.
        note: what to know before reading the parameters.
    """

    name: str
    parameters: Mapping[str, float]
    loglik: float
    ks_distance: float
    ks_p: float
    note: str = ""


@dataclass(frozen=True)
class Quantity:
    """One quantity's steps: excess kurtosis (biased), median of |step|, and the fitted laws: LAWS and SCIPY."""

    name: str
    kurtosis: float
    median_size: float
    laws: Mapping[str, Law]

    @property
    def best(self) -> str:
        """Which of LAWS has the largest likelihood."""
        return max(LAWS, key=lambda name: self.laws[name].loglik)


@dataclass(frozen=True)
class Statistics:
    """What ``analyse`` found.

    Attributes:
        n: steps.
        quantities: by name, in the order of QUANTITIES.
        pearson: of two quantities' steps: r and p.
        mutual_information: of two quantities' steps, nats.
        n_mutual: rows that the mutual information was estimated on.
    """

    n: int
    quantities: Mapping[str, Quantity]
    pearson: Mapping[tuple[str, str], tuple[float, float]]
    mutual_information: Mapping[tuple[str, str], float]
    n_mutual: int


def analyse(steps: np.ndarray, rng: np.random.Generator) -> Statistics:
    """Statistics of steps (n, 3): area, x, y.

    Args:
        rng: chooses the rows for the mutual information where there are more than MI_ROWS, and the small noise that
            its estimator adds against equal values.

    Raises:
        ValueError: fewer than MIN_STEPS rows, a value that is not finite, or a quantity that never changes its step.
    """
    from scipy import stats
    from sklearn.feature_selection import mutual_info_regression

    steps = np.asarray(steps, np.float64)
    if steps.ndim != 2 or steps.shape[1] != len(QUANTITIES) or len(steps) < MIN_STEPS:
        raise ValueError(f"steps must be (n, {len(QUANTITIES)}) with n >= {MIN_STEPS}, got {steps.shape}")
    if not np.isfinite(steps).all():
        raise ValueError(f"steps must be finite, got {steps[~np.isfinite(steps)][0]}")
    columns = dict(zip(QUANTITIES, steps.T, strict=True))
    for name, values in columns.items():
        if values.min() == values.max():
            raise ValueError(f"every step of {name} is {values[0]:g}: no law can be fitted")
    rows = rng.choice(len(steps), MI_ROWS, replace=False) if len(steps) > MI_ROWS else np.arange(len(steps))
    seed = int(rng.integers(2**31))
    mutual = {
        (a, b): float(mutual_info_regression(columns[a][rows, None], columns[b][rows], random_state=seed)[0])
        for a, b in PAIRS
    }
    pearson = {(a, b): stats.pearsonr(columns[a], columns[b]) for a, b in PAIRS}
    return Statistics(
        n=len(steps),
        quantities={name: _quantity(name, values) for name, values in columns.items()},
        pearson={pair: (float(found.statistic), float(found.pvalue)) for pair, found in pearson.items()},
        mutual_information=mutual,
        n_mutual=len(rows),
    )


def _quantity(name: str, values: np.ndarray) -> Quantity:
    from scipy import stats

    fits: dict[str, tuple[dict[str, float], Callable[..., np.ndarray], str]] = {}
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shape, loc, scale = (float(value) for value in stats.gennorm.fit(values))
    fits[SCIPY] = ({"shape": shape, "loc": loc, "scale": scale}, stats.gennorm(shape, loc, scale).cdf, "")
    shape, loc, scale, note = fit_gennorm(values)
    fits["gennorm"] = ({"shape": shape, "loc": loc, "scale": scale}, stats.gennorm(shape, loc, scale).cdf, note)
    mean, sd = float(values.mean()), float(values.std())
    fits["norm"] = ({"loc": mean, "sd": sd}, stats.norm(mean, sd).cdf, "")
    median = float(np.median(values))
    away = float(np.abs(values - median).mean())
    fits["laplace"] = ({"loc": median, "scale": away}, stats.laplace(median, away).cdf, "")
    laws = {}
    for law, (parameters, cdf, note) in fits.items():
        test = stats.kstest(values, cdf)
        laws[law] = Law(
            law, parameters, log_likelihood(law, values, parameters), float(test.statistic), float(test.pvalue), note
        )
    return Quantity(name, float(stats.kurtosis(values)), float(np.median(np.abs(values))), laws)


def log_likelihood(law: str, values: np.ndarray, parameters: Mapping[str, float]) -> float:
    """Sum of the log densities of ``values`` under one of LAWS or SCIPY, nats; of "gennorm" see ``_Sample``."""
    if law == SCIPY:
        from scipy import stats

        return float(stats.gennorm(parameters["shape"], parameters["loc"], parameters["scale"]).logpdf(values).sum())
    if law == "norm":
        loc, sd = parameters["loc"], parameters["sd"]
        return float(-len(values) * np.log(np.sqrt(2 * np.pi) * sd) - (((values - loc) / sd) ** 2).sum() / 2)
    if law == "laplace":
        loc, scale = parameters["loc"], parameters["scale"]
        return float(-len(values) * np.log(2 * scale) - np.abs(values - loc).sum() / scale)
    return _Sample.of(values).log_likelihood(parameters["shape"], parameters["loc"], parameters["scale"])


def fit_gennorm(values: np.ndarray) -> tuple[float, float, float, str]:
    """Shape, location and scale of the generalised normal of largest likelihood, and a note where one is due.

    Below shape 1 the density has a cusp, and the sum of log densities grows without bound as the shape goes to 0 with
    the location at a value that occurs twice; steps of area are whole pixels, so most occur often. What a general
    optimiser returns then depends on where it stops: scipy's finds shape 0.17 in 82,506 draws of shape 0.455 that were
    rounded to whole pixels. Here a value stands for the interval it was rounded from (see ``_Sample``), which bounds
    the likelihood and gives 0.456. On values that were not rounded it is the usual fit.

    The likelihood may have several maxima in the location: the best of many starts is taken, where the best scale for
    a shape is known in closed form, and improved by Nelder and Mead's method, first on a part of the values.
    """
    from scipy.optimize import minimize

    sample = _Sample.of(values)
    points = sample.thin(_THIN).starts(sample.candidates())
    for size, n_kept in ((4 * _THIN, 6), (len(values), 2)):
        part, improved = sample.thin(size), []
        for _, shape, loc, scale in points[:n_kept]:
            step = max(0.2 * scale, sample.resolution)

            def cost(at: np.ndarray, part: _Sample = part, loc: float = loc, step: float = step) -> float:
                shape, scale = float(np.exp(at[0])), float(np.exp(at[2]))
                is_allowed = SHAPES[0] <= shape <= SHAPES[1]
                return -part.log_likelihood(shape, loc + step * at[1], scale) / part.n if is_allowed else np.inf

            start = np.array([np.log(shape), 0.0, np.log(scale)])
            simplex = start + np.array([[0, 0, 0], [0.1, 0, 0], [0, 1, 0], [0, 0, 0.2]])
            options = {"initial_simplex": simplex, "xatol": 1e-4, "fatol": 1e-9, "maxiter": 400}
            found = minimize(cost, start, method="Nelder-Mead", options=options)
            log_shape, moved, log_scale = found.x
            improved.append((-found.fun, float(np.exp(log_shape)), float(loc + step * moved), float(np.exp(log_scale))))
        points = sorted(improved, reverse=True)
    _, shape, loc, scale = points[0]
    notes = []
    if not SHAPES[0] * 1.01 < shape < SHAPES[1] * 0.99:
        notes.append(f"shape at the end of its range {SHAPES[0]:g} … {SHAPES[1]:g}")
    share = sample.counts.max() / sample.n
    if share > _ATOM:
        notes.append(f"{share:.0%} of the steps are exactly {sample.values[sample.counts.argmax()]:.4g}")
    return shape, loc, scale, "; ".join(notes)


@dataclass(frozen=True)
class _Sample:
    """Values and how often each occurs, rounded to a resolution: 1 where all are whole, else RESOLUTION.

    The likelihood of a value is the law's mass within half a resolution of it, divided by the resolution: so it
    compares with densities. Beyond 8 resolutions from the cusp that is the density itself.
    """

    values: np.ndarray
    counts: np.ndarray
    resolution: float

    @classmethod
    def of(cls, values: np.ndarray) -> _Sample:
        found, counts = np.unique(np.asarray(values, np.float64), return_counts=True)
        return cls(found, counts.astype(np.float64), 1.0 if (found == np.round(found)).all() else RESOLUTION)

    @property
    def n(self) -> float:
        return float(self.counts.sum())

    def thin(self, size: int) -> _Sample:
        """``size`` of the values, evenly spaced by rank; all of them where no more are different."""
        if len(self.values) <= size:
            return self
        ranks = self.n * (np.arange(size) + 0.5) / size
        rows, counts = np.unique(np.searchsorted(np.cumsum(self.counts), ranks), return_counts=True)
        return _Sample(self.values[rows], counts.astype(np.float64), self.resolution)

    def candidates(self) -> np.ndarray:
        """Where the cusp may lie, rising: percentiles, and the most frequent values."""
        ranks = np.searchsorted(np.cumsum(self.counts) / self.n, np.linspace(0.05, 0.95, 91))
        return np.unique(np.concatenate([self.values[ranks], self.values[np.argsort(-self.counts)[:12]]]))

    def starts(self, locations: np.ndarray) -> list[tuple[float, float, float, float]]:
        """(log-likelihood per value, shape, loc, scale), best first: the local maxima along rising locations.

        Shapes are those of a grid. With scale^a = a · mean |u - m|^a the likelihood of a shape a is the largest; no
        value counts as nearer to m than a quarter of the resolution.
        """
        from scipy.special import gammaln

        points = []
        constant = np.log(_GRID / 2) - gammaln(1 / _GRID) - 1 / _GRID
        for loc in locations:
            log_size = np.log(np.maximum(np.abs(self.values - loc), self.resolution / 4))
            mean = np.exp(np.outer(_GRID, log_size)) @ self.counts / self.n
            log_scale = np.log(_GRID * mean) / _GRID
            i = np.argmax(constant - log_scale)
            points.append((float((constant - log_scale)[i]), float(_GRID[i]), float(loc), float(np.exp(log_scale[i]))))
        height = np.array([-np.inf, *(point[0] for point in points), -np.inf])
        is_top = (height[1:-1] >= height[:-2]) & (height[1:-1] >= height[2:])
        return sorted((point for point, top in zip(points, is_top, strict=True) if top), reverse=True)

    def log_likelihood(self, shape: float, loc: float, scale: float) -> float:
        from scipy.special import gammainc, gammaln

        low, high = np.searchsorted(self.values, [loc - 8 * self.resolution, loc + 8 * self.resolution])
        far = np.abs(np.concatenate([self.values[:low], self.values[high:]]) - loc)
        counts = np.concatenate([self.counts[:low], self.counts[high:]])
        constant = np.log(shape / 2) - np.log(scale) - gammaln(1 / shape)
        total = constant * counts.sum() - counts @ np.exp(shape * np.log(far / scale))
        ends = (self.values[low:high, None] - loc) + self.resolution * np.array([-0.5, 0.5])
        mass = np.sign(ends) * gammainc(1 / shape, (np.abs(ends) / scale) ** shape) / 2
        with np.errstate(divide="ignore"):  # a scale far too small: no mass, and a likelihood of 0
            return float(total + self.counts[low:high] @ np.log(np.diff(mass)[:, 0] / self.resolution))


def published(dataset: str) -> dict[tuple[str, str, str], float]:
    """The authors' stored values for "KITTI" or "YouTube": (quantity, law, statistic) → value; none for other names.

    Law and quantity are empty where a value has none: ("", "", "n_pairs"), ("area", "", "kurtosis_excess").
    """
    found = {}
    path = Path(__file__).parent / "papers" / "slowvae" / "natural_statistics.csv"
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["dataset"] == dataset:
                quantity = row["setting"].split()[1] if row["setting"].startswith("delta ") else ""
                found[quantity, row["method"], row["metric"]] = float(row["value"])
    return found
