"""Judges: classifiers, trained on real sequences, that say which factors a generated sequence shows.

One judge for each data set and budget serves all methods: trained once from its own seed, kept in the cache, known by
the hash of its weights. Network and training of C-DSVAE's and S3VAE's released judge (``classifier_Sprite_all``): the
frame encoder of the methods, a bi-LSTM, a head of two linear layers for each factor, Adam 2e-4, batches of 128, the sum
of the heads' cross-entropies divided by 4. It stops where the validation accuracy is best; the released one was taken
at its fourth epoch. Small budgets have a narrower network and a larger learning rate
that falls to 0.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from bench import checkpoint
from bench.datasets.base import DataInfo, DataStore, canonical_json
from bench.datasets.containers import SequenceData
from bench.randomness import seeded_global_state, stream, stream_seed
from methods.sequence_networks import ends, frame_encoder, per_frame

VERSION = 1  # raised by every change that makes other judges of the same data
SEED = 0
CHUNK = 256  # frames judged at once
HELD_OUT = 10  # of sequences without a validation split, every tenth is held out
THRESHOLD = 0.99
THRESHOLDS = {"sprites": 0.999}


@dataclass(frozen=True)
class Settings:
    """Network and training of a judge; the defaults are published.

    Attributes:
        width: channels of the first convolution.
        n_epochs: passes over the training sequences at most.
        patience: passes without a better validation accuracy after which training ends.
        most_frames: frames seen in all passes, as many whole passes as fit; 0 for any number.
        decays: the learning rate falls to 0 by a half cosine, so that a short training ends in a steady network.
    """

    width: int = 64
    n_features: int = 128
    n_hidden: int = 256
    batch_size: int = 128
    learning_rate: float = 2e-4
    n_epochs: int = 100
    patience: int = 5
    most_frames: int = 0
    decays: bool = False


BUDGETS: Mapping[str, Settings] = {
    "smoke": Settings(width=4, n_hidden=32, batch_size=16, learning_rate=2e-3, n_epochs=2),
    "quick": Settings(
        width=16, batch_size=32, learning_rate=1e-3, n_epochs=24, patience=24, most_frames=450_000, decays=True
    ),
    "standard": Settings(width=32, batch_size=64, learning_rate=5e-4, n_epochs=20, patience=20, decays=True),
    "paper": Settings(),
}


class JudgeNetwork(nn.Module):
    """Logits of each factor of whole sequences.

    Args:
        n_classes: of each head.
    """

    def __init__(self, observation_shape: tuple[int, ...], n_classes: Mapping[str, int], settings: Settings) -> None:
        super().__init__()
        n_hidden = settings.n_hidden
        self.encoder = frame_encoder(observation_shape, settings.n_features, settings.width)
        self.lstm = nn.LSTM(settings.n_features, n_hidden, batch_first=True, bidirectional=True)
        self.heads = nn.ModuleDict(
            {
                name: nn.Sequential(nn.Linear(2 * n_hidden, n_hidden), nn.ReLU(), nn.Linear(n_hidden, n))
                for name, n in n_classes.items()
            }
        )

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Factor → logits (batch, n_classes) float32 of x (batch, time, *observation) in [0, 1]."""
        features = per_frame(self.encoder, x)
        with torch.autocast(x.device.type, enabled=False):
            hidden = ends(self.lstm(features)[0])
            return {name: head(hidden) for name, head in self.heads.items()}


@dataclass(frozen=True)
class Judge:
    """A trained judge.

    Attributes:
        network: frozen, in eval mode.
        is_dynamic: of each head, in the order of ``DataInfo.judged``.
        facts: what a row says of it: hash of the weights, accuracy on real test sequences, settings, and whether it
            reaches the threshold below which its numbers are marked.
    """

    network: JudgeNetwork
    is_dynamic: Mapping[str, bool]
    facts: Mapping[str, Any]

    @torch.inference_mode()
    def probabilities(self, x: Tensor) -> dict[str, np.ndarray]:
        """Factor → class probabilities (batch, n_classes) float64 of x (batch, time, *observation) in [0, 1]."""
        logits = self.network(x)
        return {name: one.double().softmax(1).cpu().numpy() for name, one in logits.items()}


