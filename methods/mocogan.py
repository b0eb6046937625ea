"""MoCoGAN (Tulyakov, Liu, Yang & Kautz, CVPR 2018): a GAN of videos with one code for content and a path for motion."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, conv3d

from bench.api import Batch, DataSpec, Method, MethodCard, MethodConfig
from bench.registry import register_method
from methods.parameters import check_at_least, check_training


@dataclass(frozen=True)
class MoCoGANConfig(MethodConfig):
    """Defaults of the authors' train.py.

    Attributes:
        batch_size: sequences of a step; one random frame of each goes to the image discriminator.
        video_batch: how many of them go whole to the video discriminator.
        width: channels of each network's outermost layer.
        n_static: content z_C.
        n_dynamic: motion z_M of a frame.
        noise: standard deviation of what is added to the inputs of the discriminators' layers.
    """

    n_steps: int = 100_000
    batch_size: int = 10
    learning_rate: float = 2e-4
    video_batch: int = 3
    width: int = 64
    n_static: int = 50
    n_dynamic: int = 10
    noise: float = 0.0

    def __post_init__(self) -> None:
        check_training("mocogan", self)
        check_at_least("mocogan", self, 2, "batch_size", "video_batch")  # batch norms
        check_at_least("mocogan", self, 1, "width", "n_static", "n_dynamic")
        check_at_least("mocogan", self, 0, "noise")
        if self.video_batch > self.batch_size:
            raise ValueError(
                f"mocogan: parameter 'video_batch' must be at most batch_size = {self.batch_size}, "
                f"got {self.video_batch}"
            )


CARD = MethodCard(
    title="MoCoGAN",
    paper="Tulyakov, Liu, Yang & Kautz, MoCoGAN: Decomposing Motion and Content for Video Generation, CVPR 2018",
    summary="A GAN whose videos come from one content code and a recurrent path of motion codes, judged as frames and "
    "as videos.",
    family="sequential",
    view="sequences",
    budgets={
        "smoke": {"n_steps": 20, "batch_size": 4, "video_batch": 2, "width": 8},
        "quick": {"n_steps": 1_200, "learning_rate": 1e-3, "width": 16},
        "standard": {"n_steps": 8_000},
        "paper": {},
    },
    verified="Losses in closed form; no gradient crosses between the players; shapes and parameter counts of all "
    "networks against the released sizes. Published scores are not reproduced yet.",
    source="Eqs. 3-7 of the paper without categories; networks, losses and optimisers of sergeytulyakov/mocogan, "
    "src/models.py (VideoGenerator, PatchImageDiscriminator, CategoricalVideoDiscriminator) and src/trainers.py.",
    notes="No categories. The released script's options ask the video discriminator for the actions' labels "
    "(use_categories) and the generator for a category that can be read off each video (use_infogan), which tells "
    "them what the other methods are not told. Both are off by default there; what is then left of six categories is a "
    "random one-hot input of the generator and outputs of the video discriminator that nothing trains, neither of "
    "which is here. The released video discriminator needs 16 "
    "frames (16, 13, 10, 7, 4, 1 in time). For shorter videos its four strided layers have smaller kernels in time, "
    "so that 4 frames are left for the last: 2, 2, 2, 2 for 8 frames, 4, 4, 4, 3 for 15; this is the suite's choice. "
    "Longer ones leave several logits, as there. Initial weights are those of torch 0.2, which the authors' Dockerfile "
    "installs: batch norms' scales uniform in [0, 1], transposed convolutions by their number of inputs. The authors "
    "draw images and videos by two independent samplers and fake frames without replacement from 2 T fake videos per "
    "image; here real images are frames of the step's sequences and each fake frame is of a fake video of its own. "
    "Generated frames lie in [-1, 1] inside and are given as [0, 1]. noise is added before every layer that the "
    "released code adds it before (all but the video discriminator's last). There is no encoder: scores that read "
    "codes do not apply, and what a judge sees are samples. A step at budget quick takes 0.08 s on one core on "
    "Sprites. That budget shows what training costs, not what it reaches: after 500 steps, at five times the published "
    "learning rate, coloured figures move before a background that is still grey.",
)


@register_method("mocogan", config=MoCoGANConfig, card=CARD)
class MoCoGAN(Method):
    """A video generator against a discriminator of frames and one of videos. Sees sequences of 64 × 64 images."""

    players = ("image_discriminator", "video_discriminator", "generator")

    def __init__(self, config: MoCoGANConfig, data: DataSpec) -> None:
        super().__init__()
        if len(data.observation_shape) != 3 or data.observation_shape[1:] != (64, 64):
            raise ValueError(f"mocogan: needs images of 64 × 64, got observations of {data.observation_shape}")
        if data.n_frames < 4:
            raise ValueError(f"mocogan: needs sequences of at least 4 frames, got {data.n_frames}")
        self.config, self.n_frames = config, data.n_frames
        channels, width, noise = data.observation_shape[0], config.width, config.noise
        self.generator = VideoGenerator(channels, width, config.n_static, config.n_dynamic)
        self.image_discriminator = image_discriminator(channels, width, noise)
        self.video_discriminator = video_discriminator(channels, width, data.n_frames, noise)
        self.apply(initialise_as_torch_02)

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Three equal Adams with an L2 penalty."""
        rate = self.config.learning_rate
        return {
            player: torch.optim.Adam(
                self.player_parameters(player), lr=rate, betas=(0.5, 0.999), weight_decay=1e-5, fused=True
            )
            for player in self.players
        }

    def losses(self, batch: Batch, generator: torch.Generator, player: str = "model") -> dict[str, Tensor]:
        """``loss`` of the player; the generator's is the sum of ``image`` and ``video``."""
        if player == "generator":
            image = against(self.image_discriminator(self._fake_frames(len(batch.x), generator), generator), 1.0)
            fakes = self._fakes(self.config.video_batch, generator)
            video = against(self.video_discriminator(fakes.transpose(1, 2), generator), 1.0)
            return {"loss": image + video, "image": image, "video": video}
        real = 2 * batch.x - 1
        if player == "image_discriminator":
            frames = random_frames(real, generator)
            with torch.no_grad():
                fakes = self._fake_frames(len(real), generator)
            return {"loss": discriminator_loss(self.image_discriminator, frames, fakes, generator)}
        videos = real[: self.config.video_batch].transpose(1, 2)
        with torch.no_grad():
            fakes = self._fakes(len(videos), generator).transpose(1, 2)
        return {"loss": discriminator_loss(self.video_discriminator, videos, fakes, generator)}

    def _fakes(self, n: int, generator: torch.Generator) -> Tensor:
        """Generated videos (n, time, channels, 64, 64) in [-1, 1]."""
        codes = self.sample_prior(n, self.n_frames, generator)
        return self.generator(codes["static"], codes["dynamic"])  # type: ignore[no-any-return]

    def _fake_frames(self, n: int, generator: torch.Generator) -> Tensor:
        """One random frame each of n generated videos, (n, channels, 64, 64) in [-1, 1]."""
        codes = self.sample_prior(n, self.n_frames, generator)
        motion = random_frames(codes["dynamic"], generator)[:, None]
        return self.generator(codes["static"], motion)[:, 0]  # type: ignore[no-any-return]

    def sample_prior(self, n: int, n_frames: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Content z_C ~ N(0, I) (n, n_static) and a path of motion z_M (n, n_frames, n_dynamic)."""
        static = torch.randn(n, self.config.n_static, generator=generator, device=generator.device)
        return {"static": static, "dynamic": self.generator.motion(n, n_frames, generator)}

    def generate(self, static: Tensor, dynamic: Tensor) -> Tensor:
        """Videos (batch, time, channels, 64, 64) in [0, 1] of content (batch, n_static) and motion (batch, time, n)."""
        return 0.5 * (self.generator(static, dynamic) + 1)  # type: ignore[no-any-return]


class VideoGenerator(nn.Module):
    """Content (n, n_static) and motion (n, time, n_dynamic) -> frames (n, time, channels, 64, 64) in [-1, 1]."""

    def __init__(self, channels: int, width: int, n_static: int, n_dynamic: int) -> None:
        super().__init__()
        self.recurrent = nn.GRUCell(n_dynamic, n_dynamic)
        layers: list[nn.Module] = [nn.ConvTranspose2d(n_static + n_dynamic, 8 * width, 4, 1, 0, bias=False)]
        for before, after in pairwise((8 * width, 4 * width, 2 * width, width)):
            layers += [nn.BatchNorm2d(before), nn.ReLU(), nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False)]
        layers += [nn.BatchNorm2d(width), nn.ReLU(), nn.ConvTranspose2d(width, channels, 4, 2, 1, bias=False)]
        self.frames = nn.Sequential(*layers)

    def motion(self, n: int, n_frames: int, generator: torch.Generator) -> Tensor:
        """Paths (n, n_frames, n_dynamic): states of a recurrent cell that is fed and started with N(0, I)."""
        shape = (n_frames + 1, n, self.recurrent.hidden_size)
        noise = torch.randn(shape, generator=generator, device=generator.device)
        state, path = noise[0], []
        for step in noise[1:]:
            state = self.recurrent(step, state).float()
            path.append(state)
        return torch.stack(path, 1)

    def forward(self, static: Tensor, dynamic: Tensor) -> Tensor:
        n, n_frames = dynamic.shape[:2]
        z = torch.cat([static[:, None].expand(-1, n_frames, -1), dynamic], -1).flatten(0, 1)
        return self.frames(z[:, :, None, None]).float().tanh().unflatten(0, (n, n_frames))


class Discriminator(nn.Module):
    """Blocks with noise of standard deviation ``noise`` added before each, and a last layer without."""

    def __init__(self, blocks: list[nn.Module], last: nn.Module, noise: float) -> None:
        super().__init__()
        self.blocks, self.last, self.noise = nn.ModuleList(blocks), last, noise

    def forward(self, x: Tensor, generator: torch.Generator) -> Tensor:
        for block in self.blocks:
            if self.noise:
                x = x + self.noise * torch.randn(x.shape, generator=generator, device=x.device)
            x = block(x)
        return self.last(x).float()  # type: ignore[no-any-return]


class VideoConv(nn.Module):
    """A convolution of videos (n, channels, time, height, width), 4 × 4 in space; stride and padding are of space.

    Its weight has four axes, inputs and time together: the training loop's memory format knows no more.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int, padding: int) -> None:
        super().__init__()
        self.in_channels, self.kernel_size = in_channels, (kernel, 4, 4)
        self.stride, self.padding = (1, stride, stride), (0, padding, padding)
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels * kernel, 4, 4))
        initialise_as_torch_02(self)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight.unflatten(1, (self.in_channels, self.kernel_size[0]))
        return conv3d(x, weight, stride=self.stride, padding=self.padding)


