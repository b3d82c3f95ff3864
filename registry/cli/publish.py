"""``caveat publish``: what may be done with one's works, said on one's own site and in the works themselves.

The same words as those of ``caveat register`` are written in each protocol's own. What a protocol cannot say
is told. Pictures are copied with the words in them: they are not decoded, and the originals stay as they are.
"""

from pathlib import Path

import click

from registry.cli.publishing import Target, choice_options, target_options, tell
from registry.cli.publishing_pictures import picture_options, put_into, read_credential
from registry.cli.publishing_site import write_site
from registry.errors import InputError
from registry.signals.agents import Agents
from registry.signals.writing import Choice
from registry.signals.writing import headers as headers_
from registry.signals.writing import robots as robots_
from registry.signals.writing import site as site_
from registry.signals.writing.choice import origin

__all__ = ["publish"]

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_licence = click.option("--rsl", "licence", default="", metavar="URL", help="Where your RSL file lies.")
_policy_url = click.option(
    "--policy-url", default="", metavar="URL", help="Where your TDMRep policy lies.  [default: the terms]"
)
_agents = click.option("--agents", is_flag=True, help="Keep out the AI crawlers that are known by name.")


@click.group()
def publish() -> None:
    """Say on your own site, and in your pictures, what may be done with your works.

    Without a word all but search is reserved. Where a file belongs, and what its protocol cannot say, goes to
    standard error.

    \b
      caveat publish all --site https://ada.example --out for-my-site
      caveat publish robots --merge robots.txt --agents > new-robots.txt
      caveat publish xmp paintings/ --out marked
    """


def _assigner_options(command: click.decorators.FC) -> click.decorators.FC:
    for name, help_ in (
        ("url", "Where you are on the web."),
        ("mail", "How to reach you."),
        ("name", "Who reserves, for the policy."),
    ):
        command = click.option(f"--assigner-{name}", default="", help=help_)(command)
    return command


@publish.command()
@choice_options
@click.option("--merge", type=_FILE, help="The robots.txt that is there: it is kept, and ours is added.")
@_agents
@_licence
@target_options
def robots(chosen: Choice, merge: Path | None, agents: bool, licence: str, target: Target) -> None:
    """Write robots.txt: Content-Signal, Content-Usage, and on request crawlers by name."""
    existing = merge.read_bytes() if merge else b""
    if merge is not None and not existing.strip():
        raise InputError(
            f"{merge} is empty, so there is nothing to keep",
            hint="Leave --merge out. To write into the file that is read say --out FILE --replace: a shell "
            "empties it first when the text is sent there with >.",
        )
    names = Agents.default() if agents else None
    tell(chosen, robots_.robots(chosen, agents=names, licence=licence, existing=existing), target)


@publish.command("ai-txt")
@choice_options
@target_options
def ai_txt(chosen: Choice, target: Target) -> None:
    """Write ai.txt, in Spawning's form."""
    tell(chosen, site_.ai_txt(chosen), target)


@publish.command()
@choice_options
@click.option(
    "--policy",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a policy document into this file.",
)
@_policy_url
@_assigner_options
@target_options
def tdmrep(
    chosen: Choice,
    policy: Path | None,
    policy_url: str,
    assigner_name: str,
    assigner_mail: str,
    assigner_url: str,
    target: Target,
) -> None:
    """Write tdmrep.json, and for uses on terms a policy document (ODRL)."""
    written = site_.tdmrep(chosen, policy=policy_url)
    if policy is None:
        if assigner_name or assigner_mail or assigner_url:
            raise InputError("who reserves stands in the policy", hint="Name a file for it: --policy FILE.")
        tell(chosen, written, target)
        return
    if not policy_url:
        raise InputError(
            "a policy document names its own address", hint="Say where it will lie: --policy-url."
        )
    assigner = site_.Assigner(assigner_name, assigner_mail, assigner_url)
    tell(chosen, written, target, {policy: site_.tdm_policy(chosen, assigner, policy_url)})


@publish.command()
@choice_options
@click.option("--site", default="", metavar="URL", help="Your site.  [default: wherever the file lies]")
@target_options
def rsl(chosen: Choice, site: str, target: Target) -> None:
    """Write a licence in RSL 1.0."""
    tell(chosen, site_.rsl(chosen, site=origin(site) if site else ""), target)


@publish.command()
@choice_options
@click.option(
    "--server",
    type=click.Choice(list(headers_.SERVERS)),
    default="plain",
    show_default=True,
    help="For what.",
)
@_policy_url
@_licence
@target_options
def headers(chosen: Choice, server: str, policy_url: str, licence: str, target: Target) -> None:
    """Write header fields, in the words of your web server."""
    tell(chosen, headers_.headers(chosen, server=server, policy=policy_url, licence=licence), target)


@publish.command()
@choice_options
@_policy_url
@_licence
@target_options
def meta(chosen: Choice, policy_url: str, licence: str, target: Target) -> None:
    """Write the metadata of an HTML page."""
    tell(chosen, headers_.meta(chosen, policy=policy_url, licence=licence), target)


@publish.command()
@picture_options
@choice_options
@click.pass_context
def xmp(
    ctx: click.Context, paths: tuple[Path, ...], out: Path, replace: bool, output: str, chosen: Choice
) -> None:
    """Copy pictures, with IPTC's Data Mining property and TDMRep in their XMP.

    Pixels stay bit for bit. JPEG, PNG, WebP and TIFF carry it.
    """
    ctx.exit(put_into(paths, Target(out, replace, output), chosen))


@publish.command()
@picture_options
@click.option("--certificate", required=True, type=_FILE, help="Your certificate and its issuers', PEM.")
@click.option("--key", required=True, type=_FILE, help="Its private key, PEM, not encrypted.")
@choice_options
@click.pass_context
def c2pa(
    ctx: click.Context,
    paths: tuple[Path, ...],
    out: Path,
    replace: bool,
    output: str,
    certificate: Path,
    key: Path,
    chosen: Choice,
) -> None:
    """Copy pictures, with XMP as `xmp` writes it, and sign them with C2PA.

    Needs the extra [c2pa]. A picture that is signed already keeps its manifest, and gets no XMP.
    """
    ctx.exit(put_into(paths, Target(out, replace, output), chosen, read_credential(certificate, key)))


@publish.command("all")
@choice_options
@click.option("--site", required=True, metavar="URL", help="Your site, as in https://ada.example.")
@click.option(
    "--out",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder to write, new or empty.",
)
@_agents
@_assigner_options
def all_(
    chosen: Choice,
    site: str,
    out: Path,
    agents: bool,
    assigner_name: str,
    assigner_mail: str,
    assigner_url: str,
) -> None:
    """Write the files of a whole site into a folder, with a README.txt that says what goes where."""
    assigner = site_.Assigner(assigner_name, assigner_mail, assigner_url or origin(site))
    write_site(chosen, origin(site), out, Agents.default() if agents else None, assigner)
