"""Imports point one way, and what must start fast imports nothing heavy."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = {package: sorted((ROOT / package).rglob("*.py")) for package in ("bench", "methods", "metrics")}


def imported(path: Path) -> set[str]:
    """Modules that a file imports, anywhere in it."""
    return imported_by(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def imported_by(nodes) -> set[str]:
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def loaded_with(path: Path) -> set[str]:
    """Modules that a file imports as it is loaded: not those of functions, nor those that types alone need."""

    def outside_functions(node):
        for child in ast.iter_child_nodes(node):
            is_for_types = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
            if not is_for_types and not isinstance(child, ast.FunctionDef):
                yield child
                yield from outside_functions(child)

    return imported_by(outside_functions(ast.parse(path.read_text(encoding="utf-8"))))


def offenders(files, is_wrong):
    return {f"{path.relative_to(ROOT)}: {name}" for path in files for name in imported(path) if is_wrong(name)}


def test_metrics_import_neither_of_the_others_nor_torch():
    assert not offenders(FILES["metrics"], lambda name: name.split(".")[0] in ("bench", "methods", "torch"))


def test_methods_import_the_contract_and_each_other_only():
    allowed = ("bench.api", "bench.registry", "methods")
    assert not offenders(
        FILES["methods"],
        lambda name: name.split(".")[0] in ("bench", "metrics") and not name.startswith(allowed) and name != "bench",
    )


def test_no_module_loads_itself_by_way_of_others():
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
             for files in FILES.values() for path in files}  # fmt: skip
    graph = {name: (loaded_with(path) & names.keys()) - {name} for name, path in names.items()}
    assert "bench.files.codes_contents" in graph["bench.files.csv_codes"]
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_nothing_imports_the_command_line():
    files = [p for p in FILES["bench"] if "cli" not in p.parts and p.name != "__main__.py"]
    assert not offenders(files, lambda name: name.startswith("bench.cli"))


def test_reports_know_rows_not_models():
    files = [p for p in FILES["bench"] if "report" in p.parts]
    assert not offenders(files, lambda name: name.split(".")[0] in ("torch", "methods"))


@pytest.mark.parametrize(
    ("folder", "blind_to"),
    [
        ("files", ("running", "evidence", "inspection", "report", "fetching")),
        ("fetching", ("running", "inspection", "report")),
        ("datasets", ("running", "evidence", "inspection", "fetching")),
        ("evidence", ("running", "inspection", "report", "fetching")),
        ("running", ("inspection", "report", "fetching")),
        ("inspection", ("running", "report", "fetching")),
    ],
)
def test_folders_of_bench_import_one_way(folder, blind_to):
    files = [p for p in FILES["bench"] if p.relative_to(ROOT).parts[1] == folder]
    assert files
    assert not offenders(files, lambda name: name.startswith(tuple(f"bench.{other}" for other in blind_to)))


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("bench.cli", ("torch", "pandas", "numpy", "matplotlib", "sklearn")),
        ("bench.registry", ("torch", "numpy")),
        ("bench.report.tables", ("torch",)),
        ("metrics.scoring", ("torch", "bench")),
    ],
)
def test_imports_that_must_stay_light(module, absent):
    code = f"import sys, {module}; print([m for m in {absent!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"
