"""CPU seconds of the SlowVAE metric set: ours against the same definitions run through scikit-learn, in one process.

One representation of 10 latents (five mix five factors by half, five are small noise) on dSprites' factor sizes, at the
sizes of protocol ``slowvae2021``: 10,000 rows (100,000 for MIG, modularity and explicitness), 5,000 test rows, 15,000
votes. Codes come from a grid, so no encoder is timed. Compilation is not counted: it happens once per machine.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from metrics import trees
from metrics.registry import key
from metrics.scoring import score

Evidence = dict[str, Any]
DSPRITES = (3, 6, 40, 32, 32)
SMALL = (3, 6, 10, 8, 8)


def representation(sizes: tuple[int, ...], n_rows: int, n_test: int, seed: int = 0) -> Evidence:
    """Codes of every cell of the grid, and labelled rows drawn from it."""
    rng = np.random.default_rng(seed)
    cells = np.stack(np.unravel_index(np.arange(np.prod(sizes)), sizes), axis=1)
    scaled = (cells - cells.mean(0)) / cells.std(0)
    mixing = np.eye(len(sizes)) + 0.5 * np.linalg.qr(rng.normal(size=(len(sizes), len(sizes))))[0]
    informed = scaled @ mixing + 0.1 * rng.normal(size=scaled.shape)
    grid = np.hstack([informed, 0.06 * rng.normal(size=(len(cells), 10 - len(sizes)))]).astype(np.float32)
    train, test = rng.integers(len(cells), size=n_rows), rng.integers(len(cells), size=n_test)
    return {
        "codes": grid[train],
        "factors": cells[train],
        "codes_test": grid[test],
        "factors_test": cells[test],
        "grid_codes": grid,
        "factor_sizes": np.array(sizes),
    }


def first_rows(evidence: Evidence, n: int) -> Evidence:
    """The evidence with n fitted rows."""
    return evidence | {name: evidence[name][:n] for name in ("codes", "factors")}


# The reference: each metric as its paper's library computes it, one call into scikit-learn or SciPy after the other.


def reference_mcc(given: Evidence) -> dict[str, float]:
    from scipy.optimize import linear_sum_assignment
    from scipy.stats import spearmanr

    n_latents, n_factors = given["codes"].shape[1], given["factors"].shape[1]
    noise = np.random.default_rng(0).normal(size=(len(given["codes"]), n_latents - n_factors))
    correlation = spearmanr(np.hstack([given["factors"], noise]), given["codes"])[0]
    strength = np.abs(correlation[:n_latents, n_latents:])
    rows, columns = linear_sum_assignment(-strength)
    return {"": float(strength[rows, columns][:n_factors].mean())}


def reference_votes(given: Evidence, n: int, rng: np.random.Generator, pairs: bool) -> Any:
    sizes, grid = given["factor_sizes"], given["grid_codes"]
    for _ in range(n):
        held = rng.integers(len(sizes))
        first = rng.integers(sizes, size=(64, len(sizes)))
        if pairs:
            second = rng.integers(sizes, size=(64, len(sizes)))
            second[:, held] = first[:, held]
            codes = [grid[np.ravel_multi_index(tuple(part.T), tuple(sizes))] for part in (first, second)]
            yield np.abs(codes[0] - codes[1]).mean(0), held
        else:
            first[:, held] = first[0, held]
            yield grid[np.ravel_multi_index(tuple(first.T), tuple(sizes))].var(0, ddof=1), held


def reference_betavae(given: Evidence) -> dict[str, float]:
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    (x, y), (x_test, y_test) = (
        [np.array(part) for part in zip(*reference_votes(given, n, rng, True), strict=True)] for n in (10_000, 5_000)
    )
    return {"": float(LogisticRegression().fit(x, y).score(x_test, y_test))}


def reference_factorvae(given: Evidence) -> dict[str, float]:
    rng = np.random.default_rng(0)
    spread = given["grid_codes"][rng.integers(len(given["grid_codes"]), size=10_000)].var(0, ddof=1)
    active = np.sqrt(spread) >= 0.05
    tables = []
    for n in (10_000, 5_000):
        table = np.zeros((len(given["factor_sizes"]), active.sum()))
        for variance, held in reference_votes(given, n, rng, False):
            table[held, np.argmin(variance[active] / spread[active])] += 1
        tables.append(table)
    named = tables[0].argmax(0)
    return {"": float(tables[1][named, np.arange(active.sum())].sum() / 5_000)}


def reference_information(given: Evidence) -> np.ndarray:
    from sklearn.metrics import mutual_info_score

    bins = [np.digitize(z, np.histogram(z, 20)[1][:-1]) for z in given["codes"].T]
    return np.array([[mutual_info_score(f, z) for f in given["factors"].T] for z in bins])


def reference_mig(given: Evidence) -> dict[str, float]:
    from sklearn.metrics import mutual_info_score

    ordered = np.sort(reference_information(given), axis=0)
    entropy = [mutual_info_score(f, f) for f in given["factors"].T]
    return {"": float(np.mean((ordered[-1] - ordered[-2]) / entropy))}


def reference_modularity(given: Evidence) -> dict[str, float]:
    squares = reference_information(given) ** 2
    best = squares.max(1)
    return {"": float(np.mean(1 - (squares.sum(1) - best) / best / (squares.shape[1] - 1)))}


def reference_explicitness(given: Evidence) -> dict[str, float]:
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.preprocessing import LabelBinarizer

    mean, std = given["codes"].mean(0), given["codes"].std(0)
    areas = []
    for i in range(given["factors"].shape[1]):
        x, y = (given["codes"] - mean) / std, given["factors"][:, i]
        model = LogisticRegression().fit(x, y)
        one_hot = LabelBinarizer().fit(y)
        areas.append(
            [
                roc_auc_score(one_hot.transform(truth), model.predict_proba(points))
                for points, truth in ((x, y), ((given["codes_test"] - mean) / std, given["factors_test"][:, i]))
            ]
        )
    train, test = np.mean(areas, axis=0)
    return {"/train": float(train), "/test": float(test)}


def reference_sap(given: Evidence) -> dict[str, float]:
    from sklearn.svm import LinearSVC

    accuracy = np.array(
        [
            [
                LinearSVC(C=0.01, class_weight="balanced", dual=False)
                .fit(given["codes"][:, [j]], given["factors"][:, i])
                .score(given["codes_test"][:, [j]], given["factors_test"][:, i])
                for i in range(given["factors"].shape[1])
            ]
            for j in range(given["codes"].shape[1])
        ]
    )
    ordered = np.sort(accuracy, axis=0)
    return {"": float((ordered[-1] - ordered[-2]).mean())}


def reference_dci(given: Evidence) -> dict[str, float]:
    from scipy.stats import entropy
    from sklearn.ensemble import GradientBoostingClassifier

    importance, train, test = [], [], []
    for i in range(given["factors"].shape[1]):
        model = GradientBoostingClassifier(random_state=0).fit(given["codes"], given["factors"][:, i])
        importance.append(np.abs(model.feature_importances_))
        train.append(model.score(given["codes"], given["factors"][:, i]))
        test.append(model.score(given["codes_test"], given["factors_test"][:, i]))
    matrix = np.array(importance).T
    per_latent = 1 - entropy(matrix.T + 1e-11, base=matrix.shape[1])
    per_factor = 1 - entropy(matrix + 1e-11, base=matrix.shape[0])
    return {
        "/disentanglement": float((per_latent * matrix.sum(1)).sum() / matrix.sum()),
        "/completeness": float((per_factor * matrix.sum(0)).sum() / matrix.sum()),
        "/informativeness_train": float(np.mean(train)),
        "/informativeness_test": float(np.mean(test)),
    }


REFERENCES: dict[str, Callable[[Evidence], dict[str, float]]] = {
    "mcc[spearman,padded]": reference_mcc,
    "betavae_score": reference_betavae,
    "factorvae_score": reference_factorvae,
    "mig[hist20]": reference_mig,
    "modularity[hist20]": reference_modularity,
    "explicitness[lbfgs]": reference_explicitness,
    "sap[linearsvc]": reference_sap,
    "dci[gbt]": reference_dci,
}
MANY_ROWS = ("mig[hist20]", "modularity[hist20]", "explicitness[lbfgs]")


def measure(quick: bool) -> dict[str, Any]:
    """Seconds and numbers of both, by metric id."""
    sizes, n_many, n, n_test = (SMALL, 10_000, 2_000, 1_000) if quick else (DSPRITES, 100_000, 10_000, 5_000)
    whole = representation(sizes, n_many, n_test)
    trees.warm_up()
    score(first_rows(whole, 200), list(REFERENCES), "slowvae2021")  # imports on our side …
    for warm in (reference_mcc, reference_sap, reference_explicitness, reference_mig):
        warm(first_rows(whole, 500))  # … and on theirs
    found = {}
    for metric_id, reference in REFERENCES.items():
        given = whole if metric_id in MANY_ROWS else first_rows(whole, n)
        started = time.process_time()
        values = score(given, [metric_id], "slowvae2021").values
        between = time.process_time()
        expected = reference(given)
        found[metric_id] = {
            "ours_s": between - started,
            "reference_s": time.process_time() - between,
            "ours": {suffix: values[key(metric_id, suffix, "slowvae2021")]["value"] for suffix in expected},
            "reference": expected,
        }
    return {"factor_sizes": sizes, "rows": n, "rows_many": n_many, "rows_test": n_test, "metrics": found}


def measure_ours() -> str:
    """CPU seconds of our side alone, for when ten minutes of the reference are too many."""
    whole = representation(DSPRITES, 100_000, 5_000)
    trees.warm_up()
    score(first_rows(whole, 200), list(REFERENCES), "slowvae2021")
    lines, total = [], 0.0
    for metric_id in REFERENCES:
        started = time.process_time()
        score(whole if metric_id in MANY_ROWS else first_rows(whole, 10_000), [metric_id], "slowvae2021")
        seconds = time.process_time() - started
        total += seconds
        lines.append(f"{metric_id:24}{seconds:8.2f}s")
    return "\n".join([*lines, f"{'all':24}{total:8.2f}s"])


def report(result: dict[str, Any]) -> str:
    """A table for people."""
    lines = [f"factor sizes {result['factor_sizes']}, {result['rows']:,} / {result['rows_test']:,} rows, 1 thread"]
    lines.append(f"{'':24}{'ours':>9}{'reference':>11}{'ratio':>8}   numbers (ours | reference)")
    total = np.zeros(2)
    for metric_id, row in result["metrics"].items():
        both = np.array([row["ours_s"], row["reference_s"]])
        total += both
        numbers = ", ".join(f"{row['ours'][suffix]:.4f} | {value:.4f}" for suffix, value in row["reference"].items())
        lines.append(f"{metric_id:24}{both[0]:8.2f}s{both[1]:10.2f}s{both[1] / both[0]:7.1f}x   {numbers}")
    lines.append(f"{'all':24}{total[0]:8.2f}s{total[1]:10.2f}s{total[1] / total[0]:7.1f}x")
    return "\n".join(lines)


def main(words: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer rows and classes: seconds instead of minutes")
    parser.add_argument("--ours", action="store_true", help="only our side: half a minute")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args(words)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the reference's solvers stop at their iteration limits
        if arguments.ours:
            sys.stdout.write(measure_ours() + "\n")
            return 0
        result = measure(arguments.quick)
    sys.stdout.write((json.dumps(result, indent=1) if arguments.json else report(result)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
