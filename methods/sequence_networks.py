"""Networks of static/dynamic sequence models: frame encoders and decoders, posteriors of both codes, the LSTM prior.

Sizes are those of the released code of C-DSVAE (JunwenBai/C-DSVAE, model.py), which S3VAE, SPYL, DBSE and the judge
share; ``width`` scales the frame networks. Frames are folded into the batch wherever batch norms see them. Recurrences
and what follows them run in float32 whatever the loop's precision: rounding would add up over time, and they cost
little beside the convolutions.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from methods.networks import ConvTranspose2d, FullConv2d, FullConvTranspose2d
from methods.objectives import sample_gaussian


def per_frame(network: nn.Module, x: Tensor) -> Tensor:
    """The network's float32 outputs (batch, time, …) for each frame of x (batch, time, …)."""
    return network(x.flatten(0, 1)).float().unflatten(0, x.shape[:2])  # type: ignore[no-any-return]


def frame_encoder(observation_shape: tuple[int, ...], n_features: int, width: int = 64) -> nn.Sequential:
    """Frames (n, *observation) -> features (n, n_features): in (-1, 1) for images, any value for audio features.

    Args:
        width: channels of the first of five convolutions; they double three times. Published: 64. Audio frames pass a
            hidden layer of 4 · width units (no published network is known).

    Raises:
        ValueError: the observations are neither audio frames nor images with sides that are multiples of 16.
    """
    if len(observation_shape) == 1:
        return nn.Sequential(
            nn.Linear(observation_shape[0], 4 * width),
            nn.LeakyReLU(0.2),
            nn.Linear(4 * width, n_features),
            nn.LeakyReLU(0.2),
        )
    channels, inner = _image(observation_shape)
    layers: list[nn.Module] = []
    before = channels
    for after in (width, 2 * width, 4 * width, 8 * width):
        layers += [nn.Conv2d(before, after, 4, 2, 1), nn.BatchNorm2d(after), nn.LeakyReLU(0.2, inplace=True)]
        before = after
    layers += [FullConv2d(before, n_features, inner), nn.BatchNorm1d(n_features), nn.Tanh()]
    return nn.Sequential(*layers).apply(normal_linear_and_conv)


def frame_decoder(n_inputs: int, observation_shape: tuple[int, ...], width: int = 64) -> nn.Sequential:
    """Codes (n, n_inputs) -> frames (n, *observation): images in (0, 1), means of audio features without bounds.

    Args:
        width: channels before the last of five transposed convolutions, as in ``frame_encoder``.

    Raises:
        ValueError: as ``frame_encoder``.
    """
    if len(observation_shape) == 1:
        return nn.Sequential(
            nn.Linear(n_inputs, 2 * width),
            nn.LeakyReLU(0.2),
            nn.Linear(2 * width, 4 * width),
            nn.LeakyReLU(0.2),
            nn.Linear(4 * width, observation_shape[0]),
        )
    channels, inner = _image(observation_shape)
    layers: list[nn.Module] = [FullConvTranspose2d(n_inputs, 8 * width, inner)]
    before = 8 * width
    for after in (4 * width, 2 * width, width):
        layers += [nn.BatchNorm2d(before), nn.LeakyReLU(0.2, inplace=True), ConvTranspose2d(before, after, 4, 2, 1)]
        before = after
    layers += [nn.BatchNorm2d(before), nn.LeakyReLU(0.2, inplace=True), ConvTranspose2d(before, channels, 4, 2, 1)]
    return nn.Sequential(*layers, nn.Sigmoid())


