"""The real command with two worker processes: what is acknowledged is seen, by each, at once."""

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

EACH, WRITERS = 50, 4


def send(server: Any, path: str, body: Any, headers: dict[str, str], method: str = "POST") -> tuple[int, Any]:
    """One request on a connection of its own, so that either worker may take it."""
    connection = http.client.HTTPConnection(server.host, server.port, timeout=30)
    try:
        headers = {**headers, "Content-Type": "application/json"}
        connection.request(method, path, json.dumps(body), headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def settled(master: int) -> dict[int, int]:
    """The ticks when both workers have started and wait."""
    before: dict[int, int] = {}
    while (ticks := busy(master)) and (len(ticks) < 2 or ticks != before):
        before = ticks
        time.sleep(0.2)
    return ticks


def busy(master: int) -> dict[int, int]:
    """Clock ticks that each worker has used, where /proc tells them."""
    children = Path(f"/proc/{master}/task/{master}/children")
    if not children.exists():
        return {}
    found = {}
    for pid in map(int, children.read_text().split()):
        if b"build-index" in Path(f"/proc/{pid}/cmdline").read_bytes():
            continue
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        found[pid] = int(fields[11]) + int(fields[12])
    return found


def test_200_of_200_registrations_are_seen_by_the_next_look_up(
    served: Callable[..., Any], make_key: Callable[..., Any], record_property: Callable[[str, object], None]
) -> None:
    server = served(workers=2)
    headers = make_key(("lookup", "register")).headers
    before = settled(server.pid)

    def seen(number: int) -> bool:
        url = f"https://a.test/{number}.jpg"
        body = {"preferences": {"genai-train": "reserved"}, "works": [{"url": url}]}
        status, acknowledged = send(server, "/api/v1/reservations", body, headers)
        assert status == 201
        status, answer = send(server, "/api/v1/lookup", {"items": [{"id": "a", "url": url}]}, headers)
        assert status == 200
        assert answer["as_of_seq"] >= acknowledged["seq"]
        (result,) = answer["results"]
        return [one["record"] for one in result["statements"]] == [acknowledged["id"]]

    with ThreadPoolExecutor(WRITERS) as pool:
        count = sum(pool.map(seen, range(EACH * WRITERS)))
    record_property("seen", f"{count} of {EACH * WRITERS}")
    assert count == EACH * WRITERS
    assert send(server, "/readyz", None, {}, "GET")[1]["as_of_seq"] == EACH * WRITERS
    if before:
        after = busy(server.pid)
        assert len(after) == 2
        assert all(after[pid] > before[pid] for pid in after), (before, after)


def test_a_withdrawal_is_seen_by_every_worker_at_once(
    served: Callable[..., Any], make_key: Callable[..., Any]
) -> None:
    server, headers = served(workers=2), make_key(("lookup", "register")).headers
    asked = {"items": [{"id": "a", "url": "https://a.test/"}]}

    def told() -> set[str]:
        answers = (send(server, "/api/v1/lookup", asked, headers)[1] for _ in range(8))
        return {answer["results"][0]["preference"] for answer in answers}

    for _ in range(5):
        body = {"preferences": {"genai-train": "reserved"}, "works": [{"url": "https://a.test/"}]}
        id_ = send(server, "/api/v1/reservations", body, headers)[1]["id"]
        assert told() == {"reserved"}
        assert send(server, f"/api/v1/reservations/{id_}", {}, headers, "DELETE")[0] == 200
        assert told() == {"unknown"}


def test_a_key_that_the_operator_revokes_is_refused_by_every_worker_at_once(
    served: Callable[..., Any], make_key: Callable[..., Any]
) -> None:
    server, key = served(workers=2), make_key(("lookup",))

    def statuses() -> set[int]:
        paths = ["/api/v1/lookup", "/api/v2/query/urls"] * 8
        return {send(server, path, {"items": []}, key.headers)[0] for path in paths}

    assert statuses() == {200}
    command = [sys.executable, "-m", "api.commands", "api-keys", "revoke", *server.arguments, key.id]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    assert statuses() == {401}