def image_discriminator(channels: int, width: int, noise: float) -> Discriminator:
    """Frames (n, channels, 64, 64) -> logits (n, 1, 4, 4) that patches of them are real."""
    blocks: list[nn.Module] = [nn.Sequential(nn.Conv2d(channels, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2))]
    for before, after in ((width, 2 * width), (2 * width, 4 * width)):
        convolution = nn.Conv2d(before, after, 4, 2, 1, bias=False)
        blocks.append(nn.Sequential(convolution, nn.BatchNorm2d(after), nn.LeakyReLU(0.2)))
    blocks.append(nn.Conv2d(4 * width, 1, 4, 2, 1, bias=False))
    return Discriminator(blocks, nn.Identity(), noise)


def video_discriminator(channels: int, width: int, n_frames: int, noise: float) -> Discriminator:
    """Videos (n, channels, n_frames, 64, 64) -> logits (n, 1, times, 1, 1) that they are real, one for ≤ 16 frames."""
    blocks: list[nn.Module] = []
    before = channels
    for i, kernel in enumerate(kernels_in_time(n_frames)):
        after = width * 2**i
        layers: list[nn.Module] = [VideoConv(before, after, kernel, 2, 1)]
        if i:
            layers.append(nn.BatchNorm3d(after))
        blocks.append(nn.Sequential(*layers, nn.LeakyReLU(0.2)))
        before = after
    return Discriminator(blocks, VideoConv(before, 1, 4, 1, 0), noise)


