"""One benchmark for static, temporal, sequential and transformation methods of disentangled representation learning."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.representation import score as score

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """``bench.score``, imported when it is first asked for, so that ``import bench`` needs no numpy."""
    if name == "score":
        from bench.representation import score

        return score
    raise AttributeError(f"module 'bench' has no attribute '{name}'")
