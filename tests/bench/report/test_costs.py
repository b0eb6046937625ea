"""Cost of training beside that of one method."""

import csv
import io

import pytest
from synthetic_rows import row

from bench.report.costs import cost_tables, render_costs

PROCESSOR = {"processor": "EPYC"}


def costing(method, seed, seconds, memory, processor=None, device="cpu", hardware=PROCESSOR, n_steps=1000, **changes):
    one = row(method, seed, {"mig[hist20]": 0.1}, n_steps=n_steps, **changes)
    one["spec"]["method_params"]["batch_size"] = 16
    one["cost"] = {
        "seconds": {"training": seconds, "total": seconds + 5},
        "frames_per_second": 16 * n_steps / seconds,
        "peak_memory_mb": memory,
        "device": device,
    }
    one["cost"] |= {} if processor is None else {"training_processor_seconds": processor}
    one["provenance"]["hardware"] = hardware
    return one


def named(method):
    return lambda group: [cell for cell in group.cells if cell.method == method]


def lines(rows, against="betavae", **options):
    (table,) = cost_tables(rows, against, named(against), **options)
    return list(csv.DictReader(io.StringIO(render_costs([table], "csv")))), table


BETAVAE = [costing("betavae", 0, 40, 500, 30), costing("betavae", 1, 60, 700, 30)]


def test_ratios_are_of_means_over_seeds_per_step():
    rows = [*BETAVAE, costing("ffrl", 0, 300, 1500, 120, n_steps=2000)]
    (base, ffrl), _ = lines(rows)
    assert [float(base[name]) for name in ("ms_per_step", "step_ratio", "peak_memory_mb")] == [50, 1, 600]
    found = {name: float(ffrl[name]) for name in ("ms_per_step", "processor_ms_per_step", "frames_per_step")}
    assert found == pytest.approx({"ms_per_step": 150, "processor_ms_per_step": 60, "frames_per_step": 16})
    ratios = [float(ffrl[name]) for name in ("step_ratio", "processor_ratio", "memory_ratio")]
    assert ratios == pytest.approx([3.0, 2.0, 2.5])


@pytest.mark.parametrize(
    "changes",
    [{"device": "cuda:0", "hardware": {"cuda": ["H100"]}}, {"hardware": {"processor": "Xeon"}}, {"threads": 4}],
)
def test_costs_of_other_machines_are_shown_and_not_compared(changes):
    (*_, ffrl), table = lines([*BETAVAE, costing("ffrl", 0, 300, 1500, **changes)])
    assert float(ffrl["ms_per_step"]) == 300
    assert (ffrl["step_ratio"], ffrl["memory_ratio"]) == ("", "")
    assert " on " in render_costs([table], "text")


def test_rows_that_did_not_measure_processor_time_have_none_of_its_ratio():
    (_, ffrl), _ = lines([*BETAVAE, costing("ffrl", 0, 300, 1500)])
    assert (ffrl["processor_ms_per_step"], ffrl["processor_ratio"]) == ("", "")
    assert float(ffrl["step_ratio"]) == 6


def test_what_is_compared_with_is_shown_beside_the_methods_chosen():
    rows = [*BETAVAE, costing("ffrl", 0, 300, 1500), costing("sta", 0, 300, 1500)]
    found, _ = lines(rows, methods={"sta"})
    assert [one["method"] for one in found] == ["betavae", "sta"]


def test_what_trains_without_steps_has_no_cost_of_a_step():
    pca = row("pca", 0, {"mig[hist20]": 0.1}, n_steps=0)
    found, _ = lines([*BETAVAE, pca])
    assert [one["method"] for one in found] == ["betavae"]
    assert cost_tables([pca], "betavae", named("betavae")) == []


def test_without_one_baseline_there_are_no_ratios_and_the_table_says_why():
    two = [costing("betavae", 0, 40, 500), costing("ffrl", 0, 300, 1500)]
    two.append(costing("betavae", 0, 80, 500, n_steps=900))
    (table,) = cost_tables(two, "betavae", named("betavae"))
    assert table.ratios(table.costs[-1]) == (None, None, None)
    assert "'betavae' may be betavae[" in render_costs([table], "md")
    (table,) = cost_tables(two[1:2], "betavae", named("betavae"))
    assert "'betavae' was not run here" in render_costs([table], "text")


@pytest.mark.parametrize("form", ["text", "md", "latex"])
def test_every_format_has_the_ratios(form):
    _, table = lines([*BETAVAE, costing("ffrl", 0, 300, 1500, 120, n_steps=2000)])
    text = render_costs([table], form)
    assert "3.00" in text
    assert "2.50" in text
    assert "betavae" in text.split("\n")[0] + text.split("\n")[3]
