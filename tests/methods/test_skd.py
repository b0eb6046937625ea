"""SKD's operator on a linear system, its spectrum's gradients and loss, and the split of codes by it."""

import numpy as np
import pytest
import torch

from bench.api import Batch, DataSpec
from methods.skd import (
    SKD,
    SKDConfig,
    dropped,
    eigenvalues,
    is_static,
    koopman_operator,
    mixed,
    spectral_loss,
    static_projector,
)

SMALL = {"width": 4, "n_latents": 6, "n_hidden": 6, "n_static": 2, "batch_size": 8}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def built(n_frames=5, **parameters):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return SKD(SKDConfig(**SMALL | parameters), DataSpec((1, 64, 64), n_frames, n_train=20))


def sequences(n=8, n_frames=5, seed=1):
    return torch.rand(n, n_frames, 1, 64, 64, generator=generator(seed))


def linear_system(eigenvalues, n=30, n_frames=6, seed=0):
    """Sequences z_t+1 = z_t C of a real C with these eigenvalues (pairs as a + bi alone), and C."""
    blocks = [np.array([[v.real, v.imag], [-v.imag, v.real]]) if v.imag else np.array([[v.real]]) for v in eigenvalues]
    size = sum(len(block) for block in blocks)
    inner = np.zeros((size, size))
    at = 0
    for block in blocks:
        inner[at : at + len(block), at : at + len(block)] = block
        at += len(block)
    rng = np.random.default_rng(seed)
    basis = rng.normal(size=(size, size))
    operator = basis @ inner @ np.linalg.inv(basis)
    steps = [rng.normal(size=(n, size))]
    for _ in range(n_frames - 1):
        steps.append(steps[-1] @ operator)
    return torch.from_numpy(np.stack(steps, 1)), torch.from_numpy(operator)


SYSTEM = (1.0 + 0j, 0.95 + 0j, 0.5 + 0.4j, -0.6 + 0j, 0.3 + 0j)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-6), (torch.float32, 1e-4)])
def test_operator_of_a_linear_system_is_recovered_with_its_spectrum(dtype, tolerance):
    codes, operator = linear_system(SYSTEM)
    found = koopman_operator(codes.to(dtype))
    torch.testing.assert_close(found, operator, rtol=0, atol=tolerance)
    expected = sorted([*SYSTEM, 0.5 - 0.4j], key=lambda v: (v.real, v.imag))
    spectrum = sorted(eigenvalues(found).tolist(), key=lambda v: (round(v.real, 3), v.imag))
    assert spectrum == pytest.approx(expected, abs=10 * tolerance)


def test_operator_equals_torchs_least_squares_and_its_gradient():
    codes = torch.randn(5, 4, 3, generator=generator(), dtype=torch.float64).requires_grad_()
    found = koopman_operator(codes)
    solution = torch.linalg.lstsq(codes[:, :-1].reshape(-1, 3), codes[:, 1:].reshape(-1, 3)).solution
    torch.testing.assert_close(found, solution, rtol=0, atol=1e-7)
    weights = torch.randn(3, 3, generator=generator(1), dtype=torch.float64)
    slopes = [torch.autograd.grad((weights * matrix).sum(), codes)[0] for matrix in (found, solution)]
    torch.testing.assert_close(*slopes, rtol=0, atol=1e-6)


def test_fewer_rows_than_latents_give_the_smallest_operator_that_fits():
    codes = torch.randn(1, 4, 6, generator=generator(), dtype=torch.float64)
    found = koopman_operator(codes)
    torch.testing.assert_close(codes[0, :-1] @ found, codes[0, 1:], rtol=0, atol=1e-6)
    smallest = torch.linalg.pinv(codes[0, :-1]) @ codes[0, 1:]
    torch.testing.assert_close(found, smallest, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("static_by", "dynamic_by"), [("ball", "real"), ("norm", "ball"), ("real", "real")])
def test_gradient_of_the_spectral_loss_agrees_with_finite_differences(static_by, dynamic_by):
    _, operator = linear_system((1.1 + 0.2j, 0.8 + 0j, 0.7 + 0j, -0.6 + 0j, 0.3 + 0.3j))
    operator.requires_grad_()
    assert torch.autograd.gradcheck(lambda c: spectral_loss(eigenvalues(c), 2, static_by, dynamic_by), operator)


