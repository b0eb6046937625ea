"""One run, start to stored row, in whatever process calls it: open, train, encode once, score, write."""

from __future__ import annotations

import math
import os
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from bench import checkpoint, provenance, registry
from bench.api import Method
from bench.evidence.evaluation import Rows, evaluation_rows
from bench.evidence.gathering import Evidence, available
from bench.evidence.judges import Judge, judge_for
from bench.messages import error_line
from bench.opening import data_store, describe_data, open_dataset, spec_dataset, spec_method
from bench.randomness import seeded_global_state, stream, stream_seed, torch_stream
from bench.rows import empty_row
from bench.running import metric_choice
from bench.running.device_claims import claimed_device
from bench.running.isolation import Guard, Leftovers, isolated
from bench.running.kept_codes import save_codes
from bench.running.output import captured
from bench.running.progress import Reporter
from bench.running.standing import Options, is_done, is_stale
from bench.running.stopping import TimedOut, stop_requests, time_limit, timed_out
from bench.running.training import Diverged, Interrupted, Schedule, Trainer
from bench.spec import RunSpec
from bench.store import CorruptRow, Store
from metrics import scoring
from metrics.protocols import protocol_named

HELD = "held"  # what ``perform`` returns for a run that another process works on


def perform(spec: RunSpec, options: Options) -> str:
    """Make the row of ``spec`` unless the store has it; returns its status, or ``HELD``.

    Whatever the run raises is stored in its row as ``failed``; only a request to stop passes through. A row that is
    done stays as it is where further metrics of it break. What the run did to this process is put back and noted in
    its row.

    Raises:
        Interrupted: asked to stop; the checkpoint is on disk.
    """
    options = replace(options, folders=options.folders.absolute())  # a method may change the working directory
    store = Store(options.folders.results)
    with ExitStack() as stack:
        try:
            stack.enter_context(store.lock(spec.hash, wait=False))
        except BlockingIOError:
            return HELD
        row = _stored(store, spec)
        if row is not None and is_done(row, spec, options):
            return row["status"]
        store.clean(spec)
        if row is not None and (is_stale(row, spec) or row["status"] == "diverged"):
            # what was learnt from other data, or ended in NaN, is no place to go on from
            (store.artifacts(spec.hash) / "checkpoint.safetensors").unlink(missing_ok=True)
            row = None
        should_stop = stack.enter_context(stop_requests())
        claim = claimed_device(options.devices, options.folders.results, should_stop)
        device = torch.device(stack.enter_context(claim))
        reporter = Reporter(store.artifacts(spec.hash), spec)
        stack.callback(reporter.close)
        started, clock = provenance.now(), time.perf_counter()
        provenance.reset_peak_memory(str(device))
        leftovers = Leftovers()
        done = row if row is not None and row["status"] == "done" else None
        goes_on = (reporter.folder / "checkpoint.safetensors").exists()
        with isolated(spec.threads) as guard, captured(reporter.folder / "output.txt", goes_on=goes_on) as output:
            run = _Run(spec, options, store, device, reporter, should_stop, guard)
            row = _outcome(run, done)
        is_noted = done is not None and output.n_bytes == output.n_before  # by the process that trained
        notes = [*guard.faults, *leftovers.since(), *filter(None, ["" if is_noted else output.note()])]
        for note in notes:
            reporter.warn(f"{spec.label}: {note}")
        if row is None:
            return "failed"
        # a row that is scored once more keeps what was noted while it trained
        notes = list(dict.fromkeys([*(done or {}).get("notes", []), *notes, *run.notes]))
        row |= {"notes": notes} if notes else {}
        _sign(row, started, time.perf_counter() - clock, device)
        return _stored_as(store, spec, row)


