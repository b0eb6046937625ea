"""``bench run``."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.completion import budgets, list_of, protocols
from bench.cli.options import data_root_option, results_option
from bench.registry import UsageError

if TYPE_CHECKING:
    from bench.spec import RunSpec

# seconds; tens of times what the budgets promise, so that only what hangs is ended. A checkpoint keeps what was done.
TIMEOUTS = {"smoke": 1_800.0, "quick": 21_600.0, "standard": 172_800.0, "paper": 0.0}
LONGEST = 100_000_000.0  # three years; clocks of some systems end soon after


@click.command("run")
@click.option(
    "--methods", required=True, metavar="LIST", help="NAME[key=v1,v2,key=v],… ; several values make a grid.",
    shell_complete=list_of("methods"),
)  # fmt: skip
@click.option(
    "--datasets", required=True, metavar="LIST", help="The same grammar for data sets.",
    shell_complete=list_of("datasets"),
)  # fmt: skip
@click.option(
    "--seeds", default="3", show_default=True, metavar="N|LIST", help="3 means seeds 0, 1, 2; 3,7 means those."
)
@click.option(
    "--budget", default="quick", show_default=True, help="smoke, quick, standard or paper.", shell_complete=budgets
)
@click.option(
    "--metrics", metavar="LIST", help="Metric ids; the default is the protocol's own set.",
    shell_complete=list_of("metrics"),
)  # fmt: skip
@click.option(
    "--protocol", default="", help="quick, locatello2019 or slowvae2021. [default: by budget]", shell_complete=protocols
)
@click.option("--references/--no-references", default=False, help="Add the reference points of every table.")
@click.option("--devices", default="auto", show_default=True, help="auto, cpu, or cuda:0,cuda:1,…")
@click.option("--workers", type=click.IntRange(1), help="Worker processes. [default: one per core or GPU]")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="Torch threads per worker.")
@click.option("--precision", default="auto", show_default=True, help="auto, float32 or bfloat16.")
@click.option("--score-every", type=click.IntRange(0), default=0, metavar="STEPS", help="Score during training too.")
@click.option(
    "--timeout",
    type=click.FloatRange(0),
    metavar="SECONDS",
    help="End a run that takes longer, 0 for never. [default: smoke 30 min, quick 6 h, standard 2 days, paper never]",
)
@click.option("--checkpoint-seconds", type=click.FloatRange(0), default=20.0, show_default=True, hidden=True)
@click.option("--retry", type=click.Choice(["failed"]), help="Run stored failed or diverged runs again.")
@click.option("--figures/--no-figures", default=True, show_default=True, help="Draw figures at the end.")
@click.option("--dry-run", is_flag=True, help="Count the runs and estimate the time; train and write nothing.")
@results_option
@data_root_option
def command(
    results: str, data_root: str | None, dry_run: bool, workers: int | None, figures: bool, **asked: Any
) -> int:
    """Train each method on each data set with several seeds, score it, and print the comparison.

    What the store already holds is not done again, and an interrupted run goes on from its checkpoint:
    repeat the same command.

    \b
    Examples:
      bench run --methods slowvae,betavae --datasets natural_sprites
      bench run --methods betavae[beta=1,4,8] --datasets natural_sprites[form=continuous] --seeds 5 --dry-run
      bench run --methods study --datasets dsprites,shapes3d --seeds 5 --dry-run
    """
    with _terminated_as_interrupted():
        return _command(results, data_root, dry_run, workers, figures, asked)


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM does what Ctrl-C does."""

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    old = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGTERM) is stop:  # not where the command ends by being stopped
            signal.signal(signal.SIGTERM, old)


def _command(
    results: str, data_root: str | None, dry_run: bool, workers: int | None, figures: bool, asked: dict[str, Any]
) -> int:
    from bench.opening import Folders
    from bench.provenance import now
    from bench.running import grid as grids
    from bench.running.estimate import expected_seconds
    from bench.running.executor import close_pool
    from bench.running.runner import plan
    from bench.running.standing import Options
    from bench.store import Store

    timeout = TIMEOUTS.get(asked["budget"], 0.0) if asked["timeout"] is None else asked["timeout"]
    if timeout > LONGEST or timeout != timeout:
        raise UsageError(f"--timeout takes seconds up to {LONGEST:,.0f}, 0 for never; got {timeout}")
    folders = Folders.from_environment(results, data_root)
    store = Store(folders.results)
    store.check_writable()
    request = _request(asked)
    devices, n_workers = grids.resolve_devices(asked["devices"], workers, asked["threads"])
    grid = grids.build(request, folders, devices[0])
    retry_before = now() if asked["retry"] else ""
    options = Options(folders, devices, request.metrics, asked["checkpoint_seconds"], retry_before, timeout)
    plan_ = plan(grid, store, options, set_aside=not dry_run)
    try:
        expected, basis = expected_seconds(plan_.todo, store, devices[0], n_workers)
        if dry_run:
            _print_plan(grid, plan_, expected, basis, n_workers, devices)
            return 0
        return _run(grid, plan_, options, n_workers, expected, figures)
    finally:
        close_pool()


