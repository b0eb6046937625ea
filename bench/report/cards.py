"""What the metric cards tell a report: direction, floor and ceiling of each number. The only door to ``metrics``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from metrics.registry import PARTS, MetricCard, UnknownMetric, cards, metric, metric_ids, output_of, split_key

# The order of tables: what people look for first; other metrics follow alphabetically.
_ORDER = (
    "mcc",
    "betavae_score",
    "factorvae_score",
    "mig",
    "sap",
    "dci",
    "modularity",
    "explicitness",
    "reconstruction",
)


@dataclass(frozen=True)
class Column:
    """One reported number and how to read it.

    Attributes:
        higher_is_better: None where no card is registered for the key; nothing is then compared.
        bounds: least and greatest possible value, None where there is no bound.
        floor: what pure noise scores, ceiling: what one noisy copy per factor scores; None where unknown.
        note: what floor and ceiling depend on.
    """

    key: str
    higher_is_better: bool | None
    bounds: tuple[float | None, float | None]
    floor: float | None
    ceiling: float | None
    note: str

    @property
    def arrow(self) -> str:
        return {True: "↑", False: "↓", None: ""}[self.higher_is_better]

    @property
    def title(self) -> str:
        return f"{self.key} {self.arrow}".rstrip()


def column(key: str) -> Column:
    """The column of one metric key; rows may hold metrics of outside packages that are not installed here."""
    try:
        output = output_of(key)
    except UnknownMetric:
        return Column(key, None, (None, None), None, None, "no card is registered for it here")
    return Column(key, output.higher_is_better, output.bounds, output.floor, output.ceiling, output.note)


def card_of(key: str) -> MetricCard | None:
    """The card of the metric that reports ``key``; None where it is not registered here."""
    return cards().get(key.split("@")[0].split("[")[0].split("/")[0])


def in_table_order(keys: Iterable[str]) -> list[str]:
    """Keys sorted the way tables show them: metrics as above, variants and numbers of one as its card lists them.

    Numbers of the whole code stand before those of its parts.
    """
    listed = [metric_id + suffix for metric_id in metric_ids() for suffix in metric(metric_id).outputs]
    rank = {key: i for i, key in enumerate(listed)}

    def place(key: str) -> tuple[int, int, int, str]:
        part = split_key(key)[0].partition("@")[2]
        plain = key.split("@")[0]
        name = plain.split("[")[0].split("/")[0]
        place_of_part = 1 + PARTS.index(part) if part else 0
        return (place_of_part, _ORDER.index(name) if name in _ORDER else len(_ORDER), rank.get(plain, len(rank)), key)

    return sorted(keys, key=place)


_HEADLINES = (
    "mcc[spearman]", "factorvae_score", "mig", "dci[gbt]/disentanglement", "swap[fixed_dynamic]/acc",
    "swap[fixed_static]/acc", "verification[utterance]/gap", "equivariance_error/relative", "log_likelihood[gaussian]",
    "reconstruction[mse]",
)  # fmt: skip


def is_headline(key: str) -> bool:
    """The few numbers that a first look at a table shows; the others wait for a click."""
    return "@" not in key and any(key == one or key.partition("[")[0] == one for one in _HEADLINES)


def is_secondary(key: str) -> bool:
    """Scores on the rows a probe was fitted to: stored, in every CSV, but not what a comparison shows."""
    return key.split("@")[0].endswith(("/train", "_train"))
