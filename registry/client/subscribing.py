"""Being told of the works of a run: what passed is sent to a registry, to be kept there and watched for.

Of files the decisions have every key; of tables the output is read, and pictures in rows are hashed once
more. What was declared as the maker's own is left out, and so is what could not be found by its keys. Names
stay here: a number stands for each sample, the line of ``decisions.jsonl`` or the row of the output, unless
names are asked for. Which subscriptions there are is kept in the account, in ``subscriptions.json``; the
secret that signs their webhooks is not.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from registry.client.countersigning import public_url
from registry.client.formats import Sample
from registry.client.formats.files import write_synced
from registry.client.http import Asked, RegistryClient
from registry.client.making import account_folder
from registry.client.pictures import Hashers, default_workers
from registry.client.place import Place
from registry.client.recheck import decided_lines
from registry.client.run_file import Run, read_run
from registry.client.table_recheck import kept_rows
from registry.client.verdicts import questions_of
from registry.errors import CaveatError, DatasetError, InputError, RegistryRefusedError
from registry.fingerprint import MIN_QUALITY, Fingerprint
from registry.jsontext import strict_json
from registry.preference import Mode, Use

__all__ = ["SUBSCRIPTIONS", "Passed", "Subscribed", "Telling", "passed_by", "subscribe", "unsubscribe"]

SUBSCRIPTIONS = "subscriptions.json"
_BATCH = 2_000


@dataclass(slots=True)
class Passed:
    """What a run kept: its use, mode and states, and ``items`` for a registry, to be read once.

    ``own`` counts samples that were declared as the maker's own, ``unfindable`` those that no registry could
    find.
    """

    run: Run
    items: Iterator[dict[str, Any]] = field(default_factory=lambda: iter(()))
    own: int = 0
    unfindable: int = 0


@dataclass(frozen=True, slots=True)
class Telling:
    """How to be told: by a webhook at an address, bound to a published receipt by its identifier."""

    webhook: str | None = None
    receipt: str | None = None
    label: str = ""


@dataclass(frozen=True, slots=True)
class Subscribed:
    """A subscription; ``secret`` signs its webhooks, and is known this once."""

    registry: str
    id: str
    feed: str
    items: int
    as_of_seq: int
    webhook: str | None
    secret: str | None = None

    def to_wire(self, *, secret: bool = True) -> dict[str, Any]:
        """Return the JSON form."""
        names = ("registry", "id", "feed", "items", "as_of_seq", "webhook")
        wire = {name: getattr(self, name) for name in names}
        return {**wire, "secret": self.secret} if secret else wire


def passed_by(target: Path, *, names: bool = False, tick: Callable[[int], None] = lambda _: None) -> Passed:
    """Return what the run whose output is ``target`` kept; ``names`` sends the names of the samples.

    ``tick`` is told how many samples are read. Raises :class:`DatasetError`, also while items are read.
    """
    account = account_folder(target.absolute())
    passed = Passed(read_run(account))
    is_table = (account / "decisions").is_dir()
    found = _rows(target, passed.run, account) if is_table else _lines(account, passed)
    passed.items = _items(found, passed, names=names, tick=tick)
    return passed


def _items(
    found: Iterator[tuple[str, Sample, Fingerprint | None]],
    passed: Passed,
    *,
    names: bool,
    tick: Callable[[int], None],
) -> Iterator[dict[str, Any]]:
    for number, sample, fingerprint in found:
        tick(1)
        asked = [one for one in questions_of(sample, fingerprint) if _is_findable(one)]
        passed.unfindable += not asked
        id_ = sample.key if names else number
        for at, one in enumerate(asked, 1):
            yield one.to_wire(id_ if at == 1 else f"{id_}#{at}")


def _is_findable(one: Asked) -> bool:
    """Say whether a registry can find this by more than a guess; what it could not, it refuses."""
    shape = one.fingerprint
    if one.url is not None or shape is None:
        return one.url is not None
    return shape.sha256 is not None or (shape.quality >= MIN_QUALITY and bool(shape.pdq))


def _lines(account: Path, passed: Passed) -> Iterator[tuple[str, Sample, Fingerprint | None]]:
    for number, verdict in enumerate(decided_lines(account / "decisions.jsonl"), 1):
        if verdict.own:
            passed.own += 1
        elif verdict.action.stays:
            yield str(number), verdict.sample, verdict.fingerprint


def _rows(target: Path, run: Run, account: Path) -> Iterator[tuple[str, Sample, Fingerprint | None]]:
    with Hashers(default_workers()) as hashers:
        for shard, name, rows in kept_rows(target, run, account / "decisions"):
            samples = iter(rows.samples())
            while batch := list(islice(samples, _BATCH)):
                pictures = [place for one in batch if (place := one.picture) is not None]
                hashed = {one.place: one for one in hashers.begin(pictures)}
                for sample in batch:
                    number = f"{shard}/{sample.key}" if name else sample.key
                    yield number, replace(sample, key=f"{name}{sample.key}"), _hashed(sample, hashed)


def _hashed(sample: Sample, hashed: dict[Place, Any]) -> Fingerprint | None:
    if (place := sample.picture) is None:
        return None
    if (error := hashed[place].error) or hashed[place].fingerprint is None:
        raise DatasetError(
            f"row {sample.key}: a picture that was kept cannot be read now ({error})",
            hint="The output has changed since: filter the dataset again.",
        )
    fingerprint: Fingerprint = hashed[place].fingerprint
    return fingerprint


def subscribe(client: RegistryClient, target: Path, passed: Passed, telling: Telling) -> Subscribed:
    """Send what passed to one registry, and note the subscription in the account of ``target``.

    What cannot be sent whole is deleted there again. Raises :class:`InputError` when nothing passed, and as
    :meth:`RegistryClient.lookup`.
    """
    client.check_parameters()
    first = list(islice(passed.items, client.max_items))
    if not first:
        raise InputError(f"nothing of {target} passed that could be watched for")
    since = _as_of_seq(passed.run, client)
    body = {
        "use": str(Use(passed.run.rules.use)),
        "mode": str(Mode(passed.run.rules.mode)),
        "as_of_seq": since,
        "items": first,
        "label": telling.label,
        "webhook": telling.webhook,
        "receipt": telling.receipt,
    }
    made = client.tell_subscriptions("POST", "", body)
    _require(client, made, {"id": str, "feed": str, "secret": str | None})
    try:
        count = _send_rest(client, made["id"], passed.items, len(first))
        address = public_url(client.url) + made["feed"]
        done = Subscribed(
            public_url(client.url), made["id"], address, count, since, telling.webhook, made["secret"]
        )
        account = account_folder(target.absolute())
        _write(account, [*_read(account), done.to_wire(secret=False)])
    except BaseException:
        client.tell_subscriptions("DELETE", f"/{made['id']}")
        raise
    return done


def _send_rest(client: RegistryClient, id_: str, items: Iterator[dict[str, Any]], count: int) -> int:
    part = 0
    while batch := list(islice(items, client.max_items)):
        part += 1
        count += len(batch)
        told = client.tell_subscriptions("POST", f"/{id_}/items", {"part": part, "items": batch})
        _require(client, told, {"items": int})
    return count


def _as_of_seq(run: Run, client: RegistryClient) -> int:
    """Return up to which event what passed had passed here; 0 where that is not known.

    Then all that is reserved now is told: more than is new, and never less.
    """
    return run.as_of_seq.get(client.url, run.as_of_seq.get(public_url(client.url), 0))


def unsubscribe(client: RegistryClient, target: Path) -> int:
    """Delete the subscriptions of a run at one registry, with what it keeps; return how many there were.

    One that is not there any more counts. Raises as :func:`subscribe`.
    """
    account = account_folder(target.absolute())
    known = _read(account)
    mine = [one for one in known if one["registry"] == public_url(client.url)]
    for one in mine:
        try:
            client.tell_subscriptions("DELETE", f"/{one['id']}")
        except RegistryRefusedError as error:
            if "(404)" not in error.message:
                raise
        known.remove(one)
        _write(account, known)
    return len(mine)


def _read(account: Path) -> list[dict[str, Any]]:
    path = account / SUBSCRIPTIONS
    try:
        wire = strict_json(path.read_bytes())
        if not all(isinstance(one["id"], str) and isinstance(one["registry"], str) for one in wire):
            raise TypeError("an entry without id or registry")
    except FileNotFoundError:
        return []
    except (OSError, CaveatError, KeyError, TypeError) as error:
        raise DatasetError(
            f"{path} cannot be read: {error!r}", hint="Move it away; the registry lists your subscriptions."
        ) from error
    return list(wire)


def _write(account: Path, known: Sequence[dict[str, Any]]) -> None:
    path = account / SUBSCRIPTIONS
    if not known:
        path.unlink(missing_ok=True)
        return
    write_synced(path, json.dumps(list(known), ensure_ascii=False, indent=1).encode() + b"\n")


def _require(client: RegistryClient, told: dict[str, Any], kinds: dict[str, Any]) -> None:
    strange = [name for name, kind in kinds.items() if not isinstance(told.get(name), kind)]
    if strange:
        raise client.wrong(f"a subscription whose {strange[0]} is {str(told.get(strange[0]))[:40]!r}")
