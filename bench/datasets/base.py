"""What every data set says of itself: its card, its factors, where its bytes came from, and its cache."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bench.files import npy
from bench.whole_files import written_whole

FactorKind = Literal["categorical", "ordinal", "cyclic", "continuous"]
SourceKind = Literal["official", "generated", "bundled", "user"]


@dataclass(frozen=True)
class FactorSpace:
    """Names, sizes and kinds of the factors of variation.

    Attributes:
        names: one per factor.
        sizes: number of values, 0 for a continuous factor.
        kinds: "categorical", "ordinal", "cyclic" or "continuous".
        dynamic: for sequences, whether the factor may change over time.
    """

    names: tuple[str, ...]
    sizes: tuple[int, ...]
    kinds: tuple[FactorKind, ...]
    dynamic: tuple[bool, ...]

    def __post_init__(self) -> None:
        if not len(self.names) == len(self.sizes) == len(self.kinds) == len(self.dynamic):
            raise ValueError(f"factor space: names, sizes, kinds and dynamic differ in length: {self}")

    @property
    def is_discrete(self) -> bool:
        """Every factor has finitely many values."""
        return "continuous" not in self.kinds

    @property
    def continuous_names(self) -> tuple[str, ...]:
        return tuple(n for n, kind in zip(self.names, self.kinds, strict=True) if kind == "continuous")


@dataclass(frozen=True)
class Source:
    """Where the data came from; part of a row's identity.

    Attributes:
        kind: "official" files, "generated" here, "bundled" inside a dependency, or the "user"'s own.
        fingerprint: sha256 of the files' content (user and official files); empty for generated data.
        note: what a table's footnote should say of it.
    """

    kind: SourceKind
    fingerprint: str = ""
    note: str = ""


@dataclass(frozen=True)
class DataInfo:
    """What is known of a data set before it is opened; it decides which methods and metrics apply.

    Attributes:
        observation_shape: (channels, height, width) or (features,).
        views: the views it offers.
        factors: its labelled factors.
        has_grid: every combination of factor values exists and can be rendered.
        render_is_random: two renders of one factor vector differ.
        n_frames: frames of an item of the views ``sequences`` and ``transformations``.
        extras: arrays that a batch of these views can bring beside the frames: name -> shape of one item's.
        transformations: names of what can act between two frames.
        unseen: a split of observations of another kind than those that are trained on; empty where there is none.
        identity: the factor that verification (EER) asks for, "speaker" say; empty where there is none.
        judged: the factors that hold for a whole sequence and that a judge (a classifier trained on real sequences)
            names from one, dynamic ones first: ``FactorSpace.dynamic`` says on which side each belongs, so an action
            is dynamic although its label is the same in all frames.
    """

    observation_shape: tuple[int, ...]
    views: tuple[str, ...]
    factors: FactorSpace
    has_grid: bool = False
    render_is_random: bool = False
    n_frames: int = 1
    extras: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    transformations: tuple[str, ...] = ()
    unseen: str = ""
    identity: str = ""
    judged: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        unknown = [name for name in (*self.judged, self.identity) if name and name not in self.factors.names]
        if unknown:
            raise ValueError(f"data info: '{unknown[0]}' is none of the factors {', '.join(self.factors.names)}")

    def frames_of(self, view: str) -> int:
        """Frames of one training item of the view."""
        return {"images": 1, "pairs": 2}.get(view, self.n_frames)


@dataclass(frozen=True)
class OfficialFile:
    """One file as its authors publish it, and how to know that it is the right one.

    Attributes:
        name: where it lies below ``DATA_ROOT/<data set>``.
        addresses: tried in order; empty where it can only be obtained by hand.
        size: bytes; None where no source records it.
        sha256, md5: hex digests of the file; empty where no source records them: then the first fetch decides.
        warn_md5: as ``md5``, but recorded at an address that may have served other bytes: a difference is a warning.
        content_sha256, content_md5: of the unpacked content of a .gz, which another compression run leaves alone.
        by_hand: what a person must do to obtain it, where that is the way.
        variant: "parameter=value" where only one form of the data set needs the file.
        folder: below the data root, where it is not the data set's own (a file that two data sets share).
        is_alternative: holds what the other files do in another form: checked where it is there, never asked for.
    """

    name: str
    addresses: tuple[str, ...] = ()
    size: int | None = None
    sha256: str = ""
    md5: str = ""
    warn_md5: str = ""
    content_sha256: str = ""
    content_md5: str = ""
    by_hand: str = ""
    variant: str = ""
    folder: str = ""
    is_alternative: bool = False


@dataclass(frozen=True)
class DatasetCard:
    """The metadata of a data set.

    Attributes:
        describe: config -> DataInfo, without opening anything.
        source: (config, data root) -> Source, cheap; raises FileNotFoundError that says what to run.
        budgets: overrides of the config for each budget (sizes of pools and caches).
        files: official files, for ``bench data fetch`` and ``verify``.
        by_hand: what a person must do to obtain it, where it is a folder of many files rather than named ones.
        notice: what a user must know or accept before using them (non-commercial, no redistribution).
        version: raised when what the code produces changes.
    """

    title: str
    paper: str
    summary: str
    license: str
    describe: Callable[[Any], DataInfo]
    source: Callable[[Any, Path], Source]
    budgets: Mapping[str, Mapping[str, Any]]
    verified: str
    files: tuple[OfficialFile, ...] = ()
    by_hand: str = ""
    notice: str = ""
    notes: str = ""
    version: int = 1


class DataStore:
    """Hands a data set's function its files and a place to keep arrays that are dear to make.

    Args:
        root: folder with one folder per data set of official files (``--data-root`` or ``BENCH_DATA``).
        cache: folder for prepared arrays; created when first written to.
        key: identity of the opened data set (name, version, resolved config, source).
    """

    def __init__(self, root: Path, cache: Path, key: str) -> None:
        self.root = root
        self.cache = cache
        self.key = key

    def find(self, *parts: str) -> Path | None:
        """The file at ``root/parts…``, or None where there is none."""
        path = self.root.joinpath(*parts)
        return path if path.is_file() else None

    def cached(self, name: str, build: Callable[[], np.ndarray]) -> np.ndarray:
        """The array called ``name`` of this data set, memory-mapped read-only; built and kept on first use."""
        return self._kept(name, lambda path: _save(path, build()))

    def cached_rows(
        self, name: str, n_rows: int, build: Callable[[slice], np.ndarray], chunk: int = 4096
    ) -> np.ndarray:
        """As ``cached``, for an array too large to build in memory: ``build`` makes the rows of a slice, in order."""
        return self._kept(name, lambda path: _save_rows(path, n_rows, build, chunk), n_rows)

    def without(self, *parameters: str) -> DataStore:
        """The store of arrays that do not depend on these parameters of the config, so that one copy serves them all.

        Raises:
            ValueError, KeyError: the key is not one that ``bench.opening.data_store`` makes, or lacks a parameter.
        """
        name, version, config, *source = json.loads(self.key)
        for parameter in parameters:
            del config[parameter]
        return DataStore(self.root, self.cache, canonical_json([name, version, config, *source]))

    def _kept(self, name: str, write: Callable[[Path], None], n_rows: int | None = None) -> np.ndarray:
        digest = hashlib.sha256(f"{self.key}|{name}".encode()).hexdigest()[:20]
        path = self.cache / f"{digest}-{name}.npy"
        if path.exists():
            # A cache file that was cut short (disk full, power loss) or damaged is made again rather than reported.
            with suppress(ValueError):
                array = npy.mapped(path)
                if n_rows is None or array.shape[:1] == (n_rows,):
                    return array
        with written_whole(path) as partial:
            write(partial)
        return npy.mapped(path)


def _save(path: Path, array: np.ndarray) -> None:
    with path.open("wb") as file:  # np.save would add a suffix to a bare path
        np.save(file, array, allow_pickle=False)


def _save_rows(path: Path, n_rows: int, build: Callable[[slice], np.ndarray], chunk: int) -> None:
    """Written as a plain file, not through a map: written pages of a map count as resident memory of this process."""
    with path.open("wb") as file:
        for start in range(0, n_rows, chunk):
            rows = np.ascontiguousarray(build(slice(start, min(start + chunk, n_rows))))
            if start == 0:
                _check_space(path.parent, n_rows * rows[0].nbytes)
                descr = np.lib.format.dtype_to_descr(rows.dtype)
                header = {"descr": descr, "fortran_order": False, "shape": (n_rows, *rows.shape[1:])}
                np.lib.format.write_array_header_1_0(file, header)
            file.write(rows.reshape(-1).view(np.uint8).data)


def _check_space(folder: Path, n_bytes: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < n_bytes:
        raise OSError(
            f"{folder}: {n_bytes / 1e9:.1f} GB of prepared frames do not fit, {free / 1e9:.1f} GB are free; "
            "make room, or name a folder on another disk in BENCH_CACHE"
        )


def file_sha256(path: Path) -> str:
    """Hex SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: one text per value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
