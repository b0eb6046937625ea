"""One run's own page: a single HTML file that holds everything it shows and asks no other address for anything.

Names, reasons and tracebacks come from outside: jinja2 escapes all of them, and the page forbids its own scripts.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from bench.report import svg
from bench.report.cards import Column, card_of, column, in_table_order, is_secondary
from bench.report.escape import plain
from bench.report.frame import Cell, Defaults, Group, Row, Score, format_value, groups
from bench.report.strips import Strip
from bench.report.tables import format_cost, format_score, judge_text
from bench.report.terms import in_term_order, term_title

MATRIX = "mcc[spearman]"
MOST_LATENTS = 20  # columns of the correlation table
_REFERENCES = ("random_codes", "oracle")
Parameter = tuple[str, str, str]
"""Name, value, and its default where it is another."""
_PHASES = ("data", "training", "encoding", "metrics", "other")


@dataclass(frozen=True)
class Missing:
    """Something that the page would show, why it does not, and what to type to have it."""

    what: str
    why: str
    commands: tuple[str, ...] = ()


@dataclass(frozen=True)
class Traversals:
    """Pictures of a run's latents.

    Attributes:
        base: number of the evaluation row they start from.
        n_latents: of the code, which may be more than there are strips.
    """

    strips: Sequence[Strip]
    base: int = 0
    n_latents: int = 0


@dataclass(frozen=True)
class Figure:
    """A picture with what stands beside it; ``source`` is a data address."""

    caption: str
    source: str
    alt: str


@dataclass(frozen=True)
class Pictures:
    """A section of pictures that only some runs have.

    Attributes:
        text: how to read them.
    """

    title: str
    text: str
    figures: Sequence[Figure]


def render(
    row: Row,
    rows: Sequence[Row],
    *,
    defaults: Defaults | None = None,
    about: Mapping[str, Mapping[str, str]] | None = None,
    traversals: Traversals | None = None,
    pictures: Sequence[Pictures] = (),
    missing: Sequence[Missing] = (),
) -> str:
    """The page of ``row`` as HTML.

    Args:
        rows: of the store, ``row`` among them: for the other seeds of its cell and the reference points of its group.
        defaults: marks the parameters that differ from them.
        about: "method" and "dataset" → title, paper, summary of their cards.
        pictures: further sections below the traversals.
        missing: what could not be had beyond what this module sees for itself.
    """
    group, cell = _place_of(row, rows, defaults)
    matrix = _matrix(row)
    lacking = [*missing, *_lacking(row, matrix)]
    folder = Path(__file__).parent / "templates"
    environment = Environment(
        loader=FileSystemLoader(folder), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=StrictUndefined, finalize=_printable,
    )  # fmt: skip
    return environment.get_template("run.html").render(
        again=command_of(row["spec"], defaults) if defaults else "",
        row=row, spec=row["spec"], label=group.cell_label(cell), about=about or {},
        style=Markup((folder / "run.css").read_text(encoding="utf-8")),
        scores=_scores(row, group, cell), has_references=bool(_references(group)), cards=_cards(row),
        terms=_terms(row, cell), on_the_way=_on_the_way(row, cell), n_siblings=len(_siblings(row, cell)),
        matrix=matrix, matrix_value=_text(row["metrics"].get(MATRIX, {}).get("value")),
        traversals=traversals, pictures=pictures, missing=lacking,
        settings=_settings(row["spec"]), parameters=_parameters(row["spec"], defaults),
        cell=_cell_rows(row, cell), headline=_headline(row),
        phases=_phases(row), costs=_costs(row), made=_made(row), versions=_versions(row),
    )  # fmt: skip


def _place_of(row: Row, rows: Sequence[Row], defaults: Defaults | None) -> tuple[Group, Cell]:
    """The group and the cell that hold the row."""
    others = [one for one in rows if one["hash"] != row["hash"]]
    for group in groups([*others, row], defaults):
        for cell in group.cells:
            if any(one["hash"] == row["hash"] for one in cell.rows):
                return group, cell
    raise AssertionError("every row is in a group")


def _scores(row: Row, group: Group, cell: Cell) -> list[dict[str, Any]]:
    """One line per number: the score, its place between the bounds, and what to hold it against."""
    references = _references(group)
    found = []
    for key in in_table_order(row["metrics"]):
        of, entry = column(key), row["metrics"][key]
        mean = cell.score(key)
        beside = {name: _mean(one.score(key)) for name, one in references.items()}
        found.append({
            "key": _breakable(key), "arrow": of.arrow, "value": _text(entry["value"]), "reason": entry["reason"],
            "direction": {True: "higher is better", False: "lower is better", None: "unknown direction"}[
                of.higher_is_better
            ],
            "range": _range(of), "place": _drawn_place(entry["value"], of),
            "ends": ["—" if end is None else svg.number(end) for end in (of.floor, of.ceiling)],
            "cell": format_score(mean, 3), "n": len(mean.values), "secondary": is_secondary(key),
            "references": [beside.get(name, "—") for name in _REFERENCES],
        })  # fmt: skip
    return found


def _references(group: Group) -> dict[str, Cell]:
    """The cells of noise and of a perfect code, where this data set has them in the store."""
    return {cell.method: cell for cell in group.cells if cell.method in _REFERENCES and cell.done}


def _drawn_place(value: float | None, of: Column) -> Markup:
    low, high = of.bounds
    marks = [one for one in (of.floor, of.ceiling) if one is not None]
    if value is None or low is None:
        return Markup("")
    return svg.place(value, low, high if high is not None else 1.15 * max([value, *marks, 1e-9]), marks)


def _range(of: Column) -> tuple[str, str]:
    low, high = of.bounds
    return "−∞" if low is None else svg.number(low), "∞" if high is None else svg.number(high)


def _mean(score: Score) -> str:
    return "—" if score.estimate is None else f"{score.estimate.mean:.3f}"


def _breakable(key: str) -> Markup:
    """A metric key that a narrow screen may break before its parts."""
    return Markup("<wbr>").join(re.findall(r"[\[/@]?[^\[/@]*", plain(key)))


def _cards(row: Row) -> list[dict[str, Any]]:
    """The card of each metric that was scored, once."""
    found: dict[str, dict[str, Any]] = {}
    for key in in_table_order(row["metrics"]):
        card = card_of(key)
        if card is None:
            continue
        entry = found.setdefault(card.name, {"card": card, "numbers": []})
        entry["numbers"].append((column(key), _range(column(key)), row["metrics"][key]["version"]))
    return list(found.values())


def _siblings(row: Row, cell: Cell) -> list[Row]:
    return [one for one in cell.done if one["hash"] != row["hash"]]


def _terms(row: Row, cell: Cell) -> list[dict[str, Any]]:
    """A chart for each term of the loss; the cell's other seeds stand thin behind it."""
    found = []
    for name in in_term_order(name for name in _curve(row) if name != "step"):
        own, others = _points(row, name), [_points(one, name) for one in _siblings(row, cell) if name in _curve(one)]
        found.append({"name": term_title(name), "chart": _chart(term_title(name), own, others)})
    return found