def kernels_in_time(n_frames: int) -> tuple[int, ...]:
    """Sizes in time, 4 at most, of the four strided layers, such that 4 frames of ``n_frames`` (≥ 4) are left."""
    lost = min(n_frames - 4, 12)
    return tuple(1 + lost // 4 + (i < lost % 4) for i in range(4))


def random_frames(x: Tensor, generator: torch.Generator) -> Tensor:
    """One frame of each item of x (n, time, …), (n, …), all equally likely."""
    n, n_frames = x.shape[:2]
    time = torch.randint(n_frames, (n,), generator=generator, device=x.device)
    return x[torch.arange(n, device=x.device), time]


def against(logits: Tensor, label: float) -> Tensor:
    """Mean cross-entropy of a discriminator's logits and one label."""
    return binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))


def discriminator_loss(network: nn.Module, real: Tensor, fake: Tensor, generator: torch.Generator) -> Tensor:
    """Cross-entropy of real observations against 1 plus that of fake ones against 0, batch norms over each apart."""
    return against(network(real, generator), 1.0) + against(network(fake, generator), 0.0)


@torch.no_grad()
def initialise_as_torch_02(module: nn.Module) -> None:
    """Initial weights of torch 0.2: convolutions uniform by their number of inputs, batch norms' scales in [0, 1]."""
    if isinstance(module, nn.Conv2d | VideoConv | nn.ConvTranspose2d):
        bound = 1 / math.sqrt(module.in_channels * math.prod(module.kernel_size))
        module.weight.uniform_(-bound, bound)
    elif isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
        module.weight.uniform_(0, 1)
