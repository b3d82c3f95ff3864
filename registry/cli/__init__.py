"""``caveat``: the command line.

Client commands live here, one file a noun. Operator commands (``serve``, ``db``, ``api-keys``) come with the
``[server]`` extra through the entry point group ``caveat.commands``, so that the client needs no server; a
noun may have both kinds (:mod:`registry.cli.joining`).
"""

import sys
import traceback

import click

import registry
from registry.cli.codes import USAGE
from registry.cli.joining import Commands
from registry.cli.listed import OWN
from registry.errors import CaveatError, StorageError

__all__ = ["cli", "main"]


@click.group(
    cls=Commands,
    own=OWN,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(registry.__version__, prog_name="caveat")
def cli() -> None:
    """Lodge how works may be used for AI; find out, and obey it.

    \b
    See the whole story:      caveat demo
    An artist lodges works:   caveat register paintings/ --title "Ada"
    A trainer filters a set:  caveat filter my-set my-set-clean
    Are my works in a set?    caveat index a-set; caveat find paintings/ --in a-set.caveat-index
    An operator runs one:     caveat serve

    \b
    Exit codes: 0 done, or clean · 1 works found (check, find, recheck), or not ok (receipt) ·
    2 done, but some items could not be checked or read · 3 the call, the input or the registry
    was at fault · 4 nothing written, because nothing was left or you said no.
    """


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
