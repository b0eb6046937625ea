"""Color-, Noisy- and Scream-dSprites as Locatello et al. (ICML 2019) build them, in 8 bits per channel.

Colours and backgrounds are drawn anew at every access, from the caller's generator, and are no factors: no picture can
be asked for twice. The authors' ``data/ground_truth/dsprites.py`` works on floats; ours are rounded to uint8.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image

from bench.datasets.base import DataInfo, DatasetCard, DataStore, OfficialFile, Source, file_sha256
from bench.datasets.dsprites import (
    ARCHIVE,
    BUDGETS,
    DRAWN,
    LICENSE,
    NAME,
    NOTES,
    DSpritesConfig,
    factor_space,
    find_archive,
    find_source,
    open_grid,
    sprite_reader,
)
from bench.datasets.dsprites_renderer import SIDE
from bench.datasets.grid import FactorGrid
from bench.datasets.official import fingerprint
from bench.registry import register_dataset

PICTURE = OfficialFile(
    "The_Scream.jpg", addresses=("https://upload.wikimedia.org/wikipedia/commons/f/f4/The_Scream.jpg",)
)
_THUMBNAIL = (350, 274)  # columns and rows that the picture must fit into
_PAPER = "Locatello et al., ICML 2019 (arXiv 1811.12359); sprites: Matthey et al., 2017"
_RANDOM = (
    "Drawn anew at each access and no factor, so metrics that intervene on factors apply in their pooled form only "
    "(betavae_score[pool], factorvae_score[pool]). Sprites come from the archive of dsprites: `bench data fetch "
    "dsprites`. Values are rounded to 8 bits. "
)


@dataclass(frozen=True)
class ColorConfig(DSpritesConfig):
    """Parameters of Color-dSprites: those of dSprites."""

    name: ClassVar[str] = "dsprites_color"


@dataclass(frozen=True)
class NoisyConfig(DSpritesConfig):
    """Parameters of Noisy-dSprites: those of dSprites."""

    name: ClassVar[str] = "dsprites_noisy"


@dataclass(frozen=True)
class ScreamConfig(DSpritesConfig):
    """Parameters of Scream-dSprites, beside those of dSprites.

    Attributes:
        picture: a user's own JPEG or PNG file instead of The Scream; the sprites are then generated ones.
    """

    picture: str = ""

    name: ClassVar[str] = "dsprites_scream"
    sources: ClassVar[tuple[str, ...]] = ("auto", "official", "generated", "user")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.picture and self.source not in ("auto", "user"):
            raise ValueError(
                f"{self.name}: picture={self.picture} is a user's file, but source={self.source} was asked for"
            )
        if self.source == "user" and not self.picture:
            raise ValueError(f"{self.name}: source=user needs picture=FILE")


def describe(config: DSpritesConfig) -> DataInfo:
    """Shapes, views and factors, without opening anything."""
    return DataInfo((3, SIDE, SIDE), ("pairs", "images"), factor_space(config), has_grid=True, render_is_random=True)


def color(sprites: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Frames (n, 3, 64, 64) uint8: each sprite in a colour of its own, uniform in [0.5, 1]³, on black.

    Args:
        sprites: (n, 64, 64) uint8, 0 or 1, here and below.
    """
    colours = np.rint(255 * rng.uniform(0.5, 1.0, size=(len(sprites), 3))).astype(np.uint8)
    return sprites[:, None] * colours[:, :, None, None]


