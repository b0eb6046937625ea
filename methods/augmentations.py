"""Augmentations of sequences (batch, time, *observation): another order of frames, or another look of all of them.

Each sequence draws its parameters once, from the given generator, and all of its frames share them: what changed from
frame to frame would be motion. Nothing is flipped, as direction is a label of the data sets at hand. The colour
operations are those of SimCLR (Chen et al., ICML 2020) as torchvision defines them; here they act in one fixed order,
and contrast turns about the mean of the whole sequence, not of each frame.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import grid_sample, pad

Order = Literal["either", "shuffle", "reverse"]
JITTER = 0.8  # brightness, contrast and saturation are multiplied by U(0.2, 1.8)
HUE = 0.2  # turns of the colour circle, to either side
SIGMA = (0.1, 2.0)  # of the blur, in pixels; its kernel is 3 × 3
AREA = (0.8, 1.0)  # share of the frame that a crop keeps
RATIO = (3 / 4, 4 / 3)  # of a crop's width to its height
PROBABILITY = {"jitter": 0.8, "grey": 0.2, "blur": 0.5, "crop": 0.5}
LUMA = (0.2989, 0.587, 0.114)


def reordered(x: Tensor, generator: torch.Generator, order: Order = "either") -> Tensor:
    """x (batch, time, …) with the frames of each sequence permuted at random, reversed, or one of the two by a coin."""
    batch, time = x.shape[:2]
    device = x.device
    shuffled = torch.rand(batch, time, generator=generator, device=device).argsort(1)
    backwards = torch.arange(time - 1, -1, -1, device=device).expand(batch, -1)
    if order == "either":
        chosen = torch.where(torch.rand(batch, 1, generator=generator, device=device) < 0.5, shuffled, backwards)
    else:
        chosen = shuffled if order == "shuffle" else backwards
    return x[torch.arange(batch, device=device)[:, None], chosen]


def restyled(x: Tensor, generator: torch.Generator) -> Tensor:
    """Images x (batch, time, channels, height, width) in [0, 1] with colours, sharpness and framing changed.

    Colour jitter, grey, Gaussian blur and a resized crop, each for some of the sequences (``PROBABILITY``). Saturation,
    hue and grey leave images of one channel as they are. Draws are equally many whatever they decide.
    """
    batch = len(x)

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(batch, generator=generator, device=x.device)

    def where(name: str, changed: Tensor, x: Tensor) -> Tensor:
        return torch.where(_per_sequence(uniform(0, 1) < PROBABILITY[name]), changed, x)

    jittered = adjust_brightness(x, uniform(1 - JITTER, 1 + JITTER))
    jittered = adjust_contrast(jittered, uniform(1 - JITTER, 1 + JITTER))
    saturation, turns = uniform(1 - JITTER, 1 + JITTER), uniform(-HUE, HUE)
    if x.shape[2] == 3:
        jittered = rotate_hue(adjust_saturation(jittered, saturation), turns)
    x = where("jitter", jittered, x)
    x = where("grey", grey(x).expand_as(x), x)
    x = where("blur", blur(x, uniform(*SIGMA)), x)
    area, log_ratio = uniform(*AREA), uniform(math.log(RATIO[0]), math.log(RATIO[1]))
    return where("crop", crop(x, *box(area, log_ratio.exp(), uniform(0, 1), uniform(0, 1))), x)


def adjust_brightness(x: Tensor, factor: Tensor) -> Tensor:
    """x · factor (batch,), cut to [0, 1]."""
    return (x * _per_sequence(factor)).clamp(0, 1)


def adjust_contrast(x: Tensor, factor: Tensor) -> Tensor:
    """Distances from the sequence's mean grey value, times factor (batch,)."""
    mean = grey(x).mean((1, 2, 3, 4), keepdim=True)
    return (mean + (x - mean) * _per_sequence(factor)).clamp(0, 1)


def adjust_saturation(x: Tensor, factor: Tensor) -> Tensor:
    """Distances from each pixel's grey value, times factor (batch,)."""
    shade = grey(x)
    return (shade + (x - shade) * _per_sequence(factor)).clamp(0, 1)


def grey(x: Tensor) -> Tensor:
    """Luma (batch, time, 1, height, width) of three channels; one channel is itself."""
    if x.shape[2] == 1:
        return x
    red, green, blue = x.unbind(2)
    return (LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue)[:, :, None]


def rotate_hue(x: Tensor, turns: Tensor) -> Tensor:
    """Colours x turned about the circle of HSV by turns (batch,); value and saturation stay."""
    red, green, blue = x.unbind(2)
    value, low = x.amax(2), x.amin(2)
    chroma = value - low
    safe = chroma.clamp_min(1e-8)  # greys have no hue: what is computed for them is multiplied by a chroma of 0
    sixths = torch.where(value == red, (green - blue) / safe, 2 + (blue - red) / safe)
    is_blue = (value == blue) & (value != red) & (value != green)
    sixths = torch.where(is_blue, 4 + (red - green) / safe, sixths) + 6 * _per_sequence(turns)[:, :, 0]
    channels = []
    for offset in (5, 3, 1):
        k = (offset + sixths) % 6
        channels.append(value - chroma * torch.minimum(k, 4 - k).clamp(0, 1))
    return torch.stack(channels, dim=2)


def blur(x: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur by a 3 × 3 kernel of width sigma (batch,), edges reflected."""
    side = _per_sequence((-0.5 / sigma**2).exp())
    x = pad(x.flatten(0, 1), (1, 1, 1, 1), mode="reflect").unflatten(0, x.shape[:2])
    x = (x[..., 1:-1] + side * (x[..., :-2] + x[..., 2:])) / (1 + 2 * side)
    return (x[..., 1:-1, :] + side * (x[..., :-2, :] + x[..., 2:, :])) / (1 + 2 * side)


def box(area: Tensor, ratio: Tensor, across: Tensor, down: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Left, top, width and height, each (batch,) in parts of the frame, of boxes that lie in it.

    Args:
        area, ratio: share of the frame and width / height; a side that would be longer than the frame is cut to it.
        across, down: where in the room that is left the box lies, 0 … 1.
    """
    width, height = (area * ratio).sqrt().clamp_max(1), (area / ratio).sqrt().clamp_max(1)
    return across * (1 - width), down * (1 - height), width, height


def crop(x: Tensor, left: Tensor, top: Tensor, width: Tensor, height: Tensor) -> Tensor:
    """The box of each sequence, one for all of its frames, stretched bilinearly to the frame's size."""
    n_rows, n_columns = x.shape[-2:]

    def places(n: int, start: Tensor, length: Tensor) -> Tensor:
        """Pixel centres of the new frame in the old one, which spans (-1, 1): (batch, n)."""
        centres = (torch.arange(n, device=x.device) + 0.5) / n
        return 2 * (start[:, None] + length[:, None] * centres) - 1

    across, down = places(n_columns, left, width), places(n_rows, top, height)
    shape = (len(x), n_rows, n_columns)
    grid = torch.stack([across[:, None].expand(shape), down[:, :, None].expand(shape)], dim=-1)
    found = grid_sample(x.flatten(1, 2), grid, padding_mode="border", align_corners=False)
    return found.unflatten(1, x.shape[1:3])


def _per_sequence(values: Tensor) -> Tensor:
    """(batch,) -> (batch, 1, 1, 1, 1)."""
    return values[:, None, None, None, None]
