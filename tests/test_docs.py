"""The documentation is true: what it lists is what there is, and its examples do what they show.

A block after ``<!-- tested -->`` is run. All blocks of a page are run in order, in one shell and one
temporary folder, against a real registry. ``$ `` begins a command; what follows it must occur in its output,
in order, with ``…`` for anything. A command exits with 0, or as ``# exits with N`` at its end says. A block
after ``<!-- tested: server -->`` is started in the background. Three things are put in place of others: a
free port for 8080, ``caveat demo`` for ``make demo``, and in ``withdraw ID``, ``erase ID``, ``export ID``
and ``grant create ID`` the identifier printed last.
"""

import csv
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from flask import Flask

from api.operations import openapi
from api.problems import STATUSES
from api.settings import Settings
from registry import errors, fingerprint, urls
from registry.calibration import shipped_calibration
from registry.cli import cli
from registry.client import FilterSummary, RegistryClient, Rules, Verdict
from registry.client.formats import FORMATS, Sample, sidefiles
from registry.client.lodging import Lodged, lodge, work_of
from registry.client.pictures import PICTURE_SUFFIXES, hash_files
from registry.decision import decide
from registry.demo.training_set import PICTURES, make_training_set
from registry.preference import Action, Mode, Preference, Scope, State, Status, Use
from registry.statement import Match, Quality, Signal, Speaker, Statement

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(
    path for path in [*DOCS.rglob("*.md"), *ROOT.glob("*.md")] if "_build" not in path.relative_to(ROOT).parts
)
BLOCK = re.compile(r"<!-- tested(: server)? -->\n```(console|python)\n(.*?)```", re.DOTALL)
TESTED = [page for page in PAGES if BLOCK.search(page.read_text(encoding="utf-8"))]


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def in_backticks(text: str) -> set[str]:
    return set(re.findall(r"`([^`\n]+)`", text))


