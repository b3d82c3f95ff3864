"""One group out of two: the client's subcommands, and those that an extra brings under the same name."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from registry.cli import cli, joining
from registry.cli.joining import Commands
from registry.cli.listed import OPERATORS, OWN, SERVER

ROOT = Path(__file__).parents[2]


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
    context = click.Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        if isinstance(command, click.Group):
            assert command.list_commands(context)


def test_every_command_is_listed_with_its_own_first_sentence():
    context = click.Context(cli)
    lines = {name: one.line for name, one in OWN.items()} | OPERATORS
    assert lines.keys() == set(cli.list_commands(context))
    for name, line in lines.items():
        command = cli.get_command(context, name)
        assert (command.name, command.get_short_help_str(1000)) == (name, line)


def test_what_the_server_needs_is_what_its_extra_brings_everywhere():
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    # What evidence on paper needs is looked for when somebody asks for it.
    paper = {"rfc3161"} | {re.match("[a-z0-9]+", one)[0] for one in extra["pdf"]}
    brought = {re.match("[a-z0-9]+", one)[0] for one in extra["server"] if ";" not in one}
    assert brought - paper == set(SERVER)


@pytest.mark.parametrize("missing", SERVER)
def test_without_a_package_of_the_server_its_commands_are_not_listed(monkeypatch, missing):
    find = joining.find_spec
    monkeypatch.setattr(joining, "find_spec", lambda name: None if name == missing else find(name))
    listed = cli.list_commands(click.Context(cli))
    assert "serve" not in listed
    assert set(listed) == OWN.keys()


def test_to_be_listed_no_command_is_loaded():
    code = """
import sys
from registry.cli import main
sys.argv[1:] = ["--help"]
try:
    main()
finally:
    sys.exit(" ".join({"numpy", "requests", "sqlalchemy", "registry.client"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == "\n"
    assert all(name in done.stdout for name in (*OWN, *OPERATORS))
