"""Methods and data sets of which every pair has scored runs: what statistics over data sets may compare."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from bench.datasets.base import canonical_json
from bench.report.frame import Cell, Defaults, Group, label_cells, parameters_of

Runs = tuple[np.ndarray, ...]  # scores of one method, one array for each data set


@dataclass(frozen=True)
class Block:
    """The largest complete table of one source, budget and protocol.

    Attributes:
        datasets: labels of the data sets.
        methods: label → runs, of trained methods; at least two.
        references: the same of the reference points that all these data sets have.
        absent: what has some of the scores but not all, and so is not compared: "fashion_mnist (4 of 16 methods)".
    """

    key: str
    source: str
    budget: str
    protocol: str
    datasets: tuple[str, ...]
    methods: dict[str, Runs]
    references: dict[str, Runs]
    absent: tuple[str, ...]

    @property
    def n_runs(self) -> int:
        """Of the trained methods together."""
        return sum(len(one) for runs in self.methods.values() for one in runs)

    @property
    def means(self) -> np.ndarray:
        """(data sets, methods): mean over seeds."""
        return np.array([[one.mean() for one in runs] for runs in self.methods.values()]).T

    @property
    def title(self) -> str:
        """What is compared, for captions."""
        protocol = "" if self.protocol == "quick" else f", protocol {self.protocol}"
        return f"{self.key} over {', '.join(self.datasets)}; {self.source}, budget {self.budget}{protocol}"


def blocks(
    groups: Iterable[Group], key: str, *, min_datasets: int = 2, defaults: Defaults | None = None
) -> list[Block]:
    """One block for each source, budget and protocol, which are never mixed; none where too little has the score.

    A method is a name with all of its parameters. Of all complete tables (methods × data sets) a block is the one with
    the most cells, of equal ones that with more data sets.
    """
    kinds: dict[tuple[str, str, str], list[Group]] = defaultdict(list)
    for group in groups:
        kinds[group.source, group.budget, group.protocol].append(group)
    found = (_block(some, key, min_datasets, defaults) for some in kinds.values())
    return [block for block in found if block is not None]


def _block(groups: Sequence[Group], key: str, min_datasets: int, defaults: Defaults | None) -> Block | None:
    scores: dict[str, dict[int, np.ndarray]] = defaultdict(dict)  # method with parameters → group → scores
    example: dict[str, Cell] = {}
    for i, group in enumerate(groups):
        for cell in group.cells:
            values = cell.score(key).values
            if values:
                name = canonical_json([cell.method, parameters_of(cell)])
                example[name] = cell
                scores[name][i] = np.asarray(values)
    trained = {name: frozenset(of) for name, of in scores.items() if not example[name].is_reference}
    best = max(_complete(trained, min_datasets), key=lambda table: (len(table[0]) * len(table[1]), len(table[1])),
               default=None)  # fmt: skip
    if best is None:
        return None
    names, places = best
    references = [name for name in scores if example[name].is_reference and set(places) <= scores[name].keys()]
    labels = label_cells([example[name] for name in [*names, *references]], defaults)

    def runs(some: Sequence[str]) -> dict[str, Runs]:
        return {labels[example[name].id]: tuple(scores[name][i] for i in places) for name in some}

    titles = _titles(groups)
    every = label_cells([example[name] for name in trained], defaults)
    others = sorted(set().union(*(trained[name] for name in names)) - set(places))
    absent = [f"{titles[i]} ({sum(i in trained[name] for name in names)} of {len(names)} methods)" for i in others]
    absent += [
        f"{every[example[name].id]} ({len(has & set(places))} of {len(places)} data sets)"
        for name, has in trained.items()
        if name not in names and has & set(places)
    ]
    first = groups[0]
    return Block(
        key, first.source, first.budget, first.protocol, tuple(titles[i] for i in places), runs(names),
        runs(references), tuple(absent),
    )  # fmt: skip


def _complete(trained: dict[str, frozenset[int]], min_datasets: int) -> Iterable[tuple[list[str], list[int]]]:
    """Every complete table that nothing can be added to, of at least two methods."""
    shared: set[frozenset[int]] = set()
    for places in set(trained.values()):
        shared |= {places} | {places & other for other in shared}
    for places in sorted(shared, key=sorted):
        names = [name for name, has in trained.items() if places <= has]
        if len(places) >= max(1, min_datasets) and len(names) > 1:
            yield names, sorted(places)


def _titles(groups: Sequence[Group]) -> list[str]:
    """Labels of the groups; those that two share are told apart by the data's fingerprint."""
    count = Counter(group.label for group in groups)
    return [f"{group.label} #{group.fingerprint[:6]}" if count[group.label] > 1 else group.label for group in groups]