def sections(text: str) -> dict[str, str]:
    """Heading → what stands under it, up to the next heading of any level."""
    parts = re.split(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


# -- what is listed is what there is ---------------------------------------------------------------


def commands() -> Iterator[tuple[str, click.Command]]:
    def below(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
        context = click.Context(group)
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            assert command is not None
            if not isinstance(command, click.Group) or command.invoke_without_command:
                yield f"{path} {name}", command
            if isinstance(command, click.Group):
                yield from below(command, f"{path} {name}")

    yield from below(cli, "caveat")


COMMANDS = {"caveat": cli, **dict(commands())}


def test_every_command_has_a_section_and_the_reverse():
    headings = {
        heading.strip("`") for heading in sections(page("reference/cli.md")) if heading.startswith("`")
    }
    assert headings == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_stands_in_the_reference(name):
    text = sections(page("reference/cli.md"))[f"`{name}`"]
    documented = {
        match[1]: " | ".join(row) for row in rows(text) if (match := re.match(r"`(--[a-z-]+)", row[0]))
    }
    options = [p for p in COMMANDS[name].params if isinstance(p, click.Option) and "--help" not in p.opts]
    assert set(documented) == {option.opts[-1] for option in options}
    for option in options:
        row = documented[option.opts[-1]]
        if isinstance(option.type, click.Choice):
            assert set(option.type.choices) <= in_backticks(row), option.name
        if isinstance(option.default, str | int) and not option.is_flag and option.default != "":
            assert f"`{option.default}`" in row or option.show_default is False, option.name


def test_exit_codes_are_those_of_the_commands():
    from registry.cli import common

    documented = {row[0] for row in rows(sections(page("reference/cli.md"))["Exit codes"])}
    codes = {common.CLEAN, common.FOUND, common.INCOMPLETE, common.USAGE, common.NOTHING, 130}
    assert {str(code) for code in codes} <= documented


def test_every_route_stands_in_the_reference_and_the_reverse(app: Flask):
    heading = re.compile(r"`(GET|POST|PUT|PATCH|DELETE) (/\S*)`")
    documented = {
        (method.lower(), path): text
        for title, text in sections(page("reference/http-api.md")).items()
        for method, path in heading.findall(title)
    }
    paths = openapi(app)["paths"]
    described = {
        (method, path.replace("{id_}", "{id}")): mark
        for path in paths
        for method, mark in paths[path].items()
    }
    marked = {path for _, path in described}
    served = {re.sub(r"<(?:\w+:)?(\w+?)_?>", r"{\1}", rule.rule) for rule in app.url_map.iter_rules()}
    assert served == marked
    assert documented.keys() == described.keys()
    for route, mark in described.items():
        statuses = re.search(r"Statuses: ([\d, ]+)\.", documented[route])
        assert statuses, route
        assert set(statuses[1].split(", ")) == set(mark["responses"]), route
        scope = re.search(r"Scope: (`?\w+`?(?: or `\w+`)*)", documented[route])
        assert scope, route
        said = f"Scope of the key: {scope[1].replace('`', '')}."
        assert mark.get("description", "Scope of the key: none.") == said, route


def test_every_problem_type_stands_in_its_table():
    table = {(row[0], row[1]) for row in rows(sections(page("reference/http-api.md"))["Problems"])}
    assert {(str(status), f"`urn:caveat:problem:{kind}`") for status, kind in STATUSES.values()} <= table


def test_every_setting_stands_in_the_reference_and_the_reverse():
    sources = [*(ROOT / "api").rglob("*.py"), *(ROOT / "registry").rglob("*.py")]
    read = {
        name
        for source in sources
        for name in re.findall(r"CAVEAT_[A-Z_]*[A-Z]", source.read_text(encoding="utf-8"))
    }
    text = page("reference/settings.md")
    documented = {row[0].strip("`"): row for row in rows(text) if row[0].startswith("`CAVEAT_")}
    assert set(documented) == read | {"CAVEAT_TEST_POSTGRES"}
    for field in fields(Settings):
        row = documented[f"CAVEAT_{field.name.upper()}"]
        told = row[1].strip("`")
        assert told == str(field.default) or field.default in (MISSING, None)


def test_every_error_stands_in_the_reference_with_its_status():
    found = re.findall(r"^\|[^`|]*`(\w+)` \| (\d+|–) \|", page("reference/errors.md"), flags=re.MULTILINE)
    assert sorted(name for name, _ in found) == sorted(errors.__all__)
    for name, status in found:
        kinds = [kind for kind in getattr(errors, name).__mro__ if kind in STATUSES]
        assert status == (str(STATUSES[kinds[0]][0]) if kinds else "–"), name


@pytest.mark.parametrize(
    ("words", "heading"),
    [
        (Use, "Uses"),
        (Preference, "Preferences"),
        (Status, "Statuses"),
        (Action, "Modes and actions"),
        (Mode, "Modes and actions"),
        (State, "Record states"),
        (Speaker, "Signals"),
        (Quality, "Signals"),
    ],
)
def test_every_word_stands_in_statuses(words, heading):
    assert {str(word) for word in words} <= in_backticks(sections(page("reference/statuses.md"))[heading])


def test_the_table_of_modes_is_what_decide_does():
    table = {
        row[0].strip("`"): row for row in rows(sections(page("reference/statuses.md"))["Modes and actions"])
    }
    use, sure, doubt = Use.GENAI_TRAIN, Match("sha256"), Match("pdq", certain=False, distance=40)
    hint = Signal("directives", "1", "header", Speaker.HOST, Quality.HINT, "noindex", "0" * 64)
    cases = [
        [Statement({use: Preference.RESERVED}, sure)],
        [Statement({use: Preference.RESERVED}, doubt)],
        [Statement({use: Preference.RESERVED}, Match("directives"), signal=hint)],
        [Statement({use: Preference.ALLOWED}, sure, evidence_level=3)],
        [],
    ]
    for mode in Mode:
        actions = [f"`{decide(statements, use, mode).action}`" for statements in cases]
        assert table[mode][1:] == [*actions, "`error`"]


def test_the_url_rules_are_those_of_the_code():
    text = page("reference/urls.md")
    assert in_backticks(text) >= urls.TRACKING
    for written, canonical in (row for row in rows(text) if row[0].startswith("`http")):
        assert urls.canonicalize_url(written.strip("`")) == canonical.strip("`")
    kinds = {row[0].strip("`") for row in rows(sections(text)["Rules"])}
    assert set(urls.RuleKind) <= kinds
    assert f"`{urls.url_rule('prefix', 'https://img.example.org:8443/a/').surt}`" in text
    assert f"`{urls.url_rule('domain', 'example.org').surt}`" in text
    assert f"{urls.MAX_URL_LENGTH:,} characters" in text


def test_the_fingerprint_page_has_the_code_s_names_and_numbers():
    text = page("reference/fingerprint.md")
    assert in_backticks(text) >= {*fingerprint.REGISTERED_WINDOWS, *fingerprint.QUERY_FORMS}
    for phrase in (
        f"version {fingerprint.VERSION}",
        f"quality below {fingerprint.MIN_QUALITY}",
        f"fewer than {fingerprint.MIN_BITS} bits",
        f"| 0–{fingerprint.STRICT_RADIUS}, ",
        f"| {fingerprint.STRICT_RADIUS + 1}–{fingerprint.REVIEW_RADIUS}, ",
        f"at 0–{fingerprint.PHASH_RADIUS} of 64 bits",
    ):
        assert phrase in text
    shipped = shipped_calibration()
    pictures = len(np.unique(shipped.pictures))
    assert f"Number {shipped.id} is shipped: {len(shipped.words):,} hashes of {pictures:,} pictures" in text
    assert f"less a margin of {shipped.margin} bits" in text.replace("\n", " ")


def test_every_format_and_suffix_stands_in_formats():
    names = in_backticks(page("reference/formats.md"))
    assert set(FORMATS) | PICTURE_SUFFIXES | sidefiles._TEXT | sidefiles._CACHE | sidefiles._JUNK <= names


def test_every_field_of_the_account_stands_in_the_reference():
    said = Statement(
        {Use.TRAIN: Preference.RESERVED}, Match("pdq", True, 3, "full", "mirror"), Scope.WORK, record="r"
    )
    print_ = fingerprint.Fingerprint(1, 100, bytes(8), {"full": bytes(32)}, bytes(32))
    sample = Sample("a.png", Path("a.png"), "https://a.example/")
    verdict = Verdict(sample, Status.OK, Action.REMOVE, "", decide([said], Use.TRAIN), print_)
    summary = FilterSummary(
        source=Path("a"), target=None, format="folder", why="", rules=Rules(), registries=()
    )
    names = in_backticks(page("reference/filter-output.md"))
    missing = set(_keys(verdict.to_wire())) | set(_keys(summary.to_wire())) | {"registry", "notable"}
    assert missing - {"train", "full"} <= names


def _keys(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, below in value.items():
            yield key
            yield from _keys(below)
    elif isinstance(value, list):
        for below in value:
            yield from _keys(below)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_paths_modules_and_links_lead_somewhere(path):
    text = path.read_text(encoding="utf-8")
    for name in in_backticks(text):
        if re.fullmatch(r"(registry|api|tests|docs|deploy)/[\w./-]*", name):
            assert (ROOT / name).exists(), name
        if re.fullmatch(r"(registry|api)(\.\w+)+", name) and not name.endswith(".sqlite"):
            assert find_spec(name), name
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        there = path.parent / file if file else path
        assert there.exists(), target
        if anchor:
            assert anchor in {_slug(heading) for heading in sections(there.read_text(encoding="utf-8"))}, (
                target
            )


def _slug(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_the_documentation_builds_without_a_warning(tmp_path):
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-q",
        "-W",
        "--keep-going",
        "-b",
        "html",
        "-d",
        str(tmp_path / "trees"),
    ]
    built = subprocess.run(
        [*command, str(DOCS), str(tmp_path / "html")], capture_output=True, text=True, timeout=120
    )
    assert built.returncode == 0, built.stderr
    assert (tmp_path / "html" / "index.html").exists()


# -- examples do what they show --------------------------------------------------------------------


@dataclass(frozen=True)
class World:
    """A registry with Ada's works in it, and a folder with what the pages speak of."""

    url: str
    key: str
    folder: Path


@pytest.fixture
def world(served: Callable[..., Any], make_key: Callable[..., Any], tmp_path: Path) -> World:
    folder = tmp_path / "work"
    folder.mkdir()
    scopes = ("register", "lookup", "domain:ada.example")
    url, key = served(1).url, make_key(scopes, 1, "Ada").secret
    shutil.copytree(PICTURES / "ada", folder / "paintings")
    shutil.copytree(PICTURES / "ada", folder / "registry" / "demo" / "pictures" / "ada")
    make_training_set(folder / "my-set")
    (folder / "photos").mkdir()
    for name in ("ada/sunflower.jpg", "others/coffee.jpg"):
        shutil.copy(PICTURES / name, folder / "photos")
    lines = [{"file_name": "sunflower.jpg", "text": "a"}, {"file_name": "coffee.jpg", "text": "b"}]
    (folder / "photos" / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with (folder / "portfolio.csv").open("w", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["url", "title"])
        writer.writerow(["https://ada.example/works/harbour.jpg", "Harbour"])
        writer.writerow(["https://ada.example/works/bulldog.jpg", "Bulldog"])
    addresses = ["https://ada.example/a.jpg", "https://other.example/b.jpg"]
    pyarrow.parquet.write_table(
        pyarrow.table({"url": addresses, "text": ["a", "b"]}), folder / "urls.parquet"
    )
    said = {"url": "https://ada.example/c.jpg", "optOut": True, "optIn": False}
    (folder / "parity.json").write_text(json.dumps({"urls": [said]}) + "\n")
    works = [work_of(one) for one in hash_files(sorted((PICTURES / "ada").glob("*.jpg")), registered=True)]
    reserved = {str(Use.TRAIN): "reserved", str(Use.GENAI_TRAIN): "reserved"}
    with RegistryClient(url, key) as client:
        lodge(client, {"preferences": reserved, "label": "Ada"}, [*works, {"url": addresses[0]}], Lodged(url))
    return World(url, key, folder)


@pytest.mark.parametrize("path", TESTED, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_examples_of_a_page(path, request, tmp_path):
    text = path.read_text(encoding="utf-8")
    if "<!-- tested: server -->" in text:
        folder, port, given = tmp_path, _free_port(), {}
        shutil.copytree(PICTURES / "ada", folder / "registry" / "demo" / "pictures" / "ada")
    else:
        world = request.getfixturevalue("world")
        folder, port = world.folder, int(world.url.rpartition(":")[2])
        given = {"CAVEAT_REGISTRY": world.url, "CAVEAT_KEY": world.key, "SPAWNING_OPTS_KEY": world.key}
    steps = _steps(text.replace("8080", str(port)))
    log = tmp_path / "logged"
    log.mkdir()
    code = _run(_script(steps, log, port), folder, given)
    for number, step in enumerate(steps):
        written = log / f"{number}.code"
        output = (
            (log / f"{number}.out").read_text(encoding="utf-8")
            if written.exists()
            else "(it was not reached)"
        )
        got = written.read_text().strip() if written.exists() else None
        assert got == str(step.code), f"{step.command}\nexited with {got}, not {step.code}:\n{output}"
        _assert_shown(step, output)
    assert code == 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Step:
    command: str
    shown: str
    code: int = 0
    is_server: bool = False


def _steps(text: str) -> list[Step]:
    steps = []
    for server, language, body in BLOCK.findall(text):
        if language == "python":
            steps.append(Step(f"python - <<'END_OF_BLOCK'\n{body}END_OF_BLOCK", ""))
            continue
        before, *parts = re.split(r"^\$ ", body, flags=re.MULTILINE)
        assert not before, f"a console block begins with a command: {body}"
        for part in parts:
            command, _, shown = part.partition("\n")
            code = re.search(r"# exits with (\d+)$", command)
            command = command.replace("make demo", "caveat demo")
            command = re.sub(r"\b(withdraw|erase|export|grant create) ID\b", r'\1 "$ID"', command)
            steps.append(Step(command, shown, int(code[1]) if code else 0, bool(server)))
    return steps


def _script(steps: list[Step], log: Path, port: int) -> str:
    lines = ["servers=", "trap 'kill $servers 2>/dev/null; wait' EXIT"]
    for number, step in enumerate(steps):
        out = f"'{log}/{number}.out'"
        if step.is_server:
            lines += [
                f"{step.command} --port {port} >{out} 2>&1 &",
                'servers="$servers $!"',
                f"until (exec 3<>/dev/tcp/127.0.0.1/{port}) 2>/dev/null",
                "do kill -0 $! || exit 1; sleep 0.1; done",
                f"echo 0 >'{log}/{number}.code'",
            ]
            continue
        lines += [
            f"{{ {step.command}\n}} >{out} 2>&1",
            f"echo $? >'{log}/{number}.code'",
            f"found=$(sed -n 's/^to take it back: caveat withdraw //p' {out}); ID=${{found:-$ID}}",
        ]
    return "\n".join(lines) + "\nexit 0\n"


def _run(script: str, folder: Path, given: Mapping[str, str]) -> int:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CAVEAT_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    # A wide terminal, so that no line of a table is folded; a home without a configuration.
    environment |= {
        "PATH": path,
        "COLUMNS": "200",
        "HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder),
        **given,
    }
    with subprocess.Popen(
        ["bash", "-c", script], cwd=folder, env=environment, stdin=subprocess.DEVNULL, start_new_session=True
    ) as shell:
        try:
            return shell.wait(timeout=180)
        except subprocess.TimeoutExpired:
            os.killpg(shell.pid, signal.SIGKILL)
            return -1


def _assert_shown(step: Step, output: str) -> None:
    flat, at = " ".join(output.split()), 0
    for fragment in step.shown.split("…"):
        wanted = " ".join(fragment.split())
        found = flat.find(wanted, at)
        assert found >= 0, f"{step.command}\ndoes not show {wanted!r} there, but:\n{output}"
        at = found + len(wanted)


def test_the_python_examples_run(world, monkeypatch):
    monkeypatch.chdir(world.folder)
    blocks = re.findall(r"```python\n(.*?)```", page("reference/python-api.md"), flags=re.DOTALL)
    assert blocks
    names: dict[str, Any] = {"__name__": "example", "url": world.url, "key": world.key}
    for block in blocks:
        exec(compile(block, "python-api.md", "exec"), names)  # noqa: S102 - our own page


def test_the_keep_bitmap_is_read_as_documented(tmp_path):
    [block] = re.findall(r"```python\n(.*?)```", page("reference/filter-output.md"), flags=re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(block, "filter-output.md", "exec"), names)  # noqa: S102 - our own page
    (tmp_path / "00000.keep").write_bytes(bytes([0b10100000, 0b01000000]))
    kept = names["kept"](tmp_path / "00000.keep", 10)
    assert kept.tolist() == [True, False, True, False, False, False, False, False, False, True]


def test_the_extras_are_those_of_the_package():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    table = {row[0] for row in rows(sections(page("reference/install.md"))["Extras"])}
    assert {f"`[{extra}]`" for extra in project["optional-dependencies"]} <= table
