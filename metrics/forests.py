"""Random forests that are grown once and read at every depth.

A tree cut at some depth is a tree that was grown to that depth: a node's split depends on the rows that reach it and on
its own draw of latents, not on what grows below. So one fit gives the whole curve of loss against depth, where fitting
each depth anew takes as many fits as there are depths. The trees are scikit-learn's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np


class Forest:
    """A fitted forest of classes 0 … n_classes - 1 (integer targets) or of numbers (float targets).

    Args:
        codes: (n, n_latents).
        targets: (n,) int with every class present, or float.
        depth: of the grown trees.
        n_trees: as many.
        max_features: share of the latents that a split may choose from, or "sqrt" of their number.
        rng: bootstrap rows and the latents offered to each split.
    """

    def __init__(
        self,
        codes: np.ndarray,
        targets: np.ndarray,
        *,
        depth: int,
        n_trees: int,
        max_features: float | str,
        rng: np.random.Generator,
    ) -> None:
        from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

        is_discrete = targets.dtype.kind in "iu"
        kind = RandomForestClassifier if is_discrete else RandomForestRegressor
        seed = int(rng.integers(2**31 - 1))
        forest = kind(n_trees, max_depth=depth, max_features=max_features, random_state=seed).fit(codes, targets)
        self.n_classes = int(targets.max()) + 1 if is_discrete else 0
        self.trees = [_Tree(one.tree_) for one in forest.estimators_]

    def predictions(self, codes: np.ndarray, depths: Sequence[int]) -> Iterator[np.ndarray]:
        """Classes (n,) int64 or numbers (n,) float64 of codes (n, n_latents), with the trees cut at each depth.

        Args:
            depths: in ascending order.
        """
        x = np.asarray(codes, np.float32)
        nodes = [tree.cut(tree.leaves(x), depths) for tree in self.trees]
        for i in range(len(depths)):
            mean = sum(tree.values[at[i]] for tree, at in zip(self.trees, nodes, strict=True)) / len(self.trees)
            yield np.argmax(mean, axis=1) if self.n_classes else np.asarray(mean)[:, 0]

    def importances(self, depth: int) -> np.ndarray:
        """(n_latents,) decrease of impurity by the splits above ``depth``, adding to 1, or all 0 without a split."""
        found = sum(tree.importances(depth) for tree in self.trees)
        total = np.sum(found)
        return np.asarray(found / total if total > 0 else found)


class _Tree:
    """The arrays of one of scikit-learn's trees, with each node's parent and depth."""

    def __init__(self, tree: Any) -> None:
        self.tree = tree
        self.values = tree.value[:, 0]
        self.left, self.right = tree.children_left, tree.children_right
        self.parent = np.zeros(tree.node_count, np.intp)
        self.depth = np.zeros(tree.node_count, np.intp)
        for node in np.flatnonzero(self.left >= 0):  # a parent comes before its children
            for child in (self.left[node], self.right[node]):
                self.parent[child], self.depth[child] = node, self.depth[node] + 1

    def leaves(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(self.tree.apply(x))

    def cut(self, nodes: np.ndarray, depths: Sequence[int]) -> list[np.ndarray]:
        """For each of the ascending depths, the node (n,) at which each row ends."""
        found = []
        for depth in reversed(depths):
            while (too_deep := self.depth[nodes] > depth).any():
                nodes = np.where(too_deep, self.parent[nodes], nodes)
            found.append(nodes)
        return found[::-1]

    def importances(self, depth: int) -> np.ndarray:
        tree, split = self.tree, np.flatnonzero((self.left >= 0) & (self.depth < depth))
        impure = tree.weighted_n_node_samples * tree.impurity
        gain = impure[split] - impure[self.left[split]] - impure[self.right[split]]
        found = np.bincount(tree.feature[split], weights=gain, minlength=tree.n_features)
        total = found.sum()
        return np.asarray(found / total if total > 0 else found, np.float64)
