"""The toy autoencoder with bad manners: each method does one thing that a run must not do to its siblings."""

from __future__ import annotations

import ctypes
import os
import random
import subprocess
import sys
import tempfile
import threading
import time

import numpy as np
import torch

from bench.registry import register_method
from toybench.methods import Linear, ToyConfig, card

KEPT = []  # what outlives a run


def hostile(name):
    """Registers a toy whose ``misbehave`` is called once, in the middle of training."""
    return register_method(name, config=ToyConfig, card=card())


class Hostile(Linear):
    def misbehave(self, batch):
        raise NotImplementedError

    def losses(self, batch, generator, player="model"):
        if batch.step == 7:
            self.misbehave(batch)
        return super().losses(batch, generator)


@hostile("toy_prints")
class Prints(Hostile):
    """3 MB from Python, 1 MB from C, and a line from a process of its own."""

    def misbehave(self, batch):
        for _ in range(3000):
            sys.stdout.write("x" * 999 + "\n")
        ctypes.CDLL(None).printf(b"%s", b"y" * 1_000_000)
        subprocess.run([sys.executable, "-S", "-c", "print('the last word')"], check=True)


@hostile("toy_seeds")
class Seeds(Hostile):
    def misbehave(self, batch):
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002
        torch.manual_seed(0)


@hostile("toy_dtype")
class Dtype(Hostile):
    def misbehave(self, batch):
        torch.set_default_dtype(torch.float64)


@hostile("toy_threads")
class Threads(Hostile):
    def __init__(self, config, data):
        super().__init__(config, data)
        torch.set_num_threads(2)

    def misbehave(self, batch):
        assert torch.get_num_threads() == 1


@hostile("toy_settings")
class Settings(Hostile):
    """Moves away, makes numpy strict and leaves a mess in the environment."""

    def misbehave(self, batch):
        os.chdir(tempfile.mkdtemp())
        np.seterr(all="raise")
        os.environ["CUDA_VISIBLE_DEVICES"] = "nothing"


@hostile("toy_opens")
class Opens(Hostile):
    def misbehave(self, batch):
        KEPT.extend(open(__file__) for _ in range(5))  # noqa: SIM115


@hostile("toy_thread")
class Thread(Hostile):
    """Goes on in a thread of its own, and would seed whatever its process does next."""

    def misbehave(self, batch):
        def forever():
            while True:
                torch.manual_seed(0)
                time.sleep(0.001)

        threading.Thread(target=forever, name="goes on", daemon=True).start()


@hostile("toy_memory")
class Memory(Hostile):
    def misbehave(self, batch):
        KEPT.append(np.empty(1 << 60, np.uint8))


@hostile("toy_mutates")
class Mutates(Hostile):
    def misbehave(self, batch):
        batch.x.zero_().add_(1)


@hostile("toy_leaves")
class Leaves(Hostile):
    def misbehave(self, batch):
        sys.exit(3)


@hostile("toy_unprintable")
class Unprintable(Hostile):
    def misbehave(self, batch):
        class Odd(Exception):
            def __str__(self):
                raise RuntimeError("no words")

        raise Odd


@hostile("toy_counts")
class Counts(Linear):
    """Writes down each training that begins, with the process it begins in."""

    def losses(self, batch, generator, player="model"):
        if batch.step == 1:  # steps that are timed beforehand are all the first
            with open(os.path.join(os.path.dirname(__file__), "trainings"), "a") as file:
                file.write(f"{os.getpid()}\n")
        time.sleep(0.01)
        return super().losses(batch, generator)


@hostile("toy_hangs")
class Hangs(Hostile):
    def misbehave(self, batch):
        while True:
            time.sleep(0.01)


@hostile("toy_hangs_in_c")
class HangsInC(Hostile):
    """Sleeps in C with every signal blocked and the interpreter locked."""

    def misbehave(self, batch):
        signals = (ctypes.c_uint64 * 16)(*[2**64 - 1] * 16)
        library = ctypes.PyDLL(None)  # keeps the interpreter's lock
        library.sigprocmask(0, signals, None)
        while True:
            library.sleep(1000)


@hostile("toy_exits")
class Exits(Hostile):
    def misbehave(self, batch):
        os._exit(3)


@hostile("toy_exits_at_once")
class ExitsAtOnce(Linear):
    """Ends its process in its first step."""

    def losses(self, batch, generator, player="model"):
        os._exit(3)


@hostile("toy_killed_once")
class KilledOnce(Hostile):
    """Is killed by the system the first time, and behaves the second."""

    def misbehave(self, batch):
        mark = os.path.join(os.path.dirname(__file__), "killed once")
        if not os.path.exists(mark):
            open(mark, "w").close()
            os.kill(os.getpid(), 9)
