"""Tickets with answers: so that whoever asked can prove it later, and the registry keeps nothing.

A view that is :func:`ticketed` gives one when the request names a run. It says by :func:`note` as of which
event it answers, and about how many items. A registry without a log of its own has no key, and gives none.
"""

import logging
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any

from flask import Response, g, request

from api.state import state
from registry.errors import InputError, LogError, ProofError, StorageError
from registry.log_folder import LogFolder
from registry.tickets import (
    RUN_HEADER,
    TICKET_HEADER,
    Ticket,
    issue,
    message_hash,
    parse_run,
    ticket_key,
)

__all__ = ["giving_key", "note", "ticket_keys", "ticketed"]

View = Callable[..., Response]
_NOTED = "caveat_answered"
_LOG = logging.getLogger(__name__)


def note(as_of_seq: int, items: int) -> None:
    """Say as of which event this request is answered, and about how many items."""
    setattr(g, _NOTED, (as_of_seq, items))


def ticketed(view: View) -> View:
    """Give a ticket with the answer of ``view`` to whoever names a run. Raises :class:`InputError`."""

    @wraps(view)
    def answered(*args: Any, **kwargs: Any) -> Response:
        if len(request.headers.getlist(RUN_HEADER)) > 1:
            raise InputError(f"{RUN_HEADER}: stands twice")
        named = request.headers.get(RUN_HEADER)
        run = None if named is None else parse_run(named)
        response = view(*args, **kwargs)
        key = None if run is None else giving_key()
        if run is not None and key is not None:
            response.headers[TICKET_HEADER] = issue(_ticket(*run, response), key)
        return response

    return answered


def giving_key() -> bytes | None:
    """Return the key by which tickets are given; None where none are.

    An answer is right without a ticket: a damaged key must not take the look-ups down.
    """
    try:
        return next(iter(ticket_keys()), None)
    except LogError as error:
        _LOG.error("%s", error.message)
        return None


def ticket_keys() -> list[bytes]:
    """Return the keys for tickets, the current one first; none where this registry signs no log.

    Raises :class:`LogError` when they cannot be read.
    """
    log = state().log
    if log is None or state().settings.mirror:
        return []
    try:
        found = (log.path / "key" / "private").stat()
        return list(_keys(log, (found.st_mtime_ns, found.st_ino, found.st_size)))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise LogError(f"the log's keys cannot be read: {error.strerror or error}") from error
    except (ProofError, StorageError) as error:
        raise LogError(f"the log's keys cannot be read: {error.message}", hint=error.hint) from error


@lru_cache(maxsize=8)
def _keys(log: LogFolder, file: tuple[int, int, int]) -> tuple[bytes, ...]:
    """Return the keys that the file in this state holds: reading them takes twice as long as a range."""
    return tuple(ticket_key(one.private) for one in log.signers())


def _ticket(run: bytes, number: int, response: Response) -> Ticket:
    as_of_seq, items = getattr(g, _NOTED)
    now = int(state().now())
    return Ticket(
        run=run,
        begin=number,
        end=number + 1,
        items=items,
        as_of_seq=as_of_seq,
        first=now,
        last=now,
        asked=message_hash(run, _asked()),
        answered=message_hash(run, response.get_data()),
    )


def _asked() -> bytes:
    query = b"?" + request.query_string if request.query_string else b""
    head = f"{request.method} {request.path}".encode() + query + b"\n"
    return head + request.get_data()
