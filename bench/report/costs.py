"""What training costs: wall and processor time of a step, peak memory, and how many times those of one method."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.report.escape import latex, markdown, plain, spreadsheet
from bench.report.frame import Cell, Defaults, Group, Row, groups
from bench.report.labels import title_of
from bench.report.tables import format_cost

Choose = Callable[[Group], Sequence[Cell]]
"""The cells of a group that may be what others are measured against."""

HEAD = (
    "method", "seeds", "parameters", "batch", "frames a step", "ms a step", "×", "processor ms a step", "×",
    "peak memory, MB", "×",
)  # fmt: skip
CSV_HEAD = (
    "dataset", "source", "budget", "protocol", "method", "seeds", "device", "n_parameters", "batch_size",
    "frames_per_step", "against", "ms_per_step", "step_ratio", "processor_ms_per_step", "processor_ratio",
    "peak_memory_mb", "memory_ratio",
)  # fmt: skip
NOTES = (
    "means over finished seeds; time of training steps, with the data they wait for; a sequence is several frames",
    "ms a step are of the clock on the wall, which also counts what else the machine did; processor time does not (on "
    "CPUs alone, and of rows that measured it)",
    "memory on CPUs: of the whole process, libraries and data included; on GPUs: what torch allocated there",
    "ratios are of rows from one kind of device and processor, with as many threads",
)


@dataclass(frozen=True)
class Cost:
    """Of one cell on one kind of machine; None where it was not measured.

    Attributes:
        machine: device, processor and threads; costs of two machines are not compared.
        frames: observations that a step is given, over time.
        step_ms, processor_ms: wall and processor time of a training step.
        memory_mb: peak, of the process or, on a GPU, what was allocated there.
    """

    label: str
    n_seeds: int
    machine: tuple[str, str, str]
    n_parameters: int | None
    batch_size: int | None
    frames: float | None
    step_ms: float | None
    processor_ms: float | None
    memory_mb: float | None


@dataclass(frozen=True)
class CostTable:
    """The costs of one group.

    Attributes:
        costs: methods that were trained in steps.
        shown: those of them that are printed.
        against: label of the method that ratios are to; empty where it was not run here.
        missing: why there are no ratios; empty where there are.
    """

    group: Group
    costs: tuple[Cost, ...]
    shown: tuple[Cost, ...]
    against: str
    missing: str

    def ratios(self, of: Cost) -> tuple[float | None, float | None, float | None]:
        """Wall and processor time of a step, and memory, over those of ``against`` on the same kind of machine."""
        base = next((one for one in self.costs if (one.label, one.machine) == (self.against, of.machine)), None)
        if base is None:
            return None, None, None
        return (
            _ratio(of.step_ms, base.step_ms), _ratio(of.processor_ms, base.processor_ms),
            _ratio(of.memory_mb, base.memory_mb),
        )  # fmt: skip


def _ratio(value: float | None, base: float | None) -> float | None:
    return value / base if value is not None and base else None


def cost_tables(
    rows: Iterable[Row], text: str, choose: Choose, defaults: Defaults | None = None, methods: Collection[str] = ()
) -> list[CostTable]:
    """One table for each group in which methods to be shown were trained in steps.

    Args:
        text: what ratios are to, as it was typed.
        choose: the cells of a group that it may mean.
        methods: to be shown, beside what ratios are to; all where none is named.
    """
    found = []
    for group in groups(rows, defaults):
        costs = [(cell, cost) for cell in group.cells for cost in costs_of(group.cell_label(cell), cell)]
        measured = {cost.label for _, cost in costs}
        meant = [label for cell in choose(group) if (label := group.cell_label(cell)) in measured]
        against = meant[0] if len(meant) == 1 else ""
        wanted = [cost for cell, cost in costs if not methods or cell.method in methods]
        if not wanted:
            continue
        shown = [cost for _, cost in costs if cost in wanted or cost.label == against]
        several = f"'{text}' may be {', '.join(meant)}; type its parameters" if meant else f"'{text}' was not run here"
        missing = "" if against else f"no ratios: {several}"
        found.append(CostTable(group, tuple(cost for _, cost in costs), tuple(shown), against, missing))
    return found


def costs_of(label: str, cell: Cell) -> list[Cost]:
    """One for each kind of machine that finished seeds of the cell ran on; none for what has no training steps."""
    by_machine: dict[tuple[str, str, str], list[Row]] = {}
    for row in cell.done:
        if _steps(row) and _seconds(row):
            by_machine.setdefault(_machine(row), []).append(row)
    return [
        Cost(
            label,
            len(some),
            machine,
            (some[0].get("training") or {}).get("n_parameters") or None,
            cell.spec["method_params"].get("batch_size"),
            _mean(
                [rate * seconds / _steps(row) for row in some if (rate := _rate(row)) and (seconds := _seconds(row))]
            ),
            _mean([1000 * seconds / _steps(row) for row in some if (seconds := _seconds(row))]),
            _mean([1000 * seconds / _steps(row) for row in some if (seconds := _processor_seconds(row))]),
            _mean([memory for row in some if (memory := _memory(row))]),
        )
        for machine, some in by_machine.items()
    ]


def _steps(row: Row) -> int:
    return int((row.get("training") or {}).get("n_steps") or 0)


def _rate(row: Row) -> float | None:
    return row["cost"].get("frames_per_second")


def _processor_seconds(row: Row) -> float | None:
    return row["cost"].get("training_processor_seconds")


def _seconds(row: Row) -> float | None:
    return (row["cost"].get("seconds") or {}).get("training")


def _memory(row: Row) -> float | None:
    cost = row["cost"]
    return cost.get("peak_gpu_memory_mb") or cost.get("peak_memory_mb")


def _machine(row: Row) -> tuple[str, str, str]:
    device = str(row["cost"].get("device") or "unknown")
    hardware: Mapping[str, Any] = (row.get("provenance") or {}).get("hardware") or {}
    cards = ", ".join(hardware.get("cuda") or []) if device.startswith("cuda") else ""
    return device.partition(":")[0], cards or str(hardware.get("processor") or ""), str(row["spec"]["threads"])


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def render_costs(tables: Sequence[CostTable], form: str) -> str:
    """The tables as text, Markdown (md), LaTeX (booktabs) or CSV.

    Raises:
        ValueError: another format.
    """
    writers = {"text": _to_text, "md": _to_markdown, "latex": _to_latex}
    if form == "csv":
        return _to_csv(tables)
    if form not in writers:
        raise ValueError(f"unknown format '{form}'; choose one of text, md, csv, latex")
    return "\n".join(writers[form](table) for table in tables)


def _line(table: CostTable, cost: Cost) -> tuple[str, ...]:
    step, processor, memory = (_times(value) for value in table.ratios(cost))
    several = len({one.machine for one in table.shown}) > 1
    label = f"{cost.label} on {', '.join(filter(None, cost.machine[:2]))}" if several else cost.label
    return (
        label, str(cost.n_seeds), "—" if cost.n_parameters is None else f"{cost.n_parameters:,}",
        "—" if cost.batch_size is None else str(cost.batch_size), "—" if cost.frames is None else f"{cost.frames:.0f}",
        format_cost(cost.step_ms), step, format_cost(cost.processor_ms), processor, format_cost(cost.memory_mb), memory,
    )  # fmt: skip


def _times(ratio: float | None) -> str:
    return "—" if ratio is None else f"{ratio:.2f}"


def _title(table: CostTable) -> str:
    against = f", × {table.against}" if table.against else ""
    return f"{title_of(table.group)}: cost of training{against}"


def _notes(table: CostTable) -> list[str]:
    ran = {", ".join(filter(None, (*cost.machine[:2], f"threads {cost.machine[2]}"))) for cost in table.shown}
    return [*filter(None, [table.missing]), *NOTES, f"ran on {'; '.join(sorted(ran))}"]


def _to_text(table: CostTable) -> str:
    rows = [HEAD, *(_line(table, cost) for cost in table.shown)]
    widths = [max(len(plain(text)) for text in column) for column in zip(*rows, strict=True)]
    title = plain(_title(table))
    lines = [title, "=" * min(110, len(title)), ""]
    for row in rows:
        first, *rest = (plain(text) for text in row)
        lines.append("  ".join([first.ljust(widths[0]), *(t.rjust(w) for t, w in zip(rest, widths[1:], strict=True))]))
    return "\n".join([*lines, "", *(plain(note) for note in _notes(table))]) + "\n"


def _to_markdown(table: CostTable) -> str:
    lines = [f"## {markdown(_title(table))}", "", f"| {' | '.join(HEAD)} |", "| --- |" + " ---: |" * (len(HEAD) - 1)]
    lines += [f"| {' | '.join(map(markdown, _line(table, cost)))} |" for cost in table.shown]
    return "\n".join([*lines, "", *(f"- {markdown(note)}" for note in _notes(table)), ""])


def _to_latex(table: CostTable) -> str:
    lines = ["% needs \\usepackage{booktabs}", "\\begin{table}", "\\centering"]
    lines.append(f"\\caption{{{latex(_title(table))}. {latex('. '.join(_notes(table)))}}}")
    lines += [f"\\begin{{tabular}}{{l{'r' * (len(HEAD) - 1)}}}", "\\toprule"]
    lines += [" & ".join(map(latex, HEAD)).replace("×", "$\\times$") + r" \\", "\\midrule"]
    lines += [" & ".join(map(latex, _line(table, cost))) + r" \\" for cost in table.shown]
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", "\\end{table}", ""]).replace("× ", "$\\times$ ")


def _to_csv(tables: Sequence[CostTable]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CSV_HEAD)
    for table in tables:
        group = table.group
        for cost in table.shown:
            step, processor, memory = table.ratios(cost)
            values = (
                group.label, group.source, group.budget, group.protocol, cost.label, cost.n_seeds, cost.machine[0],
                cost.n_parameters, cost.batch_size, cost.frames, table.against, cost.step_ms, step, cost.processor_ms,
                processor, cost.memory_mb, memory,
            )  # fmt: skip
            writer.writerow(["" if value is None else spreadsheet(value) for value in values])
    return out.getvalue()