def _outcome(run: _Run, old: dict[str, Any] | None) -> dict[str, Any] | None:
    """The row that ``run`` makes, whatever it raises; None where a row that is done stays as it was."""
    try:
        with time_limit(run.options.timeout):
            return run.row(old)
    except Interrupted:
        raise
    # a method may raise SystemExit or KeyboardInterrupt, too: real ones come as a question between steps
    except BaseException as error:
        if isinstance(error, TimedOut):
            row = empty_row(run.spec, "failed", timed_out(run.options.timeout, run.reporter.facts))
        elif isinstance(error, Diverged):
            row = empty_row(run.spec, "diverged", str(error))
        else:
            row = empty_row(run.spec, "failed", error_line(error)) | {"traceback": traceback.format_exc(limit=-20)}
        if old is None:
            return row
        run.reporter.warn(f"{run.spec.label}: {row['reason']}; its stored row is kept")
        return None


def _sign(row: dict[str, Any], started: str, seconds: float, device: torch.device) -> None:
    """What made the row, and what it cost in all."""
    made_by = {
        "git_commit": provenance.git_commit(), "versions": provenance.versions(),
        "hardware": provenance.hardware(), "started": started, "finished": provenance.now(),
    }  # fmt: skip
    if row["provenance"]:
        row["provenance"]["scored_again"] = made_by
        return
    total = row["cost"].setdefault("seconds", {}).get("total", 0.0) + seconds
    row["cost"]["seconds"]["total"] = round(total, 3)
    row["cost"] |= provenance.peak_memory(str(device)) | {"device": str(device)}
    row["provenance"] = made_by


def _stored_as(store: Store, spec: RunSpec, row: dict[str, Any]) -> str:
    """Store the row; the status that it has in the store."""
    try:
        store.write(spec, row)
        return str(row["status"])
    except ValueError as error:  # a number or a text that no row holds
        store.write(spec, empty_row(spec, "failed", f"its results cannot be stored: {error_line(error)}"))
        return "failed"


def _stored(store: Store, spec: RunSpec) -> dict[str, Any] | None:
    try:
        return store.read(spec)
    except CorruptRow:
        return None  # set aside; the parent has said so, or the next plan will


