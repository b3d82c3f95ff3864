"""All the files of a site in one folder, as they lie on its server, with a README.txt.

README.txt            what goes where, and what is not said
site/…                as it lies below the root of the site
server/…              for the server: one file for each that is known
page/head.html        for the head of each page
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import click

from registry.cli.publishing import lost_lines, write_all
from registry.errors import InputError
from registry.preference import Preference
from registry.signals.agents import Agents
from registry.signals.writing import Choice, Written
from registry.signals.writing.headers import headers, meta
from registry.signals.writing.robots import robots
from registry.signals.writing.site import Assigner, ai_txt, rsl, tdm_policy, tdm_reservation, tdmrep

__all__ = ["SERVER_FILES", "write_site"]

_POLICY = "/.well-known/tdm-policy.json"
_LICENCE = "/license.xml"
SERVER_FILES = {
    "plain": "headers.txt",
    "nginx": "nginx.conf",
    "apache": "apache.htaccess",
    "cloudflare": "_headers",
}
"""Server → its file in the folder."""

_HEAD = """What may be done with the works on {site}, for your server to say.

Put what lies in site/ below the root of {site}, with the same names. Pictures that are served from
another host want the same files there.
If {site} has a robots.txt already, make the two one:
    caveat publish robots --merge robots.txt --rsl {site}/license.xml
"""


def write_site(chosen: Choice, site: str, out: Path, agents: Agents | None, assigner: Assigner) -> None:
    """Write the folder ``out``; ``site`` is ``https://host``. Says what was written, and what is not said.

    Raises :class:`InputError` for a folder that holds something, or when no file would say anything.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is there already, and not an empty folder", hint="Name another place.")
    files, readme, skipped = {}, [_HEAD.format(site=site)], []
    makers = dict(_makers(chosen, site, agents, assigner))
    for name, make in makers.items():
        try:
            written = make()
        except InputError as error:
            skipped.append(f"{name}: left out: {error.message}")
            continue
        files[out / name] = written.text.encode()
        readme += [
            f"{name}\n  put it at: {written.place}",
            *(f"  {one}" for one in lost_lines(chosen, written)),
            "",
        ]
    if not files:
        raise InputError("no file would say anything of what you chose")
    files[out / "README.txt"] = "\n".join([*readme, *skipped, ""]).encode()
    write_all(files, replace=False)
    for path in files:
        click.echo(f"wrote {path}")
    for line in skipped:
        click.echo(line, err=True)


def _makers(
    chosen: Choice, site: str, agents: Agents | None, assigner: Assigner
) -> Iterator[tuple[str, Callable[[], Written]]]:
    licence = f"{site}{_LICENCE}" if _says(lambda: rsl(chosen)) else ""
    policy = f"{site}{_POLICY}" if _is_on_terms(chosen) and assigner.name else ""
    yield "site/robots.txt", lambda: robots(chosen, agents=agents, licence=licence)
    yield "site/ai.txt", lambda: ai_txt(chosen)
    yield "site/.well-known/tdmrep.json", lambda: tdmrep(chosen, policy=policy)
    if policy:
        yield f"site{_POLICY}", lambda: _policy(chosen, assigner, policy)
    yield "site/license.xml", lambda: rsl(chosen, site=site)
    for server, name in SERVER_FILES.items():
        yield f"server/{name}", _of_server(chosen, server, policy, licence)
    yield "page/head.html", lambda: meta(chosen, policy=policy, licence=licence)


def _of_server(chosen: Choice, server: str, policy: str, licence: str) -> Callable[[], Written]:
    return lambda: headers(chosen, server=server, policy=policy, licence=licence)


def _policy(chosen: Choice, assigner: Assigner, policy: str) -> Written:
    carried = tdm_reservation(chosen)[1]
    return Written("tdm-policy", tdm_policy(chosen, assigner, policy), carried, _POLICY)


def _is_on_terms(chosen: Choice) -> bool:
    return _says(lambda: tdm_reservation(chosen)) and tdm_reservation(chosen)[0] is Preference.CONDITIONAL


def _says(make: Callable[[], object]) -> bool:
    try:
        make()
    except InputError:
        return False
    return True
