"""One group out of two: the client's subcommands, and those that an extra brings under the same name."""

import sys
from importlib.metadata import EntryPoint, EntryPoints

import click
import pytest
from click.testing import CliRunner

from registry.cli import joining
from registry.cli.joining import Commands


@click.group("log")
def own():
    """Look into the log."""


@own.command()
def verify():
    click.echo("verified")


@click.group("log")
def brought():
    """Look after the log."""


@brought.command()
def publish():
    click.echo("published")


@click.command("serve")
def alone():
    click.echo("served")


LOADED = []
"""The entry points that were loaded, by name."""


class Point(EntryPoint):
    def load(self):
        LOADED.append(self.name)
        return super().load()


@pytest.fixture
def run(monkeypatch):
    """Run a command line whose extra brings what stands in this module, or cannot be loaded."""
    monkeypatch.setitem(sys.modules, "test_joining_extra", sys.modules[__name__])
    LOADED.clear()

    def run(*words, extra="test_joining_extra", group="brought"):
        points = EntryPoints(
            [Point(n, f"{extra}:{v}", "caveat.commands") for n, v in (("log", group), ("serve", "alone"))]
        )
        monkeypatch.setattr(joining, "entry_points", lambda **wanted: points.select(**wanted))
        return CliRunner().invoke(Commands("caveat", commands={"log": own}), words)

    return run


def test_both_kinds_stand_in_one_group(run):
    assert run("log", "verify").output == "verified\n"
    assert run("log", "publish").output == "published\n"
    listed = run("log", "--help").output
    assert "verify" in listed
    assert "publish" in listed
    assert "Look into the log." in listed


def test_the_client_s_own_loads_no_extra(run):
    assert run("log", "verify").exit_code == 0
    assert LOADED == []
    run("log", "publish")
    assert LOADED == ["log"]


def test_without_the_extra_the_client_s_own_works_and_the_other_says_what_is_missing(run):
    assert run("log", "verify", extra="not_installed").output == "verified\n"
    assert "publish" not in run("log", "--help", extra="not_installed").output
    failed = run("log", "publish", extra="not_installed")
    assert failed.exit_code == 1
    assert "caveat-registry[server]" in failed.output
    assert "caveat-registry[server]" in run("serve", extra="not_installed").output
    assert "serve" not in run("--help", extra="not_installed").output


def test_an_unknown_subcommand_is_told(run):
    assert "No such command 'burn'" in run("log", "burn").output


@pytest.mark.parametrize("group", ["own", "alone"])
def test_two_commands_of_one_name_are_a_fault_of_the_program(run, group):
    assert isinstance(run("log", "--help", group=group).exception, TypeError)


def test_what_is_installed_here_joins():
    """Every group that stands on both sides has subcommands of different names."""
    from registry.cli import cli

    context = click.Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        if isinstance(command, click.Group):
            assert command.list_commands(context)