def noisy(sprites: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Frames (n, 3, 64, 64) uint8: white sprites on noise, uniform in [0, 1] for every pixel and channel.

    The authors add the noise and cut at 1: the sprite stays white.
    """
    noise = rng.integers(256, size=(len(sprites), 3, SIDE, SIDE), dtype=np.uint8)
    return np.maximum(noise, sprites[:, None] * np.uint8(255))


def on_picture(sprites: np.ndarray, picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Frames (n, 3, 64, 64) uint8: (crop + tint) / 2 with a random crop of the picture and a tint in [0, 1]³.

    Where the sprite is, the background is inverted: 1 - value. The last crop of either axis is never taken, as in the
    authors' code.

    Args:
        picture: (3, rows, columns) uint8, more than 64 rows and columns.
    """
    n = len(sprites)
    row, column = rng.integers(np.array(picture.shape[1:]) - SIDE, size=(n, 2)).T
    tint = rng.uniform(0.0, 255.0, size=(n, 3)).astype(np.float32)
    crops = sliding_window_view(picture, (SIDE, SIDE), axis=(1, 2))[:, row, column].swapaxes(0, 1)
    background = np.rint((crops + tint[:, :, None, None]) / 2).astype(np.uint8)
    # uint8: 255 - value is value with all its bits turned.
    return background ^ (sprites[:, None] * np.uint8(255))


def read_picture(path: Path, label: str) -> np.ndarray:
    """A JPEG or PNG file as (3, rows, columns) uint8, reduced to fit into 350 columns and 274 rows.

    Pillow's ``thumbnail`` as in the study; its filter and so the last bits depend on Pillow's version.

    Args:
        label: what messages call the file.

    Raises:
        ValueError: no picture, a damaged one, one of more pixels than Pillow trusts, or one too small for a crop.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=("JPEG", "PNG")) as image:
                image.thumbnail(_THUMBNAIL)
                picture = np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        reason = " ".join(str(error).replace(str(path), path.name).split())[:120]
        raise ValueError(f"{label}: is no JPEG or PNG picture, or is damaged ({reason})") from None
    if min(picture.shape[:2]) <= SIDE:
        raise ValueError(
            f"{label}: is {picture.shape[1]} × {picture.shape[0]} pixels after reduction to 350 × 274, "
            f"wanted more than {SIDE} × {SIDE}"
        )
    return np.ascontiguousarray(picture.transpose(2, 0, 1))


def stand_in_picture() -> np.ndarray:
    """A picture (3, 274, 215) uint8 of smooth random colour, always the same one, for want of The Scream.

    Its amplitude falls with spatial frequency as in natural pictures; means, deviations and correlations of the
    channels are those of the painting at this size, up to what is cut at black and white.
    """
    mean = np.array([0.444, 0.330, 0.213])
    deviation = np.array([0.273, 0.151, 0.114])
    correlation = np.array([[1.0, 0.774, 0.328], [0.774, 1.0, 0.818], [0.328, 0.818, 1.0]])
    rows, columns = 274, 215
    noise = np.random.default_rng(0).normal(size=(3, rows, columns))
    frequency = np.hypot(np.fft.fftfreq(rows)[:, None], np.fft.rfftfreq(columns))
    frequency[0, 0] = np.inf
    field = np.fft.irfft2(np.fft.rfft2(noise) / frequency**1.25, s=(rows, columns)).reshape(3, -1)
    white = np.linalg.solve(np.linalg.cholesky(np.cov(field)), field - field.mean(axis=1, keepdims=True))
    mixed = mean[:, None] + deviation[:, None] * (np.linalg.cholesky(correlation) @ white)
    return np.rint(255 * mixed.clip(0, 1)).astype(np.uint8).reshape(3, rows, columns)


def find_scream_source(config: ScreamConfig, root: Path) -> Source:
    """The user's picture; else official where archive and painting are both there; else generated, both.

    Raises:
        FileNotFoundError: the user's picture, or an official file that was asked for, is not there.
    """
    if config.picture:
        path = Path(config.picture)
        if not path.is_file():
            raise FileNotFoundError(f"{config.name}: picture={config.picture} is not a file")
        return Source("user", file_sha256(path), f"picture {path.name}; sprites {DRAWN}")
    archive, painting = find_archive(config, root), root / config.name / PICTURE.name
    if archive is not None and painting.is_file():
        return Source("official", fingerprint([archive, painting]))
    if config.source == "official":
        raise FileNotFoundError(
            f"{config.name}: {PICTURE.name} is not in DATA_ROOT/{config.name}. Run `bench data fetch {config.name}`, "
            "put the file there, or name another picture with picture=FILE."
        )
    return Source("generated", note=f"background drawn here in place of the painting; sprites {DRAWN}")


_ARCHIVE = replace(ARCHIVE, folder=NAME)
_COLOR_CARD = DatasetCard(
    title="Color-dSprites",
    paper=_PAPER,
    summary="dSprites with the sprite in a random colour.",
    license=LICENSE,
    describe=describe,
    source=find_source,
    budgets=BUDGETS,
    verified="construction against its definition, per pixel; sprites as dsprites",
    files=(_ARCHIVE,),
    notes=f"The colour is uniform in [0.5, 1]³ for each image. {_RANDOM}{NOTES}",
)
_NOISY_CARD = replace(
    _COLOR_CARD,
    title="Noisy-dSprites",
    summary="dSprites with uniform noise behind the sprite.",
    notes=f"min(image + noise, 1) with noise uniform in [0, 1] for each pixel and channel. {_RANDOM}{NOTES}",
)
_SCREAM_CARD = replace(
    _COLOR_CARD,
    title="Scream-dSprites",
    summary="dSprites that invert random crops of Munch's The Scream, randomly tinted.",
    license=f"{LICENSE}; the painting is in the public domain",
    source=find_scream_source,
    files=(_ARCHIVE, PICTURE),
    notes=(
        "Background: (64 × 64 crop of the painting, reduced to fit 350 × 274, + colour uniform in [0, 1]³) / 2, new "
        "for each image; inverted where the sprite is. Official only where archive and painting are both there. "
        "Without them the background is a smooth random picture with the painting's colour statistics; with "
        f"picture=FILE it is the user's own. {_RANDOM}{NOTES}"
    ),
)


@register_dataset(ColorConfig.name, config=ColorConfig, card=_COLOR_CARD)
def dsprites_color(config: ColorConfig, store: DataStore) -> FactorGrid:
    """dSprites' cells; frames (3, 64, 64) uint8, coloured anew at each access."""
    config = replace(config, source=find_source(config, store.root).kind)
    read = sprite_reader(config, store)
    return open_grid(config, describe(config), lambda cells, rng: color(read(cells), rng), _COLOR_CARD.title)


@register_dataset(NoisyConfig.name, config=NoisyConfig, card=_NOISY_CARD)
def dsprites_noisy(config: NoisyConfig, store: DataStore) -> FactorGrid:
    """dSprites' cells; frames (3, 64, 64) uint8, with new noise at each access."""
    config = replace(config, source=find_source(config, store.root).kind)
    read = sprite_reader(config, store)
    return open_grid(config, describe(config), lambda cells, rng: noisy(read(cells), rng), _NOISY_CARD.title)


@register_dataset(ScreamConfig.name, config=ScreamConfig, card=_SCREAM_CARD)
def dsprites_scream(config: ScreamConfig, store: DataStore) -> FactorGrid:
    """dSprites' cells; frames (3, 64, 64) uint8, on a new crop and tint at each access."""
    config = replace(config, source=find_scream_source(config, store.root).kind)
    read = sprite_reader(config, store)
    picture = _picture(config, store.root)
    title = f"{_SCREAM_CARD.title}{f' on {Path(config.picture).name}' if config.picture else ''}"
    return open_grid(config, describe(config), lambda cells, rng: on_picture(read(cells), picture, rng), title)


def _picture(config: ScreamConfig, root: Path) -> np.ndarray:
    if config.source == "generated":
        return stand_in_picture()
    if config.picture:
        return read_picture(Path(config.picture), f"{config.name}: {config.picture}")
    return read_picture(root / config.name / PICTURE.name, f"{config.name}/{PICTURE.name}")