def _on_the_way(row: Row, cell: Cell) -> list[dict[str, Any]]:
    """A chart for each score that was taken during training."""
    keys = {key for one in (row["training"].get("scores") or []) for key in one["metrics"]}
    found = []
    for key in in_table_order(key for key in keys if not is_secondary(key)):
        others = [line for one in _siblings(row, cell) if (line := _scored(one, key))[0]]
        found.append({"name": column(key).title, "chart": _chart(key, _scored(row, key), others)})
    return found


def _chart(name: str, own: svg.Series, others: Sequence[svg.Series]) -> Markup:
    known = [(x, y) for x, y in zip(*own, strict=True) if y is not None]
    words = f"{name} over training steps"
    if known:
        (first, start), (last, end) = known[0], known[-1]
        words += f": {svg.number(start)} at step {svg.number(first)}, {svg.number(end)} at step {svg.number(last)}"
    return svg.line_chart([own], others, x_label="training step", describe=plain(words))


def _curve(row: Row) -> Mapping[str, Sequence[float | None]]:
    return (row.get("training") or {}).get("curve") or {}


def _points(row: Row, term: str) -> svg.Series:
    curve = _curve(row)
    return curve["step"], curve[term]  # type: ignore[return-value]


def _scored(row: Row, key: str) -> svg.Series:
    scored = [one for one in (row["training"].get("scores") or []) if key in one["metrics"]]
    return [one["step"] for one in scored], [one["metrics"][key] for one in scored]


