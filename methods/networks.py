"""Encoders and decoders of image VAEs, and the pair of them that methods train.

The networks hold no precision and no memory format of their own: under autocast they run in the loop's precision, and
they keep the format their weights were given. What ``GaussianVAE`` returns is float32 whatever ran inside.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn.functional import conv_transpose2d, linear


class GaussianVAE(nn.Module):
    """An encoder that gives means and log-variances side by side, and a decoder that gives Bernoulli logits.

    Args:
        encoder: frames (n, *observation) -> (n, 2 * n_latents), means first.
        decoder: z (n, n_latents) -> logits (n, *observation).
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def posterior(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z|x), each (n, n_latents) float32, of frames (n, *observation)."""
        mean, log_var = self.encoder(frames).float().chunk(2, dim=-1)
        return mean, log_var

    def logits(self, z: Tensor) -> Tensor:
        """Logits of the pixels, (n, *observation) float32, of z (n, n_latents)."""
        return self.decoder(z).float()

    def encode(self, x: Tensor) -> Tensor:
        """Posterior means (batch, time, n_latents) of x (batch, time, *observation)."""
        mean, _ = self.posterior(x.flatten(0, 1))
        return mean.unflatten(0, x.shape[:2])

    def decode(self, codes: Tensor) -> Tensor:
        """Pixel means in [0, 1], (n, *observation), of codes (n, n_latents)."""
        return self.logits(codes).sigmoid()


def slowvae_network(observation_shape: tuple[int, ...], n_latents: int) -> GaussianVAE:
    """The network of SlowVAE's released code (bethgelab/slow_disentanglement, scripts/model.py), freshly drawn.

    Published for 64×64 images. Other sides that are multiples of 16 change the kernel of the innermost layers, which
    spans what four halvings leave: 4×4 at 64×64.

    Raises:
        ValueError: the observations are not images of such a size.
    """
    if len(observation_shape) != 3 or any(side < 16 or side % 16 for side in observation_shape[1:]):
        raise ValueError(
            f"the convolutional network needs images (channels, height, width) with sides that are multiples of 16, "
            f"got observations of shape {observation_shape}; network=flow takes multiples of 4"
        )
    channels, height, width = observation_shape
    inner = (height // 16, width // 16)
    encoder = nn.Sequential(
        nn.Conv2d(channels, 32, 4, 2, 1),
        nn.ReLU(inplace=True),
        nn.Conv2d(32, 32, 4, 2, 1),
        nn.ReLU(inplace=True),
        nn.Conv2d(32, 64, 4, 2, 1),
        nn.ReLU(inplace=True),
        nn.Conv2d(64, 64, 4, 2, 1),
        nn.ReLU(inplace=True),
        FullConv2d(64, 256, inner),
        nn.ReLU(inplace=True),
        nn.Linear(256, 2 * n_latents),
    )
    decoder = nn.Sequential(
        nn.Linear(n_latents, 256),
        nn.ReLU(inplace=True),
        FullConvTranspose2d(256, 64, inner),
        nn.ReLU(inplace=True),
        ConvTranspose2d(64, 64, 4, 2, 1),
        nn.ReLU(inplace=True),
        ConvTranspose2d(64, 32, 4, 2, 1),
        nn.ReLU(inplace=True),
        ConvTranspose2d(32, 32, 4, 2, 1),
        nn.ReLU(inplace=True),
        ConvTranspose2d(32, channels, 4, 2, 1),
    )
    network = GaussianVAE(encoder, decoder)
    network.apply(kaiming_linear_and_conv)
    return network


@torch.no_grad()
def kaiming_linear_and_conv(module: nn.Module) -> None:
    """Kaiming-normal weights (fan in, gain √2) and zero biases for linear layers and convolutions.

    Transposed convolutions keep torch's default: the released code's test for the layer type does not match them.
    """
    if isinstance(module, nn.Linear | nn.Conv2d):
        nn.init.kaiming_normal_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


# The three layers below are torch's own with the same parameters and the same results up to rounding; they differ in
# how the CPU computes them. One thread, bfloat16, channels_last, a step of 64 frames: 90 ms with torch's, 61 ms so.


class FullConv2d(nn.Conv2d):
    """A convolution whose kernel spans its whole input, computed as the linear map it is: output (n, out_channels)."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: tuple[int, int]) -> None:
        super().__init__(in_channels, out_channels, kernel_size)

    def forward(self, x: Tensor) -> Tensor:
        # Channels last in both, which is how the loop's memory format already stores them: no copy.
        return linear(x.permute(0, 2, 3, 1).flatten(1), self.weight.permute(0, 2, 3, 1).flatten(1), self.bias)


class FullConvTranspose2d(nn.ConvTranspose2d):
    """A transposed convolution from one pixel, (n, in_channels), computed as the linear map it is."""

    bias: Tensor

    def __init__(self, in_channels: int, out_channels: int, kernel_size: tuple[int, int]) -> None:
        super().__init__(in_channels, out_channels, kernel_size)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        y = x @ self.weight.permute(0, 2, 3, 1).flatten(1)
        y = y.unflatten(1, (*self.kernel_size, self.out_channels)) + self.bias.to(y.dtype)
        return y.permute(0, 3, 1, 2)


class ConvTranspose2d(nn.ConvTranspose2d):
    """A transposed convolution whose bias gradient is a plain sum; oneDNN's takes as long as the rest of the layer."""

    bias: Tensor

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int, padding: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        if x.device.type != "cpu" or not torch.is_grad_enabled():
            return super().forward(x, output_size)
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
        tensors = (tensor.to(dtype) for tensor in (x, self.weight, self.bias))
        return _ConvTranspose.apply(*tensors, self.stride, self.padding)


class _ConvTranspose(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx, x: Tensor, weight: Tensor, bias: Tensor, stride: tuple[int, ...], padding: tuple[int, ...]
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.geometry = stride, padding  # type: ignore[attr-defined]
        return conv_transpose2d(x, weight, bias, stride, padding)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors  # type: ignore[attr-defined]
        stride, padding = ctx.geometry  # type: ignore[attr-defined]
        needs = [ctx.needs_input_grad[0], ctx.needs_input_grad[1], False]  # type: ignore[attr-defined]
        grad_x, grad_weight, _ = torch.ops.aten.convolution_backward(
            grad, x, weight, None, stride, padding, (1, 1), True, (0, 0), 1, needs
        )
        return grad_x, grad_weight, grad.sum((0, 2, 3)), None, None
