"""``caveat``: the command line.

Client commands live here, one file a noun. Operator commands (``serve``, ``db``, ``api-keys``) come with the
``[server]`` extra through the entry point group ``caveat.commands``, so that the client needs no server.
"""

import sys
import traceback
from importlib.metadata import entry_points

import click

import registry
from registry.cli.check import check
from registry.cli.common import USAGE
from registry.cli.demo import demo
from registry.cli.filter import filter_, formats
from registry.cli.register import register, withdraw
from registry.errors import CaveatError, StorageError

__all__ = ["cli", "main"]


class _Commands(click.Group):
    """The commands of the client, and those that installed extras bring."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        brought = [point.name for point in entry_points(group="caveat.commands") if _can_load(point.name)]
        return sorted({*super().list_commands(ctx), *brought})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        for point in entry_points(group="caveat.commands", name=cmd_name):
            try:
                command: click.Command = point.load()
            except ImportError as error:
                raise click.ClickException(
                    f"'caveat {cmd_name}' needs the server: pip install 'caveat-registry[server]' ({error})"
                ) from error
            return command
        return None


def _can_load(name: str) -> bool:
    [point, *_] = entry_points(group="caveat.commands", name=name)
    try:
        point.load()
    except ImportError:
        return False
    return True


@click.group(
    cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(registry.__version__, prog_name="caveat")
def cli() -> None:
    """Lodge how works may be used for AI; find out, and obey it.

    \b
    See the whole story:      caveat demo
    An artist lodges works:   caveat register paintings/ --title "Ada"
    A trainer filters a set:  caveat filter my-set my-set-clean
    An operator runs one:     caveat serve

    \b
    Exit codes: 0 done, or clean · 1 reserved works found (check) · 2 done, but some items
    could not be checked or read · 3 the call, the input or the registry was at fault ·
    4 nothing written, because nothing was left or you said no.
    """


for _command in (check, demo, filter_, formats, register, withdraw):
    cli.add_command(_command)


def main() -> None:
    """Run the command line and exit with its code."""
    try:
        code = cli.main(standalone_mode=False)
    except click.exceptions.Exit as stop:
        code = stop.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        code = 130
    except click.ClickException as error:
        error.show()
        code = USAGE
    except CaveatError as error:
        click.echo(f"error: {error.message}", err=True)
        if isinstance(error, StorageError) and error.__cause__ is not None:
            click.echo(f"       {str(error.__cause__).splitlines()[0]}", err=True)
        if error.hint:
            click.echo(f"       {error.hint}", err=True)
        code = USAGE
    except OSError as error:
        click.echo(f"error: {error.filename or ''}: {error.strerror or error}", err=True)
        code = USAGE
    except Exception:  # noqa: BLE001 - Python's own exit code, 1, would say "reserved works found"
        traceback.print_exc()
        click.echo("error: a fault of this program; please report it with the lines above", err=True)
        code = USAGE
    sys.exit(code if isinstance(code, int) else 0)