@pytest.mark.parametrize(
    "operator",
    [
        pytest.param(torch.eye(4), id="all eigenvalues 1: distance 0"),
        pytest.param(torch.zeros(4, 4), id="all eigenvalues 0"),
        pytest.param(torch.eye(4) + torch.diag(torch.ones(3), 1), id="one Jordan block: no basis of eigenvectors"),
        pytest.param(torch.eye(4) + 1e-7 * torch.diag(torch.ones(3), 1), id="nearly such"),
    ],
)
@pytest.mark.parametrize("dynamic_by", ["real", "ball"])
def test_gradients_are_finite_where_eigenvalues_coincide(operator, dynamic_by):
    operator = operator.double().requires_grad_()
    spectral_loss(eigenvalues(operator), 2, "ball", dynamic_by).backward()
    assert torch.isfinite(operator.grad).all()
    assert torch.isfinite(static_projector(operator, 1, "ball")).all()


@pytest.mark.parametrize("n_static", [1, 2, 3, 4])
@pytest.mark.parametrize("static_by", ["ball", "real", "norm"])
def test_spectral_loss_and_choice_equal_a_loop_over_sorted_eigenvalues(n_static, static_by):
    values = eigenvalues(linear_system((0.9 + 0.3j, 1.05 + 0j, 0.7 + 0j, 0.55 + 0.1j, -0.95 + 0j, 0.1 + 0.9j))[1])
    numbers = values.tolist()
    key = {"ball": lambda v: abs(v - 1), "real": lambda v: -v.real, "norm": lambda v: -abs(v)}[static_by]
    order, chosen, components = sorted(range(len(numbers)), key=lambda i: key(numbers[i])), [], 0
    while components < n_static:  # a pair stands side by side in the order and is one component
        i = len(chosen)
        chosen += order[i : i + (2 if numbers[order[i]].imag else 1)]
        components += 1
    assert is_static(values, n_static, static_by).nonzero()[:, 0].tolist() == sorted(chosen)
    target = {"ball": lambda v: abs(v - 1), "real": lambda v: v.real - 1, "norm": lambda v: abs(v) ** 2 - 1}[static_by]
    others = [i for i in range(len(numbers)) if i not in chosen]
    pulled = np.mean([target(numbers[i]) ** 2 for i in chosen])
    real = np.mean([numbers[i].real if numbers[i].real > 0.5 else 0 for i in others])
    ball = np.mean([2 - abs(numbers[i] - 1) if abs(numbers[i] - 1) < 0.6 else 0 for i in others])
    for dynamic_by, penalty in (("real", real), ("ball", ball)):
        assert spectral_loss(values, n_static, static_by, dynamic_by).item() == pytest.approx(pulled + penalty)


def test_projector_keeps_what_is_constant_and_drops_what_decays():
    codes, operator = linear_system((1.0 + 0j, 0.9 + 0.1j, -0.5 + 0j, 0.2 + 0j))
    projector = static_projector(koopman_operator(codes), 1, "ball")
    static = codes @ projector
    torch.testing.assert_close(static, static[:, :1].expand_as(static), rtol=0, atol=1e-6)
    torch.testing.assert_close(projector @ projector, projector, rtol=0, atol=1e-8)
    assert torch.linalg.matrix_rank(projector).item() == 1
    assert torch.linalg.matrix_rank(static_projector(operator, 2, "ball")).item() == 3  # a pair is kept whole


def test_a_constant_sequence_of_two_halves_has_the_eigenvalues_1_and_minus_1_under_train_pys_reshape():
    method = built(n_frames=6, n_hidden=12)
    constant = torch.randn(3, 1, 12, generator=generator()).expand(-1, 6, -1)  # 6 halves fill the 6 dimensions
    halves = method._halves(constant)
    assert halves.shape == (6, 6, 6)
    assert torch.equal(halves[0, :2], constant[0, 0].unflatten(0, (2, 6)))
    spectrum = eigenvalues(koopman_operator(halves)).tolist()
    # half a turns into half b and back
    assert sorted(v.real for v in spectrum) == pytest.approx([-1, -1, -1, 1, 1, 1], abs=1e-5)


def test_parts_are_projections_and_generation_puts_them_together():
    method, x = built().eval(), sequences()
    with torch.no_grad():
        codes = method.codes(x)
        static, dynamic = method.split(codes)
        parts = method.parts(x)
        torch.testing.assert_close(static + dynamic, codes)
        torch.testing.assert_close(parts["static"], static.mean(1))
        torch.testing.assert_close(parts["dynamic"], dynamic)
        assert method.encode(x).shape == (8, 5, 12)
        swapped = method.generate(parts["static"][[1, 0]], parts["dynamic"][:2])
        expected = method.frames(static[[1, 0]].mean(1, keepdim=True) + dynamic[:2])
        torch.testing.assert_close(swapped, expected)


