"""Sprites: animated characters of the Liberated Pixel Cup (Li and Mandt, ICML 2018; S3VAE, C-DSVAE).

1,296 characters (6 bodies, trousers, tops and hair styles) times 9 actions (3 motions, 3 directions), 8 frames each. A
frame is a stack of layers: body, trousers, top, hair, and the same shoes for all. Rules of the authors' generator
(YingzhenLi/Sprites, ``random_character.py``, ``frame_to_npy.py``) and loader. Where the artwork is absent, figures are
drawn by ``bench.datasets.figure_renderer`` as layers of the same shape.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
from PIL import Image

from bench.datasets.base import DataInfo, DatasetCard, DataStore, FactorSpace, OfficialFile, Source
from bench.datasets.containers import SequenceData
from bench.datasets.figure_renderer import ORDERS, figure_layers
from bench.datasets.flow_cells import N_CELLS, flow_cells
from bench.datasets.grid import check_choice
from bench.datasets.official import missing_file, place, remembered_sha256
from bench.messages import one_line
from bench.registry import register_dataset

NAME = "sprites"
SIDE, N_FRAMES, N_VARIANTS, N_CHARACTERS = 64, 8, 6, 6**4
MOTIONS = "walk", "spellcast", "slash"
DIRECTIONS = "front", "left", "right"
N_ACTIONS = len(MOTIONS) * len(DIRECTIONS)
PARTS = "body", "bottomwear", "topwear", "hair", "shoes"  # from back to front
N_TRAIN, N_TEST = 1_000, 296  # characters, as published

_COLUMNS = 13  # cells in a row of a sheet
_SHEET = (832, 1344)
# first cell of a row by motion and direction, and the columns that the eight frames are cut from
_ROWS = ((130, 117, 143), (26, 13, 39), (182, 169, 195))
_SHOWN = ((8, 1, 2, 3, 4, 5, 6, 7), (0, 1, 2, 3, 4, 5, 4, 6), (0, 1, 2, 3, 4, 5, 4, 0))
CELLS = np.array([np.add(row, shown) for rows, shown in zip(_ROWS, _SHOWN, strict=True) for row in rows])

_COMMIT = "3ce4048c5227802bd8f1888e293fd3afdba91c0c"
_RECORDS = (
    ("body/0.png", 33734, "27d1ac78db37c42f35a20d15c42705efc5e58d47c236cc01423879d4f797f151"),
    ("body/1.png", 32036, "1535e9228357b884df80f777a0d1dac10ac35e550e4d8d077105ccad014a1460"),
    ("body/2.png", 33247, "7c241033b4897501cb3721b6c3a9ebfa94b13db10a539edbd9bcc3e0c2a4bcb9"),
    ("body/3.png", 33232, "055f5aa33fc112d8444b42fce2cf50608a9fbbf2466c54ceaa46c777589a717a"),
    ("body/4.png", 33226, "57f3b9c510482379aba9a32fc0de7d48e9cbe3dc40f2447283547f773b77ca72"),
    ("body/5.png", 31114, "91e49453aeab5ebbb4fd2b48253812895dcfb4cb1829b84e24425c66de8f04ff"),
    ("bottomwear/0.png", 7581, "4ec356c488e272fde2d2d0d722b12a80217871e41161d43ba784caf243969ec2"),
    ("bottomwear/1.png", 8304, "0674312eaa4ab548f8bb31ef95d7dbd46b41555758cec51bd6c3e9fac9a0f936"),
    ("bottomwear/2.png", 7585, "3b464feb0d20ff34b0ca2a6d1fd00766ad86e2229c3d56ff91379fe27588a893"),
    ("bottomwear/3.png", 8227, "b366e84ea0519d06cf693f51e0ee2f9ac32b3132d27c75dfdc4b6f52fca072de"),
    ("bottomwear/4.png", 8322, "4ed7e7702e4f50b9692c0043be04b7296a108d85ea97230fb50d13c150d98771"),
    ("bottomwear/5.png", 5375, "a5c5e7e33f13fe5ad37b5836a5a74fb0d2094a0877c2146961b88688ff85840d"),
    ("hair/0.png", 8049, "e4007b0635a239ad16cdebfe90759349ccc73dfc6836c9d19625714be185f43d"),
    ("hair/1.png", 8751, "fa6369f84d3310705df6d8ca8c9d515a7d211e73d2826c50a9cb5bb285652c66"),
    ("hair/2.png", 8360, "1b8046752be7233e829ebe9b11048e171d8d181ee6f68e07042b34f57bb8af0d"),
    ("hair/3.png", 8337, "333783285c5fd94ff434ae5000d2da39aac7940269f173119eaa70d34c8acfa1"),
    ("hair/4.png", 7363, "24df8e9b291cbd444f6c4d12d35b3d43d909cd13f04e6401e0fd8ab10216d5a2"),
    ("hair/5.png", 8236, "4dd471cc20e0b1cf71adcaab01c88598767e5cfe680adacdf560ca91574f17ae"),
    ("shoes/1.png", 5504, "d56a561616a20a12030d2d40a52eeec63e6d048871bf3b6994221869362151f1"),
    ("topwear/0.png", 15643, "b917edcf2b3c35d51ef57a6fad67557c5edf048785bea29db09a640d09ac9a90"),
    ("topwear/1.png", 15643, "e33c6cb31ed1268a2c0dc73b665b1c9b9420e22baf3321880222bdb22682368b"),
    ("topwear/2.png", 15643, "2b9b8fefa08894b7ea536cd62b86d494aefe6e54495c5c1d83460827b13b6448"),
    ("topwear/3.png", 10561, "807f5b628592f6747e2814be9435963069dba6c360577168c02f57bbe903433d"),
    ("topwear/4.png", 10940, "b51b17878503877e179ce4f9231713bf2b2d2d666c3ec9ee29f4e784469867a2"),
    ("topwear/5.png", 25293, "1b6049d43f83ebfda857cc405d1936ac9fd80be480fa6ad239024a6a75ad0372"),
)
SHEETS = tuple(
    OfficialFile(
        name, (f"https://raw.githubusercontent.com/YingzhenLi/Sprites/{_COMMIT}/{name}",), size=size, sha256=sha256
    )
    for name, size, sha256 in _RECORDS
)
LAYERS = OfficialFile(
    "layers.npz",
    size=306_815,
    sha256="619f428c035249e1f82cfe2d1dac27edeba5680897c36717bfc487788381bea8",
    by_hand="not needed: it holds the cells of the sheets that are used, cut out",
    folder="lpc_sprites",
    is_alternative=True,
)


@dataclass(frozen=True)
class SpritesConfig:
    """Parameters of the data set; a character brings nine sequences.

    Attributes:
        n_train: training characters, the first ones of the published order.
        n_val: characters held out from the published 1,000, the last ones; 0 leaves the split out.
        n_test: test characters, the first ones of the published 296.
        source: "auto", or what the frames must be.
    """

    n_train: int = 900
    n_val: int = 100
    n_test: int = N_TEST
    source: str = "auto"

    def __post_init__(self) -> None:
        check_choice(NAME, "source", self.source, ("auto", "official", "generated"))
        for name, value, low, high in (
            ("n_val", self.n_val, 0, N_TRAIN - 1),
            ("n_train", self.n_train, 1, N_TRAIN - self.n_val),
            ("n_test", self.n_test, 1, N_TEST),
        ):
            if not low <= value <= high:
                raise ValueError(f"{NAME}: {name} must be {low} … {high} characters, got {value}")


def describe(config: SpritesConfig) -> DataInfo:
    """Shapes, views and factors, without opening anything."""
    factors = FactorSpace(
        names=("action", "body", "bottom", "top", "hair", "pose"),
        sizes=(N_ACTIONS, *4 * (N_VARIANTS,), N_FRAMES),
        kinds=6 * ("categorical",),
        dynamic=(True, False, False, False, False, True),
    )
    return DataInfo(
        (3, SIDE, SIDE),
        ("sequences", "images"),
        factors,
        n_frames=N_FRAMES,
        extras={"flow_cells": (N_FRAMES, 2, N_CELLS)},
        judged=("action", "body", "bottom", "top", "hair"),
    )


def find_source(config: SpritesConfig, root: Path) -> Source:
    """The artwork, as sheets or as cut-out layers, where it is there; else drawn figures.

    Both forms give the same frames and count as one: the fingerprint is that of the layers.

    Raises:
        FileNotFoundError: the artwork was asked for and is not there.
        ValueError: a file of it has other content than the published one.
    """
    if config.source != "generated":
        for files in (SHEETS, (LAYERS,)):
            paths = [place(NAME, root, file) for file in files]
            if all(path.is_file() for path in paths):
                for file, path in zip(files, paths, strict=True):
                    if remembered_sha256(path) != file.sha256:
                        raise ValueError(
                            f"{NAME}: {file.name} in DATA_ROOT/{file.folder or NAME} has other content than the "
                            f"published file. Run `bench data fetch {NAME}`, or draw figures: {NAME}[source=generated]."
                        )
                return Source("official", LAYERS.sha256)
        if config.source == "official":
            raise missing_file(NAME, next(f for f in SHEETS if not place(NAME, root, f).is_file()))
    return Source("generated", note="drawn figures in six poses; not the LPC artwork")


CARD = DatasetCard(
    title="Sprites",
    paper="Li and Mandt, Disentangled Sequential Autoencoder, ICML 2018; art of the Liberated Pixel Cup",
    summary="1,296 pixel-art characters of four parts that walk, cast a spell and slash in three directions: 11,664 "
    "sequences of 8 frames.",
    license="artwork: CC BY-SA 3.0 or GPL 3.0; generated figures: as this package",
    notice="Artwork of the Liberated Pixel Cup (Universal-LPC-spritesheet, its AUTHORS.txt names the artists). "
    "Share-alike holds for the sheets and for every image made from them.",
    describe=describe,
    source=find_source,
    budgets={
        "smoke": {"n_train": 12, "n_val": 3, "n_test": 4},
        "quick": {"n_train": 250, "n_val": 30, "n_test": 100},
        "standard": {},
        "paper": {},
    },
    verified="sheets and layers give the same frames; all 9,000 training sequences equal those of the authors' order "
    "of operations (SHA-256 per action), and so do 324 rendered sequences pixel by pixel; "
    "order of characters against the published permutation",
    files=(*SHEETS, LAYERS),
    notes=(
        "Judges read action, body, bottom, top, hair. Action (3 · motion + direction) holds for the whole sequence but "
        "is told by the change, so it is dynamic; pose is what changes from frame to frame: frames of one action with "
        "equal pose are equal (LPC: 8 poses, some shown twice; generated: 6, common to all motions). "
        "Split by character: numpy's legacy permutation of 1,296 with seed 423, its first 1,000 are the published "
        "training characters (9,000 sequences), the other 296 the test set (2,664). There is no published validation "
        "set: the last 100 of the 1,000 are held out, so 8,100 train; n_train=1000,n_val=0 is the published split. "
        "Frames are kept as uint8 and divided by 255; the published arrays are divided by 256 (largest value 0.996), "
        "so pixel errors here are 0.8 % larger. Sequences come character by character; the published loader "
        "shuffles each split once (seed 0), which decides which rows the balanced scores of the static side take. "
        "Another 'Sprites' of Reed et al. and the set of 7,560 sequences of some reimplementations are not comparable."
    ),
)


@register_dataset(NAME, config=SpritesConfig, card=CARD)
def sprites(config: SpritesConfig, store: DataStore) -> SequenceData:
    """Sequences (8, 3, 64, 64) uint8 with the splits train, val and test."""
    is_official = find_source(config, store.root).kind == "official"
    layers = cache(partial(_official_layers, store.root) if is_official else figure_layers)
    order = character_order()
    parts = {
        "train": order[: config.n_train],
        "val": order[N_TRAIN - config.n_val : N_TRAIN],
        "test": order[N_TRAIN : N_TRAIN + config.n_test],
    }
    characters = np.concatenate(list(parts.values()))
    frames = store.cached_rows(
        "frames", len(characters) * N_ACTIONS, lambda rows: _composed(layers(), characters, rows), 32 * N_ACTIONS
    )
    ends = N_ACTIONS * np.cumsum([0, *map(len, parts.values())])
    splits = {
        name: np.arange(start, end) for name, start, end in zip(parts, ends, ends[1:], strict=False) if end > start
    }
    poses = lpc_poses() if is_official else np.repeat(ORDERS, len(DIRECTIONS), axis=0)
    flow = lambda: store.cached_rows("flow-cells", len(frames), lambda rows: flow_cells(frames[rows]), 64)  # noqa: E731
    title = f"{CARD.title}, {'LPC artwork' if is_official else 'drawn figures'}"
    return SequenceData(
        describe(config), frames, labels(characters, poses), splits, title=title, extras={"flow_cells": flow}
    )


def character_order() -> np.ndarray:
    """The published permutation of the 1,296 character numbers, 216 · body + 36 · bottom + 6 · top + hair."""
    return np.random.RandomState(423).permutation(N_CHARACTERS)


def lpc_poses() -> np.ndarray:
    """(9, 8) int64: for each frame the first one of its action with the same picture."""
    return np.array([[row.tolist().index(cell) for cell in row] for row in CELLS])


def attributes(characters: np.ndarray) -> np.ndarray:
    """Variants (n, 4) of body, bottom, top and hair of character numbers (n,)."""
    return np.stack(np.unravel_index(characters, 4 * (N_VARIANTS,)), axis=-1)


def labels(characters: np.ndarray, poses: np.ndarray) -> np.ndarray:
    """Factors (9 n, 8, 6) int64 of characters (n,), each with all nine actions; poses (9, 8)."""
    factors = np.empty((len(characters), N_ACTIONS, N_FRAMES, 6), np.int64)
    factors[..., 0] = np.arange(N_ACTIONS)[:, None]
    factors[..., 1:5] = attributes(characters)[:, None, None]
    factors[..., 5] = poses
    return factors.reshape(-1, N_FRAMES, 6)


def _composed(layers: Mapping[str, np.ndarray], characters: np.ndarray, rows: slice) -> np.ndarray:
    """Sequences of these rows, which are whole characters."""
    chosen = characters[rows.start // N_ACTIONS : rows.stop // N_ACTIONS]
    frames = np.stack([compose(layers, variants) for variants in attributes(chosen)])
    return frames.reshape(-1, N_FRAMES, 3, SIDE, SIDE)


def compose(layers: Mapping[str, np.ndarray], variants: np.ndarray) -> np.ndarray:
    """Frames (9, 8, 3, 64, 64) uint8 of one character: its layers over each other on black, as Pillow blends them.

    Args:
        layers: by part (n_variants, 9, 8, 64, 64, 4) uint8 RGBA.
        variants: of body, bottom, top and hair.
    """
    picture = Image.new("RGBA", (SIDE, N_ACTIONS * N_FRAMES * SIDE), "black")
    for part, variant in zip(PARTS, (*variants, 0), strict=True):
        layer = np.ascontiguousarray(layers[part][variant]).reshape(-1, SIDE, 4)
        picture = Image.alpha_composite(picture, Image.fromarray(layer))
    pixels = np.asarray(picture)[..., :3].reshape(N_ACTIONS, N_FRAMES, SIDE, SIDE, 3)
    return np.ascontiguousarray(pixels.transpose(0, 1, 4, 2, 3))


def _official_layers(root: Path) -> dict[str, np.ndarray]:
    if all(place(NAME, root, file).is_file() for file in SHEETS):
        return sheet_layers(root / NAME)
    return read_layers(place(NAME, root, LAYERS))


def sheet_layers(folder: Path) -> dict[str, np.ndarray]:
    """Layers of the sheets ``body/0.png`` … ``shoes/1.png``, by part (n_variants, 9, 8, 64, 64, 4) uint8.

    Raises:
        ValueError: a file is no PNG picture of 832 × 1344 pixels.
    """
    names = {part: [f"{part}/{i}.png" for i in range(N_VARIANTS)] for part in PARTS[:-1]} | {"shoes": ["shoes/1.png"]}
    return {part: np.stack([_cells_of(folder / name, name) for name in files]) for part, files in names.items()}


def _cells_of(path: Path, name: str) -> np.ndarray:
    try:
        with Image.open(path, formats=("PNG",)) as picture:
            if picture.size != _SHEET:
                raise ValueError(f"is {picture.size[0]} × {picture.size[1]}, wanted {_SHEET[0]} × {_SHEET[1]}")
            sheet = np.asarray(picture.convert("RGBA"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{NAME}/{name}: no sheet ({one_line(error, 150)})") from None
    cells = sheet.reshape(-1, SIDE, _COLUMNS, SIDE, 4).swapaxes(1, 2).reshape(-1, SIDE, SIDE, 4)
    return cells[CELLS]


def read_layers(path: Path) -> dict[str, np.ndarray]:
    """The layers of ``layers.npz``, by part.

    Raises:
        ValueError: not such a file, or an array of it has another shape.
    """
    name = f"{path.parent.name}/{path.name}"
    try:
        with np.load(path, allow_pickle=False) as file:
            layers = {part: file[part] for part in PARTS}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{name}: is damaged or another file ({one_line(error, 150)})") from None
    for part, array in layers.items():
        wanted = (1 if part == "shoes" else N_VARIANTS, N_ACTIONS, N_FRAMES, SIDE, SIDE, 4)
        if array.shape != wanted or array.dtype != np.uint8:
            raise ValueError(f"{name}: '{part}' is {array.shape} {array.dtype}, wanted {wanted} uint8")
    return layers
