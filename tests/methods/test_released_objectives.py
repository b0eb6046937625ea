"""The released losses of FFRL, STA and PoFlow as wholes, against their arithmetic written out flow by flow.

Nothing of ``flow_calculus``, ``flow_objectives`` or ``speeds`` is used on the other side: potentials are evaluated one
at a time from their weights, one time shared by the batch, as KingJamesSong/latent-flow and PDETraversal do.
"""

import math

import pytest
import torch
from torch.autograd import grad
from torch.distributions import Laplace, Normal, kl_divergence
from torch.nn.functional import binary_cross_entropy, gelu

from bench.api import Batch, DataSpec
from methods.ffrl import FFRL, FFRLConfig
from methods.ffrl_weak import FFRLWeak, FFRLWeakConfig
from methods.poflow import PoFlow, PoFlowConfig
from methods.sta import STA, STAConfig

N, MOVES, FLOWS, WIDTH = 5, 3, 3, 8
SPEC = DataSpec((1, 8, 8), MOVES + 1, 50, transformations=("a", "b", "c"))
STEP, N_STEPS = 930, 1_000


@pytest.fixture
def x():
    return torch.rand(N, MOVES + 1, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def build(cls, config):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        method = cls(config, SPEC)
        if getattr(method, "diffused", None) is not None:
            method.diffused.sigma.data.uniform_(0.5, 1.5)
        return method


def generator():
    return torch.Generator().manual_seed(3)


def potential(networks, k):
    """u_k(z, t) of z (n, width) and one t for all, (1,): (n, 1)."""

    def u(z, t):
        rates = 10_000 ** (-torch.arange(WIDTH // 2) / (WIDTH // 2 - 1))
        time = torch.cat([(t * rates).sin(), (t * rates).cos()])
        weight = {name: (p[k]) for name, p in networks.named_parameters()}
        h = torch.tanh(z @ weight["position.weight"] + weight["position.bias"])
        e = gelu(time @ weight["time_in.weight"] + weight["time_in.bias"]) @ weight["time_out.weight"]
        m = torch.tanh((h + e + weight["time_out.bias"]) @ weight["fusion.weight"] + weight["fusion.bias"])
        return torch.tanh(m @ weight["out.weight"] + weight["out.bias"])

    return u


def derivatives(u, z, move):
    """u_t summed over the batch, (1,), ∇u and row sums of the Hessian, each (n, width)."""
    z, t = z.clone().requires_grad_(), torch.tensor([float(move)], requires_grad=True)
    values = u(z, t).sum()
    (u_t, field) = grad(values, (t, z), create_graph=True)
    return u_t, field, grad(field.sum(), z, create_graph=True)[0], t


def first_frame(method, x, noise):
    """z_0, the loss of the first frame, and log-densities of each latent under posterior and prior."""
    mean, log_var = method.model.posterior(x[:, 0])
    q = Normal(mean, (log_var / 2).exp())
    z = mean + q.stddev * torch.randn(mean.shape, generator=noise)
    kl = kl_divergence(q, Normal(0.0, 1.0)).sum() / N
    return z, nll(method, z, x[:, 0]) + kl, q.log_prob(z), Normal(0.0, 1.0).log_prob(z)


def nll(method, z, frames):
    return binary_cross_entropy(method.decode(z), frames, reduction="sum") / N


def softmax_kl(rho_q, rho_p):
    q, p = rho_q.exp().softmax(-1), rho_p.exp().softmax(-1)
    return (p * (p / q).log()).sum() / N


def mixed_flows(method, x, noise, gates, force=None, rotations=None):
    """The loss but for what infers ``gates``: per move (of potentials, of rotations, of the prior), (n, FLOWS) each."""
    z, loss, rho_q, rho_p = first_frame(method, x, noise)
    for move, (of_field, of_rotation, of_prior) in enumerate(gates, start=1):
        step = curvature = prior = 0.0
        initial = []
        for k in range(FLOWS):
            u = potential(method.potentials, k)
            u_t, field, row_sums, t = derivatives(u, z, move)
            f = potential(force, k)(z, t) if force is not None else torch.zeros(N, 1)
            equation = ((u_t + 0.5 * (field**2).mean() + f**2) ** 2).mean()
            step = step + of_field[:, [k]] * field
            if rotations is not None:
                r, divergence = rotation(rotations, k, z)
                equation = equation + (divergence**2).mean()
                step = step + of_rotation[:, [k]] * r
            loss = loss + of_field[:, k].mean() * equation
            curvature = curvature + of_field[:, [k]] * row_sums
            spread = 1.0 if move == 1 else 1 / (method.diffused.sigma[move - 2, k] ** 2 + 1e-5)
            prior = prior + of_prior[:, [k]] * spread
            if move == 1:
                _, still, _, t0 = derivatives(u, z, 0)
                f0 = potential(force, k)(z, t0) if force is not None else torch.zeros(N, 1)
                initial.append(of_field[:, k].mean() * ((still**2).mean() + (f0**2).mean()))
        if initial:  # the weak and the unsupervised code overwrite it flow by flow
            loss = loss + (sum(initial) if isinstance(method, FFRL) else initial[-1])
        rho_q, rho_p = rho_q - (1 + curvature).abs().log(), rho_p - (1 + prior).abs().log()
        z = z + step
        loss = loss + softmax_kl(rho_q, rho_p) + nll(method, z, x[:, move])
    return loss


def rotation(fields, k, z):
    """r_k (n, width) and its divergence by the whole Jacobian."""

    def r(one):
        h = torch.tanh(one @ fields.hidden.weight[k] + fields.hidden.bias[k, 0])
        return torch.tanh(h @ fields.out.weight[k] + fields.out.bias[k, 0])

    jacobians = [torch.autograd.functional.jacobian(r, one, create_graph=True) for one in z]
    return r(z), torch.stack([jacobian.trace() for jacobian in jacobians])


def gumbel(shape, noise):
    return -torch.log(-torch.log(torch.rand(shape, generator=noise) + 1e-20) + 1e-20)


def agree(method, expected, found):
    """Equal losses, and equal gradients of every parameter."""
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)
    parameters = list(method.parameters())
    ours, theirs = (grad(loss, parameters, allow_unused=True) for loss in (found, expected))
    for a, b in zip(ours, theirs, strict=True):
        if a is not None or b is not None:
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)  # float32, third derivatives


def test_ffrl(x):
    method = build(FFRL, FFRLConfig(width=WIDTH))
    amounts = torch.eye(FLOWS)[1].expand(N, MOVES, -1)
    expected = mixed_flows(method, x, generator(), [(one, None, one) for one in amounts.unbind(1)], method.forces)
    agree(method, expected, method.losses(Batch(x, torch.arange(N), STEP, N_STEPS, amounts), generator())["loss"])


def test_ffrl_weak(x):
    method, noise = build(FFRLWeak, FFRLWeakConfig(width=WIDTH)), generator()
    logits = method.index_logits(x)
    soft = ((logits + gumbel(logits.shape, noise)) / math.exp(-3 * 0.9)).softmax(-1)
    drawn = soft + (torch.eye(FLOWS)[soft.argmax(-1)] - soft).detach()
    expected = mixed_flows(method, x, noise, MOVES * [(drawn, None, drawn)], method.forces)
    expected = expected - drawn.mean(0).max().log()
    agree(method, expected, method.losses(Batch(x, torch.arange(N), STEP, N_STEPS), generator())["loss"])


@pytest.mark.parametrize("control", ["single", "double"])
def test_sta(x, control):
    method, noise = build(STA, STAConfig(width=WIDTH, pair_width=4, control=control)), generator()
    pairs = torch.cat([x[:, :-1], x[:, 1:]], dim=2).flatten(0, 1)
    logits = method.spike_network(pairs).view(N, MOVES, -1, FLOWS)
    slabs = 2 * method.slab_network(pairs).view(N, MOVES, FLOWS).sigmoid()
    spikes = ((logits + gumbel(logits.shape, noise)) / math.exp(-2.7 * 0.9)).sigmoid()
    gates = []
    for move in range(MOVES):
        first, second = (spikes[:, move, i] * slabs[:, move] for i in (0, -1))
        gates.append((first, second, first + second - first * second if control == "double" else first))
    expected = mixed_flows(method, x, noise, gates, rotations=method.rotations)
    pooled = slabs.flatten(0, 1)
    variance = pooled.var(0) * (N * MOVES - 1) / (N * (MOVES - 1))
    fitted = Laplace(pooled.mean(0) + 1e-3, (variance / 2).sqrt() + 1e-3)
    expected = expected + kl_divergence(fitted, Laplace(1.0, 0.1)).mean()
    found = method.losses(Batch(x, torch.arange(N), STEP, N_STEPS), generator())
    assert not found["spike_kl"].requires_grad  # a constant, checked by its own test
    agree(method, expected, found["loss"] - found["spike_kl"])


def test_poflow(x, monkeypatch):
    method = build(PoFlow, PoFlowConfig(width=WIDTH))
    method.wave_speed.data.uniform_(0.5, 1.5, generator=generator())
    amounts, k = torch.eye(FLOWS)[2].expand(N, MOVES, -1), 2
    u = potential(method.potentials, k)
    for s in range(MOVES - 1):
        monkeypatch.setattr(torch, "randint", lambda high, size, s=s, **_: torch.full(size, s))
        noise, frames = generator(), x[:, [0, s, s + 1]]
        mean, log_var = (part.view(N, 3, -1) for part in method.model.posterior(frames.flatten(0, 1)))
        q = Normal(mean, (log_var / 2).exp())
        z, z_s, z_next = (mean + q.stddev * torch.randn(mean.shape, generator=noise)).unbind(1)
        expected = nll(method, z, frames[:, 0]) + kl_divergence(q, Normal(0.0, 1.0))[:, [0, 2]].sum() / N
        expected = expected + (derivatives(u, z, 0)[1] ** 2).mean()
        for move in range(MOVES):
            u_t, field, row_sums, t = derivatives(u, z, move)
            (u_tt,) = grad(u_t.sum(), t, create_graph=True)
            expected = expected + ((u_tt - method.wave_speed[k] ** 2 * row_sums) ** 2).mean() / MOVES
            z = z + field
            if move == s:
                ahead = derivatives(u, z, move + 1)[1]
                change = torch.autograd.functional.jvp(method.decode, z, ahead, create_graph=True)[1]
                expected = expected - (change**2).mean() + nll(method, z + ahead, frames[:, 2])
                expected = expected + ((z_next - z_s - ahead) ** 2).mean() + ((z_s - z) ** 2).mean()
        found = method.losses(Batch(x, torch.arange(N), 0, N_STEPS, amounts), generator())
        torch.testing.assert_close(found["jacobian"], (change**2).mean(), rtol=1e-4, atol=0)  # too small to show below
        agree(method, expected, found["loss"])
