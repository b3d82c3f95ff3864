"""A registry with records, grants and receipts in it, for the pages that show them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from registry.receipt import Receipt, digest_of, timestamp
from registry.tickets import format_run
from tests.api.receipts import envelope_of, run_of
from tests.runs import DAY, NOW, configured

__all__ = ["People", "Recognised", "Sender", "recognised"]

CAUSES = {"pdq": 5, "domain": 3, "tdmrep": 1}


class Sender(Protocol):
    """Sends a request with a JSON body to a registry; returns what it answered, with its headers."""

    def __call__(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[Any, Mapping[str, str]]: ...


@dataclass(frozen=True)
class Recognised:
    """The identifiers of a public record and one that is not, of a grant, and of a published receipt."""

    record: str
    nameless: str
    grant: str
    receipt: str
    run: Receipt


@dataclass(frozen=True)
class People:
    """Who lodges, and who publishes receipts, by the headers with their keys."""

    ada: dict[str, str]
    maker: dict[str, str]


def recognised(send: Sender, people: People, state: Callable[[], str], now: int = NOW) -> Recognised:
    """Lodge, grant, and publish a receipt of ``now`` that names both records; ``state`` publishes the log."""
    ada, maker = people.ada, people.maker
    lodged = [send("POST", "/api/v1/reservations", body, ada)[0]["id"] for body in _bodies()]
    send("PATCH", f"/api/v1/reservations/{lodged[0]}", {"contact": "mailto:studio@ada.example"}, ada)
    given = {"reservation": lodged[0], "uses": ["genai-train"], "valid_until": now + 400 * DAY}
    given |= {
        "licensee": {"name": "Acme Models", "url": "https://acme.example"},
        "terms": "one model, no resale",
    }
    grant = send("POST", "/api/v1/grants", given, ada)[0]["id"]
    checkpoint = state()
    run = _run(checkpoint, grant, now)
    ticket = send("POST", "/api/v1/lookup", {"items": []}, {"Caveat-Run": format_run(bytes(range(16)), 0)})[1]
    body = {"receipt": envelope_of(run), "tickets": [ticket["Caveat-Ticket"]], "publish": True}
    body |= {"honoured": lodged, "consents": [grant]}
    published = send("POST", "/api/v1/receipts", body, maker)[0]["published"]
    return Recognised(lodged[0], lodged[1], grant, published["id"], run)


def _run(checkpoint: str, grant: str, now: int) -> Receipt:
    run = configured(run_of(checkpoint, as_of_seq=4), grants=(digest_of(grant.encode()),))
    counts = replace(
        run.counts, samples=1284, kept=1274, granted=12, unknown=1190, own=40, removed_by=CAUSES,
        review=1, errors=1, removed=9,
    )  # fmt: skip
    return replace(run, counts=counts, started=timestamp(now - 60), finished=timestamp(now))


def _bodies() -> list[dict[str, Any]]:
    works = [{"title": "Harbour", "url": f"https://ada.example/works/{n}.jpg"} for n in range(12)]
    return [
        {
            "preferences": {
                "genai-train": "reserved", "train": "reserved", "ai-input": "conditional",
                "search": "allowed", "ai-index": "allowed",
            },
            "label": "Ada Lovelace", "terms": "https://ada.example/licence", "contact": "x",
            "public": True, "works": works, "rules": [{"kind": "domain", "value": "ada.example"}],
        },
        {
            "preferences": {"genai-train": "reserved"}, "label": "Ben Secret", "terms": "hidden terms",
            "contact": "ben@secret.example", "works": works[:1],
        },
    ]  # fmt: skip
