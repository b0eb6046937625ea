"""Opens a registered data set as the runner does: source found, config resolved, arrays from the cache."""

from __future__ import annotations

from bench import registry
from bench.opening import Folders, open_dataset, resolve_source


def opened(name, folder, **parameters):
    """The container of a data set whose official files lie below ``folder``."""
    folders = Folders(folder, folder / "cache", folder / "results")
    config, source = resolve_source(name, registry.dataset(name).config(**parameters), folders)
    return open_dataset(name, config, source, folders)