def test_loss_is_the_weighted_sum_of_the_released_terms():
    method, batch = built(dropout=0.0).train(), Batch(sequences(), torch.arange(8), 0, 10)
    terms = method.losses(batch, generator())
    codes = method.codes(batch.x)
    operator = torch.linalg.lstsq(codes[:, :-1].reshape(-1, 6), codes[:, 1:].reshape(-1, 6)).solution
    predicted = torch.cat([codes[:, :1], codes[:, :-1] @ operator], 1)
    decoded, decoded_predicted = method.frames(codes), method.frames(predicted)
    expected = {
        "mse": (decoded - batch.x).square().mean(),
        "predicted_mse": (decoded - decoded_predicted).square().mean(),
        "latent_mse": (codes - predicted).square().mean(),
    }
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value, rtol=1e-3, atol=1e-6)  # lstsq solves in float32
    weighted = 15 * terms["mse"] + terms["predicted_mse"] + terms["latent_mse"] + terms["spectrum"]
    torch.testing.assert_close(terms["loss"], weighted)


def test_samples_are_convex_combinations_of_the_last_batch():
    method = built().train()
    x = sequences()
    with torch.no_grad():
        method.losses(Batch(x, torch.arange(8), 0, 10), generator())
        torch.testing.assert_close(method.bank, method.codes(x))
        static, dynamic = method.split(method.bank)
        sample = method.sample_prior(500, 5, generator(3))
    # the hull of the batch's codes, coordinate by coordinate
    for found, codes in ((sample["static"], static.mean(1)), (sample["dynamic"], dynamic)):
        assert (found <= codes.amax(0) + 1e-6).all()
        assert (found >= codes.amin(0) - 1e-6).all()
    with pytest.raises(ValueError, match="skd: samples sequences of 5 frames, as it trained on, got 7"):
        method.sample_prior(2, 7, generator())


def test_mixed_rows_lie_on_segments_between_two_rows():
    corners = torch.eye(4)
    found = mixed(corners, 1000, generator())
    torch.testing.assert_close(found.sum(1), torch.ones(1000))
    assert ((found > 0).sum(1) <= 2).all()
    assert found.mean(0).tolist() == pytest.approx([0.25] * 4, abs=0.05)


def test_dropout_keeps_the_mean_and_comes_from_the_generator():
    ones = torch.ones(100, 1000)
    found = dropped(ones, 0.2, generator())
    assert set(found.unique().tolist()) == {0.0, 1.25}
    assert found.mean().item() == pytest.approx(1.0, abs=0.01)  # standard error 0.0016
    assert torch.equal(found, dropped(ones, 0.2, generator()))


def test_sizes_of_the_released_weights_have_the_number_of_parameters_of_the_layer_list():
    method = SKD(SKDConfig(), DataSpec((3, 64, 64), 8, 9000))

    def conv(n_inputs, n_outputs, norm=True):
        return 16 * n_inputs * n_outputs + n_outputs + 2 * n_outputs * norm

    encoder = conv(3, 32) + conv(32, 64) + conv(64, 128) + conv(128, 256) + conv(256, 40)
    decoder = conv(40, 256) + conv(256, 128) + conv(128, 64) + conv(64, 32) + conv(32, 3, norm=False)
    lstm = 4 * 40 * (40 + 40 + 2)
    assert sum(p.numel() for p in method.parameters()) == encoder + decoder + 2 * lstm


def test_audio_features_are_encoded_and_generated():
    method = SKD(SKDConfig(**SMALL), DataSpec((20,), 6, 50)).eval()
    x = torch.randn(8, 6, 20, generator=generator())
    with torch.no_grad():
        assert method.generate(**method.parts(x)).shape == x.shape


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_hidden": 50}, "'n_hidden' must be a multiple of n_latents = 40, got 50"),
        ({"n_static": 20}, "'n_static' must be below half of n_latents = 40, got 20"),
        ({"dropout": 1.0}, "'dropout' must be < 1"),
        ({"static_by": "cone"}, "'static_by' must be one of ball, real, norm"),
    ],
)
def test_wrong_parameters_are_named(parameters, message):
    with pytest.raises(ValueError, match=f"skd: parameter {message}"):
        SKDConfig(**parameters)