def _image(shape: tuple[int, ...]) -> tuple[int, tuple[int, int]]:
    """Channels, and the sides that four halvings leave."""
    if len(shape) != 3 or any(side < 16 or side % 16 for side in shape[1:]):
        raise ValueError(
            "sequence networks need audio frames (features,) or images (channels, height, width) with sides that are "
            f"multiples of 16, got observations of shape {shape}"
        )
    return shape[0], (shape[1] // 16, shape[2] // 16)


@torch.no_grad()
def normal_linear_and_conv(module: nn.Module) -> None:
    """N(0, 0.01²) weights and zero biases for linear layers and convolutions.

    Transposed convolutions and recurrences keep torch's default: the released code's test for the layer's type does
    not match them. So do the audio networks here, which nobody published.
    """
    if isinstance(module, nn.Linear | nn.Conv2d):
        nn.init.normal_(module.weight, 0.0, 0.01)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


class Gaussian(NamedTuple):
    """A diagonal Gaussian and a sample of it, all of one shape, float32."""

    mean: Tensor
    log_var: Tensor
    sample: Tensor

    @classmethod
    def drawn(cls, parameters: tuple[Tensor, Tensor], generator: torch.Generator | None) -> Gaussian:
        """Of a mean and a log-variance, with one reparametrised sample; without a generator the mean is the sample."""
        mean, log_var = parameters
        return cls(mean, log_var, mean if generator is None else sample_gaussian(mean, log_var, generator))


class Posterior(NamedTuple):
    """q(s|x), (batch, n_static), and q(z_t|…), (batch, time, n_dynamic)."""

    static: Gaussian
    dynamic: Gaussian


class GaussianHead(nn.Module):
    """Mean and log-variance as two linear maps, each followed by a LeakyReLU(0.2) where ``is_rectified``."""

    def __init__(self, n_inputs: int, n_outputs: int, is_rectified: bool = False) -> None:
        super().__init__()
        self.mean = nn.Linear(n_inputs, n_outputs)
        self.log_var = nn.Linear(n_inputs, n_outputs)
        self.activation = nn.LeakyReLU(0.2) if is_rectified else nn.Identity()
        self.apply(normal_linear_and_conv)

    def forward(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        return self.activation(self.mean(hidden)), self.activation(self.log_var(hidden))


def ends(hidden: Tensor) -> Tensor:
    """What a bidirectional recurrence (batch, time, 2 n_hidden) knows at its ends: last forward, first backward."""
    forward, backward = hidden.chunk(2, dim=-1)
    return torch.cat([forward[:, -1], backward[:, 0]], dim=-1)


class SharedPosterior(nn.Module):
    """One bi-LSTM for both codes: its ends give q(s|x), a tanh RNN over its outputs gives q(z_t|x).

    As released with C-DSVAE and S3VAE (``is_rectified``) and SPYL (not). Neither z_<t nor s enters q(z_t|x).
    """

    def __init__(
        self, n_features: int, n_hidden: int, n_static: int, n_dynamic: int, is_rectified: bool = True
    ) -> None:
        super().__init__()
        self.lstm = nn.LSTM(n_features, n_hidden, batch_first=True, bidirectional=True)
        self.static = GaussianHead(2 * n_hidden, n_static, is_rectified)
        self.rnn = nn.RNN(2 * n_hidden, n_hidden, batch_first=True)
        self.dynamic = GaussianHead(n_hidden, n_dynamic)

    def forward(self, features: Tensor, generator: torch.Generator | None = None) -> Posterior:
        """Posteriors of features (batch, time, n_features); without a generator their means stand for samples."""
        with torch.autocast(features.device.type, enabled=False):
            hidden, _ = self.lstm(features)
            static = Gaussian.drawn(self.static(ends(hidden)), generator)
            steps, _ = self.rnn(hidden)
            return Posterior(static, Gaussian.drawn(self.dynamic(steps), generator))


class FactorisedPosterior(nn.Module):
    """q(s|x) from a bi-LSTM and q(z_t|x_t) from each frame alone (Li & Mandt's factorised q)."""

    def __init__(
        self, n_features: int, n_hidden: int, n_static: int, n_dynamic: int, is_rectified: bool = False
    ) -> None:
        super().__init__()
        self.lstm = nn.LSTM(n_features, n_hidden, batch_first=True, bidirectional=True)
        self.static = GaussianHead(2 * n_hidden, n_static, is_rectified)
        self.hidden = nn.Sequential(nn.Linear(n_features, n_hidden), nn.LeakyReLU(0.2)).apply(normal_linear_and_conv)
        self.dynamic = GaussianHead(n_hidden, n_dynamic)

    def forward(self, features: Tensor, generator: torch.Generator | None = None) -> Posterior:
        """As ``SharedPosterior.forward``."""
        with torch.autocast(features.device.type, enabled=False):
            hidden, _ = self.lstm(features)
            static = Gaussian.drawn(self.static(ends(hidden)), generator)
            return Posterior(static, Gaussian.drawn(self.dynamic(self.hidden(features)), generator))


class FullPosterior(nn.Module):
    """q(s|x) from a bi-LSTM and q(z_t|x, s) from a second one that reads s beside each frame (Li & Mandt's full q)."""

    def __init__(
        self, n_features: int, n_hidden: int, n_static: int, n_dynamic: int, is_rectified: bool = False
    ) -> None:
        super().__init__()
        self.lstm = nn.LSTM(n_features, n_hidden, batch_first=True, bidirectional=True)
        self.static = GaussianHead(2 * n_hidden, n_static, is_rectified)
        self.dynamic_lstm = nn.LSTM(n_features + n_static, n_hidden, batch_first=True, bidirectional=True)
        self.rnn = nn.RNN(2 * n_hidden, n_hidden, batch_first=True)
        self.dynamic = GaussianHead(n_hidden, n_dynamic)

    def forward(self, features: Tensor, generator: torch.Generator | None = None) -> Posterior:
        """As ``SharedPosterior.forward``; q(z_t|x, s) is that of the sampled s."""
        with torch.autocast(features.device.type, enabled=False):
            hidden, _ = self.lstm(features)
            static = Gaussian.drawn(self.static(ends(hidden)), generator)
            repeated = static.sample[:, None].expand(-1, features.shape[1], -1)
            hidden, _ = self.dynamic_lstm(torch.cat([features, repeated], dim=-1))
            steps, _ = self.rnn(hidden)
            return Posterior(static, Gaussian.drawn(self.dynamic(steps), generator))


class CausalPosterior(nn.Module):
    """q(s|x) from a bi-LSTM and q(z_t|z_<t, x_≤t) from an LSTM that is fed each frame and the code before it.

    What Eq. 2 of C-DSVAE describes; sampling is nested as in the prior, and z_0 = 0.
    """

    def __init__(self, n_features: int, n_hidden: int, n_static: int, n_dynamic: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(n_features, n_hidden, batch_first=True, bidirectional=True)
        self.static = GaussianHead(2 * n_hidden, n_static)
        self.dynamic_lstm = nn.LSTM(n_features + n_dynamic, n_hidden, batch_first=True)
        self.dynamic = GaussianHead(n_hidden, n_dynamic)
        self.n_dynamic = n_dynamic

    def forward(self, features: Tensor, generator: torch.Generator | None = None) -> Posterior:
        """As ``SharedPosterior.forward``; without a generator the means are fed back."""
        with torch.autocast(features.device.type, enabled=False):
            hidden, _ = self.lstm(features)
            static = Gaussian.drawn(self.static(ends(hidden)), generator)
            z = features.new_zeros(len(features), self.n_dynamic)
            state, steps = None, []
            for feature in features.unbind(1):
                out, state = self.dynamic_lstm(torch.cat([feature, z], dim=-1)[:, None], state)
                steps.append(Gaussian.drawn(self.dynamic(out[:, 0]), generator))
                z = steps[-1].sample
            mean, log_var, sample = (torch.stack(parts, dim=1) for parts in zip(*steps, strict=True))
            return Posterior(static, Gaussian(mean, log_var, sample))

    def teacher_forced(self, features: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Means and log-variances (batch, time, n_dynamic) of q(z_t|z_<t, x_≤t) for given z of that shape."""
        with torch.autocast(features.device.type, enabled=False):
            out, _ = self.dynamic_lstm(torch.cat([features, delayed(z)], dim=-1))
            mean, log_var = self.dynamic(out)
            return mean, log_var


def delayed(z: Tensor) -> Tensor:
    """z_0 = 0, z_1, …, z_{T-1} of z (batch, time, n_dynamic): what a model of z_t given the past is fed."""
    return torch.cat([torch.zeros_like(z[:, :1]), z[:, :-1]], dim=1)


class LSTMPrior(nn.Module):
    """p(z_t|z_<t): two LSTM layers fed z_{t-1} (z_0 = 0, zero states), then linear means and log-variances."""

    def __init__(self, n_dynamic: int, n_hidden: int, n_layers: int = 2) -> None:
        super().__init__()
        # torch's LSTM of n layers has the weights, and their initial law, of n LSTMCells
        self.lstm = nn.LSTM(n_dynamic, n_hidden, n_layers, batch_first=True)
        self.head = GaussianHead(n_hidden, n_dynamic)
        self.n_dynamic = n_dynamic

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Means and log-variances (batch, time, n_dynamic) of p(z_t|z_<t) for given z (teacher forcing)."""
        with torch.autocast(z.device.type, enabled=False):
            out, _ = self.lstm(delayed(z))
            mean, log_var = self.head(out)
            return mean, log_var

    def rollout(self, n: int, n_frames: int, generator: torch.Generator) -> Gaussian:
        """n trajectories of the prior, each (n, n_frames, n_dynamic); samples are fed back, not means."""
        device = self.head.mean.weight.device
        with torch.autocast(device.type, enabled=False):
            z = torch.zeros(n, self.n_dynamic, device=device)
            state, steps = None, []
            for _ in range(n_frames):
                out, state = self.lstm(z[:, None], state)
                steps.append(Gaussian.drawn(self.head(out[:, 0]), generator))
                z = steps[-1].sample
            mean, log_var, sample = (torch.stack(parts, dim=1) for parts in zip(*steps, strict=True))
            return Gaussian(mean, log_var, sample)