def _matrix(row: Row) -> dict[str, Any] | None:
    """|correlation| of factors and latents: assigned latents first, in the order of their factors."""
    details = row["details"].get(MATRIX)
    if not details or "correlation" not in details:
        return None
    values, assignment = details["correlation"], details["assignment"]
    names = details.get("factors") or [f"factor {i}" for i in range(len(values))]
    chosen = [j for j in assignment if j is not None]
    rest = sorted(
        (j for j in range(len(values[0])) if j not in chosen), key=lambda j: -max(float(line[j]) for line in values)
    )
    order = (chosen + rest)[: max(MOST_LATENTS, len(chosen))]
    lines = [
        (name, [(f"{line[j]:.2f}", round(float(line[j]), 3), j == given) for j in order])
        for name, line, given in zip(names, values, assignment, strict=True)
    ]
    return {"latents": order, "lines": lines, "n_latents": len(values[0])}


def _lacking(row: Row, matrix: Any) -> list[Missing]:
    """What this row cannot show, seen from the row alone."""
    found: list[Missing] = []
    if row["status"] != "done":
        return found
    if len(_curve(row)) < 2:
        of_codes = row["spec"]["view"] == "codes"
        why = "the codes were made elsewhere" if of_codes else f"{row['spec']['method']} is not trained by gradient"
        found.append(Missing("Learning curves", why))
    if matrix is None:
        found.append(Missing("Correlation matrix", f"{MATRIX} was not scored; `bench run … --metrics mcc` adds it"))
    return found


def _settings(spec: Mapping[str, Any]) -> list[tuple[str, str]]:
    names = ("source", "fingerprint", "view", "budget", "seed", "protocol", "precision", "threads", "score_every")
    return [(name.replace("_", " "), str(spec[name])) for name in names if spec[name] not in ("", 0) or name == "seed"]


def _parameters(
    spec: Mapping[str, Any], defaults: Defaults | None
) -> list[tuple[str, str, list[tuple[str, str, str]]]]:
    """(kind, name, [(parameter, value, its default where it is another)]) of method and data set."""
    found = []
    for kind in ("method", "dataset"):
        of_codes = spec["view"] == "codes"  # whose method may share the name of one that is registered
        default = defaults(kind, spec[kind], spec["budget"]) if defaults and not of_codes else {}
        lines = []
        for name, value in spec[f"{kind}_params"].items():
            usual = default.get(name, value)
            usual = list(usual) if isinstance(usual, tuple) else usual
            lines.append((name, format_value(value), "" if usual == value else format_value(usual) or "empty"))
        found.append((kind.replace("dataset", "data set"), spec[kind], lines))
    return found


def _headline(row: Row) -> list[str]:
    """Keys of the few numbers that tell the seeds of a cell apart."""
    return [key for key in in_table_order(row["metrics"]) if not is_secondary(key)][:4]


def _cell_rows(row: Row, cell: Cell) -> list[dict[str, Any]]:
    keys = _headline(row)
    return [
        {
            "seed": one["spec"]["seed"], "hash": one["hash"], "status": one["status"],
            "is_this": one["hash"] == row["hash"],
            "values": [_text(one["metrics"].get(key, {}).get("value")) for key in keys],
        }
        for one in cell.rows
    ]  # fmt: skip


def _phases(row: Row) -> list[tuple[str, str, Markup]]:
    seconds = row["cost"].get("seconds") or {}
    total = sum(seconds.get(name, 0.0) for name in _PHASES) or 1.0
    return [(name, format_cost(seconds[name]), svg.share(seconds[name] / total)) for name in _PHASES if name in seconds]


