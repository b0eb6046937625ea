"""``bench naturalstats``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bench.cli.options import data_root_option, medium_option
from bench.registry import UsageError

if TYPE_CHECKING:
    from bench.increments import Increments
    from bench.report.natural_statistics import Motion

FORMATS = {"text": "to_text", "md": "to_markdown", "csv": "to_csv"}


@click.command("naturalstats")
@click.argument("what", metavar="[DATASETS or FILES]...", nargs=-1)
@click.option("--format", "form", type=click.Choice(list(FORMATS)), default="text", show_default=True)
@click.option("--output", "-o", metavar="FILE", help="Write the numbers to a file instead of printing.")
@click.option("--figures", metavar="DIR", help="Draw histograms with the fitted laws there.")
@medium_option
@click.option("--by-category", is_flag=True, help="One more row for every kind of object that the data name.")
@click.option("--budget", default="quick", show_default=True, help="How many tracks of kitti_masks are generated.")
@data_root_option
def command(
    what: tuple[str, ...], form: str, output: str | None, figures: str | None, by_category: bool, budget: str,
    data_root: str | None,
) -> int:  # fmt: skip
    """How objects move from frame to frame: fits, kurtosis, correlations of their steps, beside the published ones.

    Without arguments: natural_sprites and kitti_masks, from official files where these are there. A file holds tracks
    (.csv as Natural Sprites), masks (.pickle as KITTI Masks) or boxes (.npz as KITTI's tracking labels).

    \b
    Examples:
      bench naturalstats
      bench naturalstats kitti_masks tracks.csv --format md --figures figures
    """
    from bench.opening import Folders
    from bench.report import natural_statistics as report
    from bench.spec import BUDGETS

    if budget not in BUDGETS:
        raise UsageError(f"--budget is one of {', '.join(BUDGETS)}; got '{budget}'")
    if output is not None and not Path(output).parent.is_dir():
        raise UsageError(f"--output {output}: there is no folder {Path(output).parent}")
    if figures is not None and Path(figures).exists() and not Path(figures).is_dir():
        raise UsageError(f"--figures {figures}: is a file, wanted a folder")
    folders = Folders.from_environment(data=data_root)
    try:
        found = [
            one for text in what or ("natural_sprites,kitti_masks",) for one in increments_of(text, budget, folders)
        ]
    except (OSError, ValueError) as error:
        raise UsageError(str(error)) from None
    if by_category and all(one.categories is None for one in found):
        raise UsageError("--by-category: none of these data say what their objects are; leave it out")
    motions = [motion for one in found for motion in motions_of(one, by_category)]
    text = getattr(report, FORMATS[form])(motions)
    if output is None:
        sys.stdout.write(text)
        sys.stdout.flush()  # before the names of figures go to the other stream
    else:
        Path(output).write_text(text, encoding="utf-8")
    if figures is not None:
        _draw(motions, Path(figures))
    return 0


def increments_of(text: str, budget: str, folders: Any) -> list[Increments]:
    """What one argument names: a file, or data sets with parameters."""
    from bench import increments, registry, selection

    if Path(text).is_file() or (Path(text).suffix and "[" not in text):
        return [increments.of_file(Path(text))]
    found = []
    for chosen in selection.parse(text, "bench naturalstats"):
        entry = registry.dataset(chosen.name)
        values = entry.card.budgets.get(budget, {})
        config = selection.resolve_config(entry.config, values, chosen, "bench naturalstats")
        found.append(increments.of_dataset(chosen.name, config, folders))
    return found


def motions_of(of: Increments, by_category: bool) -> list[Motion]:
    """The statistics of all steps, then those of each category with enough of them."""
    import numpy as np

    from bench.natural_statistics import MIN_STEPS, analyse
    from bench.report.natural_statistics import Motion

    groups = {"": np.ones(len(of.steps), bool)}
    if by_category and of.categories is not None:
        names, counts = np.unique(of.categories, return_counts=True)
        groups |= {str(name): of.categories == name for name in names[np.argsort(-counts, kind="stable")]}
    motions = []
    for category, rows in groups.items():
        if category and rows.sum() < MIN_STEPS:
            click.echo(f"bench: {of.name}: {rows.sum()} pairs of {category} are too few to fit", err=True)
            continue
        try:
            statistics = analyse(of.steps[rows], np.random.default_rng(0))
        except ValueError as error:
            raise UsageError(f"{of.name} {category}".rstrip() + f": {error}") from None
        motions.append(
            Motion(of.name, of.source, of.note, statistics, of.steps[rows], category, "" if category else of.published)
        )
    return motions


def _draw(motions: list[Motion], folder: Path) -> None:
    from bench.report.frame import slugify
    from bench.report.natural_statistics import draw

    for motion in motions:
        name = slugify(f"{motion.name} {motion.source} {motion.category}".strip())
        for path in draw(motion, folder / f"naturalstats-{name}"):
            click.echo(str(path), err=True)
