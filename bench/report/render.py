"""Writes a table as plain text, Markdown or LaTeX; CSV is in ``bench.report.long_csv``."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from bench.report.cards import Column
from bench.report.escape import latex, markdown, plain
from bench.report.long_csv import to_csv
from bench.report.tables import (
    BOLD,
    BOUNDS,
    COSTS,
    INTERVALS,
    Line,
    Table,
    cost_columns,
    decimals,
    format_cost,
    format_score,
)

Format = Literal["text", "md", "csv", "latex"]


def render(tables: Sequence[Table], form: Format, width: int = 110) -> str:
    """All tables in one format, ending in a newline.

    Args:
        width: characters in a line of text; wider tables are split. The other formats have no use for it.

    Raises:
        ValueError: an unknown format.
    """
    if form == "csv":
        return to_csv(tables)
    writers: dict[str, Callable[[Table], str]] = {
        "text": lambda table: to_text(table, width),
        "md": to_markdown,
        "latex": to_latex,
    }
    if form not in writers:
        raise ValueError(f"unknown table format '{form}'; choose one of {', '.join(get_args(Format))}")
    return "\n".join(writers[form](table) for table in tables)


@dataclass(frozen=True)
class _TextColumn:
    """A column as text: the lines of its title, one entry per line of the table, floor and ceiling."""

    head: list[str]
    entries: list[str]
    floor: str
    ceiling: str

    @property
    def width(self) -> int:
        return max(map(len, [*self.head, *self.entries, self.floor, self.ceiling]), default=0)


def to_text(table: Table, width: int = 110) -> str:
    """Plain text for a terminal or a log: what does not fit side by side goes to further blocks."""
    columns = [
        _TextColumn(
            _wrap_title(plain(c.key), c.arrow),
            [_text_entry(line, c, decimals(table.lines, c)) for line in table.lines],
            _bound(c.floor),
            _bound(c.ceiling),
        )
        for c in table.columns
    ]
    costs = [cost_columns(line.cell) for line in table.lines]
    cost = [_TextColumn([title], [format_cost(c[key]) for c in costs], "", "") for key, title in COSTS.items()]
    labels = [_marked(plain(line.label), line, "") for line in table.lines]
    label_width = max([len("ceiling"), *map(len, labels)])
    title = plain(table.title)
    lines = [title, "=" * min(len(title), width)]
    lines += _fill([f"{name}: {plain(text)}" for name, text in table.header], width, " | ")
    for block in _blocks([*([c] for c in columns), cost], width - label_width - 7):
        lines += ["", *_text_block(table, block, labels, label_width)]
    return "\n".join([*lines, "", *_text_notes(table, width)]) + "\n"


def _text_block(table: Table, block: Sequence[_TextColumn], labels: Sequence[str], label_width: int) -> list[str]:
    def join(label: str, seeds: str, texts: Iterable[str]) -> str:
        padded = (text.rjust(column.width) for column, text in zip(block, texts, strict=True))
        return "  ".join([label.ljust(label_width), seeds.rjust(5), *padded]).rstrip()

    height = max((len(column.head) for column in block), default=1)
    heads = [[""] * (height - len(column.head)) + column.head for column in block]
    lines = [join("", "", (head[i] for head in heads)) for i in range(height - 1)]
    lines.append(join("method", "seeds", (head[-1] for head in heads)))
    rule = "-" * (label_width + 7 + sum(column.width + 2 for column in block))
    for is_reference in (False, True):
        chosen = [i for i, line in enumerate(table.lines) if line.is_reference is is_reference]
        lines += [rule] if chosen else []
        for i in chosen:
            line = table.lines[i]
            if line.cell.done:
                lines.append(join(labels[i], line.seed_count, (column.entries[i] for column in block)))
            else:
                lines.append(f"{labels[i].ljust(label_width)}  {line.seed_count.rjust(5)}  — ({plain(line.loss)})")
    if any(column.floor.strip("— ") or column.ceiling.strip("— ") for column in block):
        lines.append(rule)
        lines.append(join("floor", "", (column.floor for column in block)))
        lines.append(join("ceiling", "", (column.ceiling for column in block)))
    return lines


def _text_notes(table: Table, width: int) -> list[str]:
    notes = [INTERVALS, "↑ higher is better, ↓ lower is better"]
    notes += [f"* {BOLD}"] if any(line.best for line in table.lines) else []
    notes += [BOUNDS] if table.has_bounds else []
    notes += [f"[{letter}] {text}" for letter, text in table.footnotes]
    notes += _shared_notes(table)
    return [line for note in notes for line in _hang(plain(note), width)]


def _shared_notes(table: Table) -> list[str]:
    notes = [f"no method has {', '.join(keys)}: {why}" for keys, why in table.unscored]
    notes += [f"skipped: {label}: {reason}" for label, reason in table.skipped]
    notes += [f"only in the CSV: {', '.join(table.hidden)}"] if table.hidden else []
    return notes + [f"{label}: {text}" for label, text in table.settings]


def to_markdown(table: Table, heading: str = "##") -> str:
    """A Markdown section: heading, what all lines share, the table, its notes."""
    head = ["method", "seeds", *(markdown(c.title) for c in table.columns), *COSTS.values()]
    rows = [head, ["---", *["---:"] * (len(head) - 1)]]
    for line in [*table.methods, *table.references]:
        label = f"_{markdown(line.label)}_" if line.is_reference else markdown(line.label)
        mark = f"<sup>{line.marks['']}</sup>" if "" in line.marks else ""
        numbers = [_markup_entry(line, c, table, "**{}**", "<sup>{}</sup>") for c in table.columns]
        if not line.cell.done and numbers:
            numbers[0] = f"— ({markdown(line.loss)})"
        costs = cost_columns(line.cell)
        rows.append([label + mark, line.seed_count, *numbers, *(format_cost(costs[key]) for key in COSTS)])
    if table.has_bounds:
        blank = [""] * len(COSTS)
        rows.append(["_floor_", "", *(_bound(c.floor) for c in table.columns), *blank])
        rows.append(["_ceiling_", "", *(_bound(c.ceiling) for c in table.columns), *blank])
    notes = [INTERVALS + "; reference points and bounds in italics"]
    notes += [f"bold: {BOLD}"] if any(line.best for line in table.lines) else []
    notes += [BOUNDS] if table.has_bounds else []
    notes += [f"<sup>{letter}</sup> {markdown(text)}" for letter, text in table.footnotes]
    notes += [markdown(note) for note in _shared_notes(table)]
    lines = [f"{heading} {markdown(table.title)}", ""]
    lines += [" · ".join(f"{name}: {markdown(text)}" for name, text in table.header), ""]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([*lines, "", *(f"- {note}" for note in notes), ""])


def to_latex(table: Table, per_block: int = 5) -> str:
    """A LaTeX table for booktabs; more than ``per_block`` metrics go to further tabulars under one caption."""
    body = []
    for start in range(0, max(len(table.columns), 1), per_block):
        body += [*_latex_tabular(table, table.columns[start : start + per_block]), ""]
    notes = [f"{name}: {text}" for name, text in table.header] + [INTERVALS]
    notes += [f"bold: {BOLD}"] if any(line.best for line in table.lines) else []
    notes += [BOUNDS] if table.has_bounds else []
    small = [f"$^{{{letter}}}$ {latex(text)}" for letter, text in table.footnotes]
    small += [latex(note) for note in _shared_notes(table)]
    return "\n".join(
        [
            "% needs \\usepackage{booktabs}",
            "\\begin{table}",
            "\\centering",
            f"\\caption{{{latex(table.title)}. {latex('; '.join(notes))}.}}",
            *body,
            "\\par\\smallskip\\footnotesize\\raggedright",
            *(f"{note}.\\\\" for note in small),
            "\\end{table}",
            "",
        ]
    )


def _latex_tabular(table: Table, columns: Sequence[Column]) -> list[str]:
    titles = (" \\\\ ".join(map(latex, _wrap_title(c.key, c.arrow))) for c in columns)
    head = ["method", "seeds", *(f"\\shortstack[r]{{{title}}}" for title in titles)]
    body = [" & ".join(head)]
    rules = {0: "\\midrule"}
    for lines in (table.methods, table.references):
        body += [_latex_line(line, columns, table) for line in lines]
        rules[len(body) - 1] = "\\midrule"
    if any(c.floor is not None or c.ceiling is not None for c in columns):
        body.append(" & ".join(["floor", "", *(latex(_bound(c.floor)) for c in columns)]))
        body.append(" & ".join(["ceiling", "", *(latex(_bound(c.ceiling)) for c in columns)]))
    rules[len(body) - 1] = "\\bottomrule"
    ruled = [part for i, row in enumerate(body) for part in (row + r" \\", rules.get(i, "")) if part]
    return [f"\\begin{{tabular}}{{l{'r' * (len(columns) + 1)}}}", "\\toprule", *ruled, "\\end{tabular}"]


def _latex_line(line: Line, columns: Sequence[Column], table: Table) -> str:
    mark = f"$^{{{line.marks['']}}}$" if "" in line.marks else ""
    head = [latex(line.label) + mark, line.seed_count]
    if not line.cell.done and columns:
        return " & ".join([*head, f"\\multicolumn{{{len(columns)}}}{{l}}{{--- ({latex(line.loss)})}}"])
    numbers = [_markup_entry(line, c, table, "\\textbf{{{}}}", "$^{{{}}}$") for c in columns]
    return " & ".join([*head, *(number.replace("±", "$\\pm$").replace("—", "---") for number in numbers)])


def _marked(text: str, line: Line, key: str) -> str:
    return f"{text} [{line.marks[key]}]" if key in line.marks else text


def _text_entry(line: Line, of: Column, digits: int) -> str:
    text = format_score(line.scores[of.key], digits) + ("*" if of.key in line.best else "")
    return _marked(text, line, of.key)


def _markup_entry(line: Line, of: Column, table: Table, bold: str, mark: str) -> str:
    text = format_score(line.scores[of.key], decimals(table.lines, of))
    text = bold.format(text) if of.key in line.best else text
    return text + mark.format(line.marks[of.key]) if of.key in line.marks else text


def _bound(value: float | None) -> str:
    return "—" if value is None else f"{value:g}"


def _wrap_title(key: str, arrow: str, width: int = 14) -> list[str]:
    """A metric key broken where its parts begin, so that columns stay as narrow as their numbers."""
    lines = [""]
    for part in re.findall(r"[\[/@_ ]?[^\[/@_, ]+,?|.", key):
        if lines[-1] and len(lines[-1]) + len(part) > width:
            lines.append("")
        lines[-1] += part
    return [*lines[:-1], f"{lines[-1]} {arrow}".rstrip()]


def _blocks(parts: Sequence[list[_TextColumn]], room: int) -> list[list[_TextColumn]]:
    """Columns in runs that fit in ``room`` characters; those of one part stay together."""
    blocks: list[list[_TextColumn]] = [[]]
    used = 0
    for part in parts:
        needed = sum(column.width + 2 for column in part)
        if blocks[-1] and used + needed > room:
            blocks.append([])
            used = 0
        blocks[-1] += part
        used += needed
    return blocks


def _fill(parts: Iterable[str], width: int, separator: str) -> list[str]:
    lines = [""]
    for part in parts:
        if lines[-1] and len(lines[-1]) + len(separator) + len(part) > width:
            lines.append("")
        lines[-1] += separator + part if lines[-1] else part
    return [wrapped for line in lines for wrapped in _hang(line, width)]


def _hang(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, subsequent_indent="    ", break_on_hyphens=False)
