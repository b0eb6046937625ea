"""Protocols: how many rows and votes a score is made of, and which metrics belong to it. Part of every key.

Sources: disentanglement_lib ``config/unsupervised_study_v1/metric_configs`` (Locatello et al., ICML 2019) and
slow_disentanglement ``metric_configs`` (Klindt et al., ICLR 2021).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from metrics.registry import UnknownMetric


@dataclass(frozen=True)
class Protocol:
    """Sample sizes and the default set of metrics.

    Attributes:
        name: the suffix of the keys, which "quick" leaves out.
        metrics: ids computed when none are named.
        n_train, n_test: labelled rows of a metric's fit and of its test.
        n_train_sequences, n_test_sequences: the same for methods that encode whole sequences: a frame of each is a row.
        rows: metric name -> its own number of fitted rows.
        wide_rows: metric name -> fitted and test rows at most, once codes have more than ``wide`` latents.
        wide: see ``wide_rows``.
        n_passes: draws from the prior that swaps are judged on.
        n_train_votes, n_test_votes, votes_batch: of the interventional metrics.
        summary: one sentence for tables.
    """

    name: str
    summary: str
    metrics: tuple[str, ...]
    n_train: int = 10_000
    n_test: int = 5_000
    n_train_sequences: int = 10_000
    n_test_sequences: int = 5_000
    rows: Mapping[str, int] = field(default_factory=dict)
    wide_rows: Mapping[str, int] = field(default_factory=dict)
    wide: int = 64
    n_passes: int = 5
    n_train_votes: int = 10_000
    n_test_votes: int = 5_000
    votes_batch: int = 64

    @property
    def n_draw(self) -> int:
        """Labelled rows to encode so that every metric has its fitted rows."""
        return max(self.n_train, *self.rows.values()) if self.rows else self.n_train

    def rows_for(self, metric_name: str, n_latents: int) -> int:
        """Rows that a metric is fitted on at most."""
        rows = self.rows.get(metric_name, self.n_train)
        return min(rows, self.wide_rows.get(metric_name, rows)) if n_latents > self.wide else rows

    def test_rows_for(self, metric_name: str, n_latents: int) -> int:
        """Rows that a metric is tested on at most."""
        rows = self.n_test
        return min(rows, self.wide_rows.get(metric_name, rows)) if n_latents > self.wide else rows


_FIXED = ("mig[hist20]", "modularity[hist20]", "explicitness[lbfgs]", "sap[linearsvc]", "dci[gbt]")

PROTOCOLS: Mapping[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "quick",
            "one labelled draw of 10,000 + 5,000 rows feeds everything; votes are drawn from these rows",
            metrics=(
                "mcc[spearman]",
                "mcc[pearson]",
                "betavae_score[pool]",
                "factorvae_score[pool]",
                *_FIXED,
                "reconstruction[mse]",
            ),
            n_train_sequences=3_000,
            n_test_sequences=1_500,
            wide_rows={"dci": 2_000, "dci_es": 2_000},
            n_passes=2,
        ),
        Protocol(
            "locatello2019",
            "the 2019 study: 10,000 + 5,000 rows, interventions on the grid of factors",
            metrics=(
                "mcc[spearman]",
                "mcc[pearson]",
                "betavae_score",
                "factorvae_score",
                *_FIXED,
                "reconstruction[mse]",
            ),
        ),
        Protocol(
            "slowvae2021",
            "SlowVAE's: as locatello2019, with 100,000 rows for MIG, modularity and explicitness, and a padded MCC",
            metrics=(
                "mcc[spearman]",
                "mcc[spearman,padded]",
                "betavae_score",
                "factorvae_score",
                *_FIXED,
                "reconstruction[mse]",
            ),
            rows={"mig": 100_000, "modularity": 100_000, "explicitness": 100_000},
        ),
    )
}


def protocol_named(name: str) -> Protocol:
    """The protocol of that name; raises UnknownMetric that lists them."""
    if name not in PROTOCOLS:
        raise UnknownMetric(f"unknown protocol '{name}': it is one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]
