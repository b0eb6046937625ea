"""One benchmark for static, temporal, sequential and transformation methods of disentangled representation learning."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.adding import add_dataset as add_dataset
    from bench.representation import score as score

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """``bench.score`` and ``bench.add_dataset``, imported when first asked for: ``import bench`` needs no numpy."""
    if name == "score":
        from bench.representation import score

        return score
    if name == "add_dataset":
        from bench.adding import add_dataset

        return add_dataset
    raise AttributeError(f"module 'bench' has no attribute '{name}'")