def _request(asked: dict[str, Any]) -> Any:
    from bench import registry
    from bench.running.grid import Request
    from bench.selection import parse_seeds
    from metrics.registry import split_ids

    metrics = None
    if asked["metrics"] is not None:
        metrics = tuple(split_ids(asked["metrics"]))
        if not metrics:
            raise UsageError("--metrics is empty; leave it out for the protocol's own set")
    methods = asked["methods"]
    if asked["references"]:
        named = {item.partition("[")[0].strip() for item in methods.split(",")}
        references = [name for name, entry in registry.methods().items() if entry.card.family == "reference"]
        methods = ",".join([methods, *(name for name in references if name not in named)])
    return Request(
        methods, asked["datasets"], parse_seeds(asked["seeds"]), asked["budget"], asked["protocol"], metrics,
        asked["precision"], asked["threads"], asked["score_every"],
    )  # fmt: skip


def _print_plan(
    grid: Any, plan_: Any, expected: dict[str, float], basis: str, workers: int, devices: tuple[str, ...]
) -> None:
    from bench.running.progress import clock

    for note in plan_.notes:
        click.echo(f"bench: {note}", err=True)
    for line in _todo_lines(plan_.todo, expected):
        click.echo(line)
    for line in _skipped_lines(grid.skipped):
        click.echo(line)
    click.echo(f"{len(plan_.todo)} runs to do, {len(plan_.stored)} stored already, {len(grid.skipped)} do not apply")
    if plan_.todo:
        total = max(sum(expected.values()) / workers, max(expected.values()))
        click.echo(f"about {clock(total)} with {workers} worker(s) on {', '.join(devices)}, judged by {basis}")


def _todo_lines(todo: Sequence[RunSpec], expected: Mapping[str, float]) -> list[str]:
    """One line for each method on each data set, whatever the number of its settings and seeds."""
    from bench.running.progress import clock

    cells: dict[tuple[str, str], list[RunSpec]] = {}
    for spec in todo:
        cells.setdefault((spec.method, spec.dataset), []).append(spec)
    wide = [max((len(names[i]) for names in cells), default=0) for i in (0, 1)]
    lines = []
    for (method, dataset), specs in cells.items():
        n_settings = len({replace(spec, seed=0).hash for spec in specs})
        settings = f" ({n_settings} settings)" if n_settings > 1 else ""
        one = clock(sum(expected[spec.hash] for spec in specs) / len(specs))
        runs = f"{len(specs):>4} run{'s' if len(specs) > 1 else ' '}"
        lines.append(f"{method:<{wide[0]}}  {dataset:<{wide[1]}}  {runs} of about {one}{settings}")
    return lines


def _skipped_lines(skipped: Sequence[tuple[RunSpec, str]]) -> list[str]:
    """One line for each method on each data set and reason; a number where it is several runs."""
    counts = Counter((spec.method, spec.dataset, reason) for spec, reason in skipped)
    return [
        f"{method} on {dataset}: {'skipped' if n == 1 else f'{n} runs skipped'}, {reason}"
        for (method, dataset, reason), n in counts.items()
    ]


def _run(grid: Any, plan_: Any, options: Any, workers: int, expected: dict[str, float], figures: bool) -> int:
    from bench.cli import display
    from bench.cli.results import write_results
    from bench.running.progress import clock
    from bench.running.runner import Outcome, plan, run
    from bench.store import Store

    try:
        with display.make() as shown:
            for note in plan_.notes:
                shown.note(note)
            shown.note(f"{len(plan_.todo)} runs to do with {workers} worker(s), {len(plan_.stored)} stored already")
            outcome = run(plan_, grid, options, workers, expected, shown)
    except KeyboardInterrupt:  # another one, while the first was being dealt with
        outcome = Outcome(interrupted=True)
    store = Store(options.folders.results)
    if outcome.interrupted:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: os._exit(1))  # all is stored; who asks again need not wait for the rest
        left = len(plan(grid, store, options, set_aside=False).todo)
        click.echo(f"bench: stopped with {left} run(s) to go; the same command goes on where they were", err=True)
        return 1
    rows = [store.read(spec) for spec in grid.runs] + [store.read(spec) for spec, _ in grid.skipped]
    write_results([row for row in rows if row is not None], Path(options.folders.results), figures)
    bad = [row for row in rows if row is not None and row["status"] in ("failed", "diverged")]
    for row in bad:
        spec = row["spec"]
        what = f"{spec['method']} on {spec['dataset']}, seed {spec['seed']}"
        click.echo(f"bench: {what}: {row['status']}, {row['reason']} (row {row['hash']})", err=True)
    click.echo(f"bench: {sum(outcome.finished.values())} runs in {clock(outcome.seconds)}", err=True)
    return 1 if bad or {"failed", "diverged"} & set(outcome.finished) else 0
