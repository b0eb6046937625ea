"""The command line. Each command lives in its own module and is imported only when it is called."""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Sequence

import click

from bench import __version__
from bench.messages import one_line
from bench.registry import UsageError

_WIDTH = 2_000  # characters of a complaint; what was typed or stands in a file may be of any length

COMMANDS = {
    "run": ("bench.cli.run", "Train and score methods on data sets, then print the comparison."),
    "score": ("bench.cli.score", "Score codes that any program wrote, without training."),
    "table": ("bench.cli.table", "Print the comparison tables of stored rows."),
    "compare": ("bench.cli.compare", "Compare stored rows of two sets of methods, paired by seed."),
    "plot": ("bench.cli.plot", "Draw scores, learning curves, correlation matrices."),
    "study": ("bench.cli.study", "Draw what many rows together say: agreement, variance, selection, ranks."),
    "traverse": ("bench.cli.traverse", "Draw what each latent of a trained run does."),
    "paper": ("bench.cli.paper", "Published tables beside ours."),
    "leaderboard": ("bench.cli.leaderboard", "Write leaderboards/ from stored rows."),
    "report": ("bench.cli.report", "Write the page of one run: spec, scores, curves, traversals, provenance."),
    "list": ("bench.cli.list", "List methods, data sets or metrics."),
    "show": ("bench.cli.show", "Show the card of a method, data set or metric."),
    "data": ("bench.cli.data", "Look at data sets."),
    "naturalstats": ("bench.cli.naturalstats", "Analyse how objects move: fits, kurtosis, figures."),
    "merge": ("bench.cli.merge", "Take the rows of other machines into this store."),
    "doctor": ("bench.cli.doctor", "Check this machine: versions, devices, data, disk, and a self-test."),
    "completion": ("bench.cli.completion", "Print the script that completes names in bash, zsh or fish."),
}


# click before 8.2 prints the help of a bare group itself
_NoArguments: tuple[type[click.UsageError], ...] = tuple(
    filter(None, [getattr(click.exceptions, "NoArgsIsHelpError", None)])
)


class Commands(click.Group):
    """Imports a command's module when it is asked for, so that ``bench --help`` needs neither torch nor pandas."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS]  # once the command of that name is imported, `list` here is its module

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        return importlib.import_module(COMMANDS[name][0]).command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-") and not ctx.resilient_parsing:
            near = difflib.get_close_matches(args[0], [*COMMANDS], n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            raise click.UsageError(f"no command '{args[0]}'.{hint} `bench --help` lists them.")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="bench")
def cli() -> None:
    """Compare disentanglement methods on the same data, metrics and seeds, with honest uncertainty.

    Example: bench run --methods slowvae,betavae --datasets natural_sprites
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; exit code 0, 1 (some runs failed or were stopped) or 2 (bad usage, one line says why)."""
    try:
        code = cli.main(arguments, prog_name="bench", standalone_mode=False)
    except _NoArguments as error:
        error.show()
        code = 2
    except click.ClickException as error:
        code = complain(error.format_message())
    except click.Abort:
        code = complain("stopped", code=1)
    except UsageError as error:
        code = complain(str(error))
    except BrokenPipeError:
        # `bench table | head` is no error; the pipe must be replaced, or Python complains again at exit
        sys.stdout = None  # type: ignore[assignment]
        code = 0
    except OSError as error:
        # a full disk, a folder without permission: nothing that a traceback would explain
        code = complain(str(error))
    sys.exit(code if isinstance(code, int) else 0)


def complain(text: str, code: int = 2) -> int:
    """Print one line to standard error; returns the exit code."""
    click.echo(f"bench: {one_line(' '.join(text.split()), _WIDTH)}", err=True)
    return code
