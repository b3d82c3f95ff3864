"""What the commands share: which registry to ask, output for people and machines, and exit codes."""

import json
import os
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from registry.cli.codes import CLEAN, FOUND, INCOMPLETE, NOTHING, USAGE
from registry.client import RegistryClient
from registry.errors import InputError, SettingsError
from registry.preference import Use

__all__ = [
    "CLEAN",
    "FOUND",
    "INCOMPLETE",
    "NOTHING",
    "USAGE",
    "Bar",
    "config_path",
    "console",
    "counted",
    "emit_json",
    "licence_option",
    "log_key_option",
    "min_evidence_option",
    "only_registry",
    "progress_bar",
    "registries",
    "registry_options",
    "reserve_option",
    "use_option",
    "workers_option",
]

Command = TypeVar("Command", bound=Callable[..., Any])


use_option = click.option(
    "--use",
    type=click.Choice([use.value for use in Use]),
    default=Use.GENAI_TRAIN.value,
    show_default=True,
    help="What for.",
)
log_key_option = click.option(
    "--log-key", metavar="KEY", help="The log's public key, from a source that you trust."
)
reserve_option = click.option(
    "--reserve",
    "uses",
    multiple=True,
    type=click.Choice([use.value for use in Use]),
    default=(Use.TRAIN.value, Use.GENAI_TRAIN.value),
    show_default=True,
    help="What the works may not be used for; may be given several times.",
)
workers_option = click.option(
    "--workers", type=click.IntRange(1), help="Processes that hash pictures.  [default: one a core]"
)


def licence_option(which: str) -> Callable[[Command], Command]:
    """Return ``--licence``; ``which`` says in words which terms are meant."""
    return click.option(
        "--licence",
        "licences",
        multiple=True,
        metavar="ID",
        help=f"Terms of a condition that you meet, {which}; may be given several times.",
    )


def min_evidence_option(told: str) -> Callable[[Command], Command]:
    """Return ``--min-evidence``; ``told`` is its help."""
    return click.option("--min-evidence", type=click.IntRange(0, 9), default=0, show_default=True, help=told)


def console() -> Console:
    """Return where people read: standard output."""
    return Console(highlight=False, soft_wrap=False)


def counted(number: int, noun: str) -> str:
    """Return number and noun, the noun in the plural where it belongs: 1 work, 2 works."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def emit_json(value: Any) -> None:
    """Print one JSON document to standard output."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def registry_options(command: Command) -> Command:
    """Add ``--registry`` and ``--key``."""
    for option in (
        click.option("--key", envvar="CAVEAT_KEY", help="API key.  [env: CAVEAT_KEY]"),
        click.option(
            "--registry",
            "registry_urls",
            multiple=True,
            metavar="URL",
            help="Registry to ask; may be given several times.  [env: CAVEAT_REGISTRY]",
        ),
    ):
        command = option(command)
    return command


def config_path() -> Path:
    """Return the user's configuration file: TOML with ``registry`` and, by address, ``[keys]``."""
    return Path(click.get_app_dir("caveat")) / "config.toml"


def registries(urls: tuple[str, ...], key: str | None) -> list[RegistryClient]:
    """Open the registries that were named: by option, environment or configuration, in that order.

    Raises :class:`SettingsError` when none was.
    """
    config = _config()
    named = list(urls) or os.environ.get("CAVEAT_REGISTRY", "").split() or _listed(config.get("registry"))
    if not named:
        raise SettingsError(
            "no registry was named",
            hint='Give --registry URL, set CAVEAT_REGISTRY, or write registry = "URL" into '
            f"{config_path()}. To run one yourself: caveat serve.",
        )
    if key and len(named) > 1:
        raise SettingsError(
            "one key, and more than one registry: a key must not be shown to another registry",
            hint=f"Write each key into {config_path()}, under [keys], by the registry's address.",
        )
    keys = config.get("keys", {})
    if not isinstance(keys, dict):
        raise SettingsError(f"{config_path()}: keys is no table of address = key: {keys!r}")
    return [RegistryClient(url, key or keys.get(url.rstrip("/"))) for url in named]


def only_registry(urls: tuple[str, ...], key: str | None) -> RegistryClient:
    """Open the one registry that gave an identifier. Raises :class:`InputError` when several are named."""
    clients = registries(urls, key)
    if len(clients) > 1:
        raise InputError(
            "an identifier belongs to one registry, and several are named",
            hint="Name the one with --registry.",
        )
    return clients[0]


def _config() -> dict[str, Any]:
    path = config_path()
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path} cannot be read: {error}") from error


def _listed(value: Any) -> list[str]:
    if value is None:
        return []
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(one, str) for one in values):
        raise SettingsError(f"{config_path()}: registry is neither an address nor a list of them: {value!r}")
    return values


@dataclass(frozen=True, slots=True)
class Bar:
    """A progress bar under way."""

    progress: Progress
    task: TaskID

    def advance(self, steps: int = 1) -> None:
        """Go on by ``steps``."""
        self.progress.advance(self.task, steps)

    def lose(self, count: int) -> None:
        """Say that so many samples go."""
        gone = self.progress.tasks[self.task].fields["gone"] + count
        self.progress.update(self.task, gone=gone, told=f"{gone:,} go" if gone else "")

    def expect(self, total: int | None) -> None:
        """Say how many steps there will be."""
        self.progress.update(self.task, total=total)


class _Rate(ProgressColumn):
    """Steps in a second."""

    def render(self, task: Task) -> Text:
        """Return the rate, empty before there is one."""
        return Text(f"{task.speed:,.0f}/s" if task.speed else "")


class _Told(ProgressColumn):
    """What a command tells of the work so far."""

    def render(self, task: Task) -> Text:
        """Return it."""
        return Text(str(task.fields.get("told", "")))


@contextmanager
def progress_bar(what: str, total: int | None = None) -> Iterator[Bar]:
    """Show a bar on standard error while the block runs, on a terminal only."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn(), _Told())
    shown = sys.stderr.isatty()
    with Progress(*columns, console=Console(stderr=True), disable=not shown, transient=True) as progress:
        yield Bar(progress, progress.add_task(what, total=total, gone=0, told=""))
