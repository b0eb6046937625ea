"""MPI3D (Gondal et al., NeurIPS 2019): a robot arm that carries an object, rendered twice and photographed twice.

An .npz of up to 12.7 GB of pixels: read as a stream, kept once as plain rows, and read from there by position.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.datasets.base import DataInfo, DatasetCard, DataStore, FactorSpace, OfficialFile, Source
from bench.datasets.grid import FactorGrid, GridConfig, cell_numbers, check_choice, ends_function
from bench.datasets.official import missing_file, official_source
from bench.datasets.row_file import RowFile
from bench.datasets.zipped_npy import NpzMember
from bench.messages import one_line
from bench.registry import register_dataset

NAME = "mpi3d"
SIDE = 64
FACTORS = (
    "object_color",
    "object_shape",
    "object_size",
    "camera_height",
    "background_color",
    "horizontal_axis",
    "vertical_axis",
)
PUBLISHED = (6, 6, 2, 3, 3, 40, 40)  # 1,036,800 images
REDUCED = (4, 4, 2, 3, 3, 40, 40)  # 460,800: the complex objects, or the challenge's release of toy and realistic
# The first is what a variant has; the length of the array decides.
VARIANTS = {
    "real": (PUBLISHED,),
    "toy": (PUBLISHED, REDUCED),
    "realistic": (PUBLISHED, REDUCED),
    "complex": (REDUCED,),
}
_CHUNK = 1024  # 12.6 MB
_MD5 = {
    "toy": "55889cb7c7dfc655d6e0277beee88868",
    "realistic": "59a6225b88b635365f70c91b3e52f70f",
    "real": "0f33f609918fb5c97996692f91129802",
}
_ADDRESSES = (
    "https://huggingface.co/datasets/waleedgondal/mpi3d/resolve/main/mpi3d_{}.npz",
    "https://storage.googleapis.com/disentanglement_dataset/Final_Dataset/mpi3d_{}.npz",
)
FILES = {
    **{
        variant: OfficialFile(
            f"mpi3d_{variant}.npz",
            addresses=tuple(address.format(variant) for address in _ADDRESSES),
            warn_md5=md5,
            variant=f"variant={variant}",
        )
        for variant, md5 in _MD5.items()
    },
    "complex": OfficialFile(
        "mpi3d_complex.npz",
        by_hand="open https://drive.google.com/uc?id=1Tp8eTdHxgUMtsZv5uAoYAbJR1BOa_OQm in a browser and save the file "
        "as mpi3d_complex.npz",
        variant="variant=complex",
    ),
}


@dataclass(frozen=True)
class MPI3DConfig(GridConfig):
    """Parameters of the data set; see ``GridConfig`` for those of pairs.

    Attributes:
        variant: "real" (photographs), "toy" or "realistic" (renderings), "complex" (photographs of other objects).
    """

    variant: str = "real"

    name = NAME
    n_factors = 7
    sources = ("auto", "official")

    def __post_init__(self) -> None:
        check_choice(NAME, "variant", self.variant, tuple(VARIANTS))
        super().__post_init__()


def describe(config: MPI3DConfig, sizes: tuple[int, ...] | None = None) -> DataInfo:
    """Shapes, views and factors; the sizes of the published release of the variant unless others were found."""
    factors = FactorSpace(
        names=FACTORS,
        sizes=sizes or VARIANTS[config.variant][0],
        kinds=("categorical", "categorical", "ordinal", "ordinal", "categorical", "ordinal", "ordinal"),
        dynamic=tuple(config.transitions != "lap" or name != "object_shape" for name in FACTORS),
    )
    return DataInfo((3, SIDE, SIDE), ("pairs", "images"), factors, has_grid=True)


def find_source(config: MPI3DConfig, root: Path) -> Source:
    """The official file of the variant; there is nothing to use in its place.

    Raises:
        FileNotFoundError: it is not there.
        ValueError: it does not hold the images of that variant.
    """
    file = FILES[config.variant]
    path = root / NAME / file.name
    if not path.is_file():
        raise missing_file(NAME, file)
    with NpzMember(path, "images", item_ndim=3) as images:
        sizes = _sizes(config.variant, images, path)
    source = official_source(NAME, root, (file,), config.source)
    assert source is not None
    if sizes == VARIANTS[config.variant][0]:
        return source
    return Source(source.kind, source.fingerprint, f"the challenge's release of {math.prod(sizes):,} images")


def _sizes(variant: str, images: NpzMember, path: Path) -> tuple[int, ...]:
    """Factor sizes that the number of images tells."""
    found = {math.prod(sizes): sizes for sizes in VARIANTS[variant]}
    is_image = images.item_shape == (SIDE, SIDE, 3) and images.dtype == np.uint8
    if not is_image or images.n_items not in found:
        wanted = " or ".join(f"{n:,}" for n in found)
        raise ValueError(
            f"{NAME}/{path.name}: variant={variant} has {wanted} images of {SIDE} × {SIDE} × 3 uint8, "
            f"this file's are {one_line(images.shape)} {one_line(images.dtype)}"
        )
    return found[images.n_items]


CARD = DatasetCard(
    title="MPI3D",
    paper="Gondal et al., NeurIPS 2019 (arXiv 1906.03292)",
    summary="A robot arm with an object at its tip: photographs (real, complex) or renderings (toy, realistic).",
    license="CC BY 4.0",
    notice="CC BY 4.0: name Gondal et al., NeurIPS 2019.",
    describe=describe,
    source=find_source,
    budgets={"smoke": {}, "quick": {}, "standard": {}, "paper": {}},
    verified="reader against files of the official layout; never run on the official files, which were not at hand",
    files=tuple(FILES.values()),
    notes=(
        "Official only: where the file is absent, so is the data set. 1,036,800 images, complex 460,800; the first "
        "use converts them to 12.7 (5.7) GB of rows in the cache. toy and realistic also exist as the challenge's "
        "release of 460,800 images with 4 colours and 4 shapes (disentanglement_lib's; save it under the same name): "
        "the number of images decides the factor sizes, and the file's fingerprint keeps rows of both apart. Lap "
        "holds the shape still. object_color white, green, red, blue, brown, olive; object_shape cone, cube, "
        "cylinder, hexagonal, pyramid, sphere; object_size small, large; camera_height top, centre, bottom; "
        "background_color purple, sea green, salmon. complex: yellow, green, olive, red; coffee cup, tennis ball, "
        "croissant, beer cup. Checksums are recorded for the older address alone, so a difference is told and not "
        "refused."
    ),
)


@register_dataset(NAME, config=MPI3DConfig, card=CARD)
def mpi3d(config: MPI3DConfig, store: DataStore) -> FactorGrid:
    """All frames of the variant, converted once; the seven factors are class indices."""
    path = store.root / NAME / FILES[config.variant].name
    kept = store.without("transitions", "rate", "k")
    with NpzMember(path, "images", item_ndim=3) as images:
        info = describe(config, _sizes(config.variant, images, path))
        rows = kept.cached_rows(
            "frames",
            images.n_items,
            lambda part: images.read(part.stop - part.start).transpose(0, 3, 1, 2),
            _CHUNK,
        )
    frames = RowFile(rows)
    release = "" if info.factors.sizes == VARIANTS[config.variant][0] else " (challenge's release)"
    title = f"{CARD.title} {config.variant}{release}, {config.transition_label} transitions, official images"
    return FactorGrid(
        info,
        lambda factors, rng: frames[cell_numbers(factors, info.factors)],
        ends_function(config, info.factors, frozen=("object_shape",)),
        title,
    )