def judge_for(
    data: SequenceData,
    dataset: str,
    dataset_id: str,
    store: DataStore,
    budget: str,
    device: torch.device,
    precision: str = "float32",
) -> Judge:
    """The judge of this data and budget, from the cache or trained now; two calls at once train it once.

    Args:
        dataset: name of the data set, for its threshold.
        dataset_id: identity of the data, for random streams.
        store: of the data set; its cache folder keeps the judge.
        precision: "bfloat16" trains under autocast; a judge always judges in float32.

    Raises:
        ValueError: the data set names no factors to judge, or one that changes within a sequence.
    """
    import fcntl

    settings = BUDGETS[budget]
    path = judge_path(store, settings, precision)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with seeded_global_state(SEED):  # its initial weights are drawn, and replaced
            network = _network(data.info, settings)
        kept = _load(path, network)
        if kept is None:
            trained = train(data, dataset_id, settings, device, precision)
            trained["accuracy"] = test_accuracy(trained["network"], data, device)
            network.load_state_dict(trained.pop("network").state_dict())
            checkpoint.save(path, network.state_dict(), trained)
            kept = trained
    network = network.to(device, memory_format=torch.channels_last).eval().requires_grad_(False)  # type: ignore[call-overload]
    threshold = THRESHOLDS.get(dataset, THRESHOLD)
    mean = float(np.mean(list(kept["accuracy"].values())))
    facts = {
        "hash": weights_hash(network), "accuracy": kept["accuracy"], "mean_accuracy": mean, "threshold": threshold,
        "is_trusted": mean >= threshold, "validation_accuracy": kept["validation_accuracy"], "epochs": kept["epochs"],
        "budget": budget, "settings": dataclasses.asdict(settings), "n_train": kept["n_train"],
    }  # fmt: skip
    return Judge(network, {name: _is_dynamic(data.info, name) for name in data.info.judged}, facts)


def judge_path(store: DataStore, settings: Settings, precision: str) -> Path:
    """Where the cache keeps the judge of these settings."""
    key = canonical_json([store.key, VERSION, dataclasses.asdict(settings), precision])
    return store.cache / f"{hashlib.sha256(key.encode()).hexdigest()[:20]}-judge.safetensors"


