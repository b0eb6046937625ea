"""``bench doctor``."""

from __future__ import annotations

import dataclasses
import json
import time
from typing import Any

import click

from bench.cli.options import data_root_option, results_option

_COLOURS = {"ok": "green", "note": "yellow", "broken": "red"}


@click.command("doctor")
@click.option("--devices", default="auto", show_default=True, help="Where the self-test trains: auto, cpu, cuda:0.")
@click.option("--self-test/--no-self-test", default=True, show_default=True, help="Train and score for some seconds.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable: every fact.")
@results_option
@data_root_option
def command(devices: str, self_test: bool, as_json: bool, results: str, data_root: str | None) -> int:
    """Check this machine: versions, devices, data, disk, and a self-test that ends with numbers.

    Exit code 1 where something is broken; its line says what to do.

    Example: bench doctor
    """
    from bench.doctor import Check, examine, is_sound
    from bench.opening import Folders

    if devices != "auto":
        from bench.running.grid import resolve_devices

        resolve_devices(devices, None, 1)  # a device that is not there is a slip of the caller's, not of the machine
    started = time.perf_counter()
    done: list[Check] = []
    for check in examine(Folders.from_environment(results, data_root), devices, self_test):
        done.append(check)
        if not as_json:
            _print(check)
    seconds, sound = time.perf_counter() - started, is_sound(done)
    if as_json:
        found: dict[str, Any] = {"schema": 1, "ok": sound, "seconds": round(seconds, 2)}
        found["checks"] = [dataclasses.asdict(check) for check in done]
        click.echo(json.dumps(found, indent=1, ensure_ascii=False))
    else:
        broken = [check.name for check in done if check.state == "broken"]
        verdict = f"broken: {', '.join(broken)}" if broken else "all sound"
        click.echo(f"{verdict} ({seconds:.1f} s)")
    return 0 if sound else 1


def _print(check: Any) -> None:
    """A line for the check and, where there is something to do, one for that; colours only on a terminal."""
    click.echo(f"{click.style(f'{check.state:<6}', fg=_COLOURS[check.state])}  {check.name:<9}  {check.text}")
    if check.advice:
        click.echo(f"{'':<19}→ {check.advice}")