def _costs(row: Row) -> list[tuple[str, str]]:
    cost, training = row["cost"], row["training"]
    waiting = cost.get("waiting_for_data")
    found = [
        ("in all", f"{format_cost((cost.get('seconds') or {}).get('total'))} s"),
        ("device", cost.get("device") or "—"),
        ("steps", f"{training.get('n_steps', 0):,}"),
        ("parameters", f"{training.get('n_parameters', 0):,}"),
        ("frames per second", format_cost(cost.get("frames_per_second"))),
        ("processor time of training", f"{format_cost(cost.get('training_processor_seconds'))} s"),
        ("waiting for data", "—" if waiting is None else f"{100 * waiting:.2g} % of training"),
        ("peak memory", f"{format_cost(cost.get('peak_memory_mb'))} MB"),
        ("peak GPU memory", f"{format_cost(cost.get('peak_gpu_memory_mb'))} MB"),
    ]
    return [(name, text) for name, text in found if not text.startswith("—") and text != "0"]


def _made(row: Row) -> list[tuple[str, str]]:
    made = row["provenance"]
    again = made.get("scored_again") or {}
    found = [("row", row["hash"]), ("bench", str(row.get("suite", ""))), ("git commit", made.get("git_commit", ""))]
    found += [("data set version", str(row.get("dataset_version", "")))]
    found += [(name, _in_words(value)) for name, value in (made.get("hardware") or {}).items()]
    found += [(name, _moment(made.get(name, ""))) for name in ("started", "finished")]
    if again:
        found += [("scored again", f"{_moment(again.get('started', ''))} at {again.get('git_commit', '')}")]
    found += [("judge", judge_text(row["judge"]))] if row.get("judge") else []
    found += [("codes", str(row["codes"].get("file", "")))] if row.get("codes") else []
    found += [("noticed", note) for note in row.get("notes", [])]
    words = {"memory_gb": "memory, GB"}
    return [(words.get(name, name.replace("_", " ")), str(text)) for name, text in found if text]


def _moment(text: str) -> str:
    """``2026-11-22T04:08:34.674+00:00`` → ``2026-11-22 04:08:34 UTC``."""
    return f"{text[:10]} {text[11:19]} UTC" if text.endswith("+00:00") else text


def _in_words(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _versions(row: Row) -> list[tuple[str, str]]:
    return [(name, str(version)) for name, version in (row["provenance"].get("versions") or {}).items()]


def command_of(spec: Mapping[str, Any], defaults: Defaults) -> str:
    """The command that makes this run, parameters that are the defaults left out; empty where it cannot be typed."""
    parts = {kind: _selection(spec, kind, defaults) for kind in ("method", "dataset")}
    if spec["view"] == "codes" or None in parts.values():
        return ""
    words = ["bench", "run", "--methods", parts["method"], "--datasets", parts["dataset"], "--budget", spec["budget"]]
    words += ["--seeds", f"{spec['seed']},", "--protocol", spec["protocol"], "--precision", spec["precision"]]
    words += ["--threads", str(spec["threads"])] if spec["threads"] != 1 else []
    words += ["--score-every", str(spec["score_every"])] if spec["score_every"] else []
    return shlex.join(str(word) for word in words)


def _selection(spec: Mapping[str, Any], kind: str, defaults: Defaults) -> str | None:
    """``name[key=value,…]``, or None where a value has no spelling there."""
    default = defaults(kind, spec[kind], spec["budget"])
    pieces = []
    for name, value in spec[f"{kind}_params"].items():
        usual = default.get(name)
        usual = list(usual) if isinstance(usual, tuple) else usual
        if usual == value and type(usual) is type(value):
            continue
        text = str(value).lower() if isinstance(value, bool) else str(value)
        if not isinstance(value, (bool, int, float, str)) or not text or set(text) & set(",[]="):
            return None
        pieces.append(f"{name}={text}")
    return f"{spec[kind]}[{','.join(pieces)}]" if pieces else str(spec[kind])


def _text(value: float | None) -> str:
    return "—" if value is None else f"{value:.4f}" if abs(value) < 1000 else f"{value:.4g}"


def _printable(value: Any) -> Any:
    """Text without control characters, line breaks kept; what is drawn already as it is."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return "\n".join(plain(line) for line in value.split("\n"))
    return value