def weights_hash(network: nn.Module) -> str:
    """16 hex digits of the SHA-256 over names and values of all weights and statistics."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def train(
    data: SequenceData, dataset_id: str, settings: Settings, device: torch.device, precision: str = "float32"
) -> dict[str, Any]:
    """The network with its best weights ("network"), and how it was found."""
    rows, held_out = _training_rows(data)
    with seeded_global_state(stream_seed(SEED, dataset_id, "judge")):
        network = _network(data.info, settings).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate, fused=True)
        rng = stream(SEED, dataset_id, "judge batches")
        best, best_accuracy, best_epoch, epoch = None, -1.0, 0, 0
        n_epochs = _n_epochs(settings, len(rows) * data.frames.shape[1])
        schedule = _schedule(optimizer, n_epochs * len(list(_batches(rows, settings.batch_size))), settings.decays)
        for epoch in range(1, n_epochs + 1):
            network.train()
            for batch in _batches(rng.permutation(rows), settings.batch_size):
                x, labels = _items(data, batch, device)
                with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
                    logits = network(x)
                loss = torch.stack([cross_entropy(logits[name], labels[name]) for name in logits]).sum() / 4
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                schedule.step()
            accuracy = float(np.mean(list(_accuracy(network, data, held_out, device).values())))
            if accuracy > best_accuracy:
                best = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
                best_accuracy, best_epoch = accuracy, epoch
            if best_accuracy == 1.0 or epoch - best_epoch >= settings.patience:
                break
        assert best is not None
        network.load_state_dict(best)
    return {
        "network": network, "validation_accuracy": best_accuracy, "epochs": [best_epoch, epoch], "n_train": len(rows)
    }  # fmt: skip


def _schedule(optimizer: torch.optim.Optimizer, n_steps: int, decays: bool) -> torch.optim.lr_scheduler.LambdaLR:
    return torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: 0.5 * (1 + math.cos(math.pi * step / n_steps)) if decays else 1.0
    )


def _n_epochs(settings: Settings, n_frames: int) -> int:
    """Passes over n_frames frames at most."""
    return (
        max(min(settings.n_epochs, settings.most_frames // n_frames), 1) if settings.most_frames else settings.n_epochs
    )


def test_accuracy(network: JudgeNetwork, data: SequenceData, device: torch.device) -> dict[str, float]:
    """Factor → accuracy on all real sequences of the test split (of the held-out ones where there is none)."""
    rows = data.rows_of("test") if "test" in data.splits else _training_rows(data)[1]
    return _accuracy(network, data, rows, device)


def _network(info: DataInfo, settings: Settings) -> JudgeNetwork:
    if not info.judged:
        raise ValueError("this data set names no factors that a judge could read off a sequence")
    sizes = dict(zip(info.factors.names, info.factors.sizes, strict=True))
    return JudgeNetwork(info.observation_shape, {name: sizes[name] for name in info.judged}, settings)


def _load(path: Path, network: JudgeNetwork) -> dict[str, Any] | None:
    """Facts of the judge kept at ``path``, whose weights go into the network; None where there is no whole one."""
    try:
        found = checkpoint.load(path)
        if found is None:
            return None
        network.load_state_dict(found[0])
    except (checkpoint.CorruptCheckpoint, RuntimeError):
        return None
    return found[1]


def _training_rows(data: SequenceData) -> tuple[np.ndarray, np.ndarray]:
    """Rows for training and for validation: the split of that name, else every tenth training sequence."""
    rows = data.rows_of("train")
    if "val" in data.splits:
        return rows, data.rows_of("val")
    is_held_out = np.arange(len(rows)) % HELD_OUT == HELD_OUT - 1
    return rows[~is_held_out], rows[is_held_out]


@torch.inference_mode()
def _accuracy(network: JudgeNetwork, data: SequenceData, rows: np.ndarray, device: torch.device) -> dict[str, float]:
    network.eval()
    hits = dict.fromkeys(data.info.judged, 0)
    for batch in _batches(rows, max(CHUNK // data.frames.shape[1], 1)):
        x, labels = _items(data, batch, device)
        for name, logits in network(x).items():
            hits[name] += int((logits.argmax(1) == labels[name]).sum())
    return {name: n / len(rows) for name, n in hits.items()}


def _batches(rows: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Rows in pieces; a last piece of one row, which batch norms cannot stand, joins the one before."""
    starts = list(range(0, len(rows), size))
    if len(starts) > 1 and len(rows) - starts[-1] == 1:
        starts.pop()
    for start, stop in zip(starts, [*starts[1:], len(rows)], strict=True):
        yield rows[start:stop]


def _items(data: SequenceData, rows: np.ndarray, device: torch.device) -> tuple[Tensor, dict[str, Tensor]]:
    """Sequences (batch, time, *observation) float32, images in [0, 1], and the labels (batch,) of each head."""
    x = torch.from_numpy(np.array(data.frames[rows])).to(device)
    x = x.float().div_(255) if x.dtype == torch.uint8 else x.float()
    return x, {name: torch.from_numpy(column).to(device) for name, column in labels_of(data, rows).items()}


def labels_of(data: SequenceData, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Factor → class (n,) int64 of these sequences.

    Raises:
        ValueError: a judged factor that changes within a sequence.
    """
    factors = np.asarray(data.factors[rows])
    found = {}
    for name in data.info.judged:
        column = factors[..., data.info.factors.names.index(name)]
        if (column != column[:, :1]).any():
            raise ValueError(f"the judged factor '{name}' changes within a sequence; a judge names whole sequences")
        found[name] = column[:, 0].astype(np.int64)
    return found


def _is_dynamic(info: DataInfo, name: str) -> bool:
    return info.factors.dynamic[info.factors.names.index(name)]
