"""Rows as a run would leave them, made up for the tests of this folder."""

import hashlib
import json

import numpy as np

DATA = {"form": "discrete", "transitions": "natural", "n_train": 50000}


def row(method="slowvae", seed=0, metrics=None, *, status="done", reason=None, n_steps=1200, **changes):
    """One row; ``changes`` replace fields of the spec, ``metrics`` are key → value or (None, why)."""
    spec = {
        "method": method,
        "method_params": {"n_latents": 10, "n_steps": n_steps},
        "dataset": "natural_sprites",
        "dataset_params": DATA,
        "source": "generated",
        "fingerprint": "",
        "view": "images",
        "budget": "quick",
        "seed": seed,
        "protocol": "quick",
        "precision": "bfloat16",
        "threads": 1,
        "score_every": 0,
        "schema": 1,
        **changes,
    }
    scored = {}
    for key, value in (metrics or {}).items():
        value, why = value if isinstance(value, tuple) else (value, None)
        scored[key] = {"value": value, "reason": why, "version": 1, "protocol": "quick"}
    return {
        "schema": 1,
        "suite": "0.1.0",
        "hash": hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()[:16],
        "spec": spec,
        "status": status,
        "reason": reason,
        "metrics": scored,
        "details": {},
        "training": {"n_steps": n_steps, "n_parameters": 500_000, "curve": {}, "scores": []},
        "cost": {
            "seconds": {
                "data": 3.0,
                "training": 60.0 + seed,
                "encoding": 2.0,
                "metrics": 9.0,
                "other": 1.0,
                "total": 75.0,
            },
            "waiting_for_data": 0.02,
            "frames_per_second": 1234.5,
            "peak_memory_mb": 812.25,
            "device": "cpu",
        },
        "provenance": {"git_commit": "abc", "versions": {"torch": "2.13.0", "bench": "0.1.0"}, "hardware": {}},
    }


def seeds(method, values, key="mcc[spearman]", **changes):
    """One row per value of a single metric."""
    return [row(method, seed, {key: value}, **changes) for seed, value in enumerate(values)]


METRICS = {
    "mcc[spearman]": 0.5,
    "mcc[pearson]": 0.48,
    "mig[hist20]": 0.12,
    "sap[linearsvc]": 0.05,
    "dci[gbt]/disentanglement": 0.31,
    "dci[gbt]/completeness": 0.34,
    "dci[gbt]/informativeness_train": 0.99,
    "dci[gbt]/informativeness_test": 0.81,
    "modularity[hist20]": 0.82,
    "explicitness[lbfgs]/train": 0.8,
    "explicitness[lbfgs]/test": 0.79,
    "reconstruction": 0.0123,
}
LEVELS = {
    ("slowvae", 1.0): 1.05,
    ("betavae", 4.0): 0.9,
    ("betavae", 16.0): 0.75,
    ("random_codes", None): 0.1,
    ("untrained", None): 0.4,
    ("pca", None): 0.6,
    ("ica", None): 0.62,
    ("oracle", None): 1.6,
}


def study(n_seeds=3, seed=0, **changes):
    """A whole made-up comparison: two methods, one with two settings, the reference points, curves and matrices."""
    rng = np.random.default_rng(seed)
    rows = []
    for (method, beta), level in LEVELS.items():
        params = {"n_latents": 10, "n_steps": 1200, "beta": beta} if beta else {"n_latents": 10}
        for i in range(n_seeds):
            values = {key: float(np.clip(v * level * (1 + 0.06 * rng.normal()), 0, 1)) for key, v in METRICS.items()}
            view = "pairs" if method == "slowvae" else "images"
            one = row(method, i, values, n_steps=1200 if beta else 0, method_params=params, view=view, **changes)
            one["details"]["mcc[spearman]"] = correlation(rng, 0.9 * level)
            if beta:
                one["training"] |= curves(rng, beta)
            rows.append(one)
    return rows


def correlation(rng, strength):
    factors = ["shape", "scale", "orientation", "x", "y"]
    matrix = rng.uniform(0, 0.3, size=(5, 10))
    assignment = rng.permutation(10)[:5]
    matrix[np.arange(5), assignment] = np.clip(strength * rng.uniform(0.3, 1.1, size=5), 0, 1)
    return {"correlation": matrix.tolist(), "assignment": assignment.tolist(), "factors": factors}


def curves(rng, beta):
    step = list(range(0, 1200, 20))
    decay = np.exp(-np.array(step) / 300)
    terms = {"nll": 120 + 900 * decay, "kl": 14 / beta * (1 - decay) + 1}
    noisy = {name: (values * (1 + 0.03 * rng.normal(size=len(step)))).tolist() for name, values in terms.items()}
    noisy["loss"] = (np.array(noisy["nll"]) + beta * np.array(noisy["kl"])).tolist()
    scores = [
        {"step": s, "metrics": {k: float(v * (1 - np.exp(-s / 250)) + 0.02 * rng.normal()) for k, v in METRICS.items()}}
        for s in (100, 200, 300, 600, 900, 1200)
    ]
    return {"curve": {"step": step, **noisy}, "scores": scores}
