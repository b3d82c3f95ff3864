"""``caveat api-keys``: who may lodge and ask."""

import json
import time
from pathlib import Path

import click

from api.commands.common import DATA, DATABASE, existing, opened, read_settings
from api.keys import create_key, parse_scopes
from registry.errors import NotFoundError
from registry.note import Verifier
from registry.store import principals

__all__ = ["api_keys"]


@click.group("api-keys")
def api_keys() -> None:
    """Make, list and revoke API keys."""


@api_keys.command("create")
@DATA
@DATABASE
@click.option("--name", required=True, help="Whom the key is for.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    help="lookup, register, mirror, domain:NAME, domain:* or import:NAME.",
)
@click.option(
    "--evidence-level",
    default=0,
    show_default=True,
    type=click.IntRange(0, 4),
    help="What is known of the holder: 0 nothing, 1 a location, 2 an account, 3 signed works, 4 attested.",
)
@click.option("--principal", metavar="ID", help="Whose second key this is: the new one replaces an old one.")
@click.option(
    "--import-key",
    metavar="VERIFIER",
    help="The public key that signs this principal's imports, as caveat import prints it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def api_keys_create(
    data: Path | None,
    database: str | None,
    name: str,
    scopes: tuple[str, ...],
    evidence_level: int,
    principal: str | None,
    import_key: str | None,
    as_json: bool,
) -> None:
    """Make a key; it is shown once.

    \b
    An artist:    caveat api-keys create --name Ada --scope register --scope lookup
    A trainer:    caveat api-keys create --name Lab --scope lookup
    A platform:   caveat api-keys create --name Acme --scope import:acme --import-key acme+…
    A domain:     caveat api-keys create --name Site --scope register --scope domain:example.org
    A new key:    caveat api-keys create --name Ada --scope register --principal ID, then revoke the old one
    """
    settings = read_settings(data, database)
    key = create_key(
        opened(settings),
        name=name,
        scopes=parse_scopes(scopes),
        evidence_level=evidence_level,
        environment=settings.key_environment,
        principal_id=principal,
        import_key=None if import_key is None else Verifier.parse(import_key).text,
        at=int(time.time()),
    )
    if as_json:
        click.echo(json.dumps({"id": key.id, "principal": key.principal_id, "key": key.secret}))
        return
    click.echo(f"key {key.id} for {name}, shown once:", err=True)
    click.echo(key.secret)


@api_keys.command("list")
@DATA
@DATABASE
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
def api_keys_list(data: Path | None, database: str | None, as_json: bool) -> None:
    """List the keys, without the secrets."""
    with existing(read_settings(data, database)).read() as connection:
        rows = principals.list_credentials(connection)
    for row in rows:
        wire = {
            "id": row.id,
            "principal": row.principal_id,
            "name": row.name,
            "scopes": row.scopes.split(),
            "evidence_level": row.evidence_level,
            "revoked": row.revoked_at is not None,
        }
        state = "revoked" if wire["revoked"] else "live"
        line = f"{row.id}  {row.principal_id}  {state:8}{row.evidence_level}  {row.name}  {row.scopes}"
        click.echo(json.dumps(wire) if as_json else line)


@api_keys.command("revoke")
@DATA
@DATABASE
@click.argument("key_id")
def api_keys_revoke(data: Path | None, database: str | None, key_id: str) -> None:
    """Revoke a key; every worker refuses it from the next request on."""
    with existing(read_settings(data, database)).administer() as connection:
        if not principals.revoke_credential(connection, key_id, int(time.time())):
            raise NotFoundError(f"no live key {key_id}", hint="caveat api-keys list shows the keys.")
    click.echo(f"revoked {key_id}")