class _Run:
    """The phases of one run and their wall times."""

    def __init__(
        self,
        spec: RunSpec,
        options: Options,
        store: Store,
        device: torch.device,
        reporter: Reporter,
        should_stop: Callable[[], bool],
        guard: Guard,
    ) -> None:
        self.spec, self.options, self.device = spec, options, device
        self.reporter, self.should_stop, self.guard = reporter, should_stop, guard
        self.folder = store.artifacts(spec.hash)
        self.protocol = protocol_named(spec.protocol)
        method = registry.method(spec.method).target
        asked = metric_choice.wanted(options.metrics, spec.protocol, method, describe_data(spec))
        self.wanted = metric_choice.of_scope(asked, "run")
        self.keeps_kl = len(self.wanted) < len(asked)
        self.notes: list[str] = []
        self.seconds = dict.fromkeys(("data", "training", "encoding", "metrics", "other"), 0.0)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        self.reporter.phase(name)
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += time.perf_counter() - started
            self.guard.put_back()

    def row(self, old: dict[str, Any] | None) -> dict[str, Any]:
        """Train (or reload what was trained) and score; ``old`` is a done row that lacks some metrics."""
        spec = self.spec
        with self.phase("data"):
            config, source = spec_dataset(spec)
            data = open_dataset(spec.dataset, config, source, self.options.folders)
            cache = data_store(spec.dataset, config, source, self.options.folders)
            rows = evaluation_rows(data, spec.dataset_id, cache, self.protocol, spec.view)
            self.notes = list(rows.notes)
        with self.phase("other"):
            trainer = self._trainer(data)
        if old is not None and not _is_trained(trainer):
            # numbers of two trainings never share a row, so all of it is made again
            self.reporter.warn(f"{spec.label}: its checkpoint is not in this store, so it is trained again")
            self.wanted += [one for one in metric_choice.of_scope(old["scored"], "run") if one not in self.wanted]
            old = None
        earlier = trainer.done.seconds
        if trainer.config.n_steps == 0:
            with self.phase("training"):
                self._fit(trainer, data)
        else:
            self._train(trainer, data, rows)
        n_parameters = sum(p.numel() for p in trainer.method.parameters())
        row = empty_row(spec, "done", None)
        row["dataset_version"] = registry.dataset(spec.dataset).card.version
        row |= self._score(trainer.method, data, rows, old)
        frames = self._frames_per_step(data) * trainer.done.step
        row["training"] |= {
            "n_steps": trainer.done.step, "n_parameters": n_parameters,
            "curve": {k: [_short(v) for v in values] for k, values in trainer.done.curve.items()},
            "scores": trainer.done.scores,
        }  # fmt: skip
        trained = trainer.done.seconds
        self.seconds["training"] = trained or self.seconds["training"]
        row["cost"] = {
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
            "waiting_for_data": round(trainer.done.waiting / trained, 4) if trained else 0.0,
            "frames_per_second": round(frames / trained, 1) if trained else None,
        }
        worked = trainer.done.processor_seconds
        if trained and worked is not None and self.device.type == "cpu":
            row["cost"]["training_processor_seconds"] = round(worked, 3)
        # a run that was continued also spent what its earlier processes trained for
        row["cost"]["seconds"]["total"] = earlier
        if old is not None:
            row |= {key: old[key] for key in ("cost", "provenance", "training")}
        return row

    def _trainer(self, data: Any) -> Trainer:
        spec = self.spec
        cls, config = spec_method(spec)
        with seeded_global_state(stream_seed(spec.seed, spec.dataset_id, "weights"), self.guard.notice):
            method = cls(config, data.spec(spec.view))
        # channels_last: the layout that CPU and GPU convolutions are fastest in
        method = method.to(self.device, memory_format=torch.channels_last)

        def batches(rng: Any) -> Any:
            draws = data.batches(spec.view, config.batch_size, rng, device=self.device, extras=method.extras)
            # what acted is told to supervised methods alone
            return draws if method.card.supervised else (replace(draw, transformation=None) for draw in draws)

        rng = stream(spec.seed, spec.dataset_id, "batches")
        generator = torch_stream(spec.seed, spec.dataset_id, "noise", self.device)
        trainer = Trainer(
            method, config, batches, rng, generator, spec.precision, self.folder / "checkpoint.safetensors"
        )
        try:
            trainer.restore()
        except checkpoint.CorruptCheckpoint as error:
            os.replace(trainer.path, trainer.path.with_suffix(".bad"))
            self.reporter.warn(f"{error}; set aside, the run starts again")
            return self._trainer(data)
        return trainer

    def _fit(self, trainer: Trainer, data: Any) -> None:
        """What is not trained by gradient sees rows drawn from the training split, never the evaluation rows."""
        method, spec = trainer.method, self.spec
        if not hasattr(method, "fit") or trainer.path.exists():
            return
        drawn = next(data.batches("images", method.fit_rows, trainer.rng, device=self.device))
        with seeded_global_state(stream_seed(spec.seed, spec.dataset_id, "fit"), self.guard.notice):
            method.fit(drawn.x[:, 0], trainer.generator)  # type: ignore[operator]
        trainer.save()

    def _train(self, trainer: Trainer, data: Any, rows: Rows) -> None:
        spec, n_steps = self.spec, trainer.config.n_steps
        schedule = Schedule(max(1, n_steps // 100), self.options.checkpoint_seconds, spec.score_every)
        self.reporter.phase("training")

        def score() -> dict[str, float | None]:
            values = self._score(trainer.method, data, rows, None)["metrics"]
            return {key: value["value"] for key, value in values.items()}

        with seeded_global_state(stream_seed(spec.seed, spec.dataset_id, "training"), self.guard.notice):
            trainer.run(
                schedule,
                score=score,
                report=lambda step: self.reporter.step(step, n_steps),
                should_stop=self.should_stop,
                notice=self.guard.notice,
            )
        self.guard.put_back()

    def _score(self, method: Method, data: Any, rows: Rows, old: dict[str, Any] | None) -> dict[str, Any]:
        seed = stream_seed(self.spec.seed, self.spec.dataset_id, "scoring")
        with seeded_global_state(seed, self.guard.notice):  # an ``encode`` that draws gives the same codes every time
            return self._scored(method, data, rows, old)

    def _scored(self, method: Method, data: Any, rows: Rows, old: dict[str, Any] | None) -> dict[str, Any]:
        spec = self.spec
        with self.phase("encoding"):
            evidence = Evidence(
                method, data, spec.dataset_id, rows, self.protocol, self.device, spec.seed, lambda: self._judge(data)
            )
            if evidence.has_codes:
                self._keep_codes(evidence)
        wanted = self.wanted
        if old is not None:
            wanted = metric_choice.missing(old, self.options.metrics, spec.protocol, type(method), data.info)
        factors, names = data.info.factors, available(type(method), data.info)
        ids, _ = scoring.applicable(names, factors.is_discrete, wanted, continuous=factors.continuous_names)
        with self.phase("encoding"):
            arrays = evidence.gather(metric_choice.needs(ids, names))
        with self.phase("metrics"):
            # metrics that read no factors come without them, and so without their names
            has_factors = bool({"factors", "factor_sizes"} & arrays.keys())
            discrete = [kind != "continuous" for kind in factors.kinds]
            scores = scoring.score(
                arrays, wanted, spec.protocol, rng_seed=stream_seed(0, spec.dataset_id, "metrics"),
                factor_names=factors.names if has_factors else None, discrete=discrete if has_factors else None,
            )  # fmt: skip
        result: dict[str, dict[str, Any]] = {
            "metrics": {key: value | {"value": _short(value["value"])} for key, value in scores.values.items()},
            "scored": {metric: metric_choice.version(metric) for metric in wanted},
            "details": dict(scores.details),
        }
        if old is not None:
            result = {key: {**old[key], **result[key]} for key in result}
        return result | self._judged_by(evidence, result, old)

    def _judge(self, data: Any) -> Judge:
        spec = self.spec
        store = data_store(spec.dataset, *spec_dataset(spec), self.options.folders)
        return judge_for(data, spec.dataset, spec.dataset_id, store, spec.budget, self.device, spec.precision)

    def _judged_by(self, evidence: Evidence, result: dict[str, Any], old: dict[str, Any] | None) -> dict[str, Any]:
        """What the row says of the judge; each metric's details name it, since a cache may have lost an earlier one."""
        facts = evidence.judge_facts
        if facts is None:
            return {} if old is None or "judge" not in old else {"judge": old["judge"]}
        for one, details in result["details"].items():
            if one.startswith("swap[") and "judge" not in details:
                details["judge"] = facts["hash"]
        if not facts["is_trusted"]:
            self.notes.append(
                f"the judge names {facts['mean_accuracy']:.1%} of the factors of real test sequences, below "
                f"{facts['threshold']:.1%}: swaps say as much of the judge as of the method"
            )
        return {"judge": dict(facts)}

    def _keep_codes(self, evidence: Evidence) -> None:
        """Raises ``Diverged`` where a code is not finite."""
        codes, rows = evidence.all_codes, evidence.rows
        if not np.isfinite(codes).all():
            raise Diverged(f"codes are not finite in row {int(np.argwhere(~np.isfinite(codes))[0, 0])}")
        kl = evidence.mean_kl() if self.keeps_kl else None
        save_codes(self.folder / "codes.h5", codes, rows.factors, rows.n_train, kl)

    def _frames_per_step(self, data: Any) -> int:
        _, config = spec_method(self.spec)
        return config.batch_size * data.spec(self.spec.view).n_frames


def _is_trained(trainer: Trainer) -> bool:
    """The end of its training was restored, or it needs none."""
    if trainer.config.n_steps:
        return trainer.done.step == trainer.config.n_steps
    return trainer.path.exists() or not hasattr(trainer.method, "fit")


def _short(value: float | None) -> float | None:
    """Eight significant digits: what float32 carries, and rows stay readable."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.8g}")
