import json

import pytest

from registry.errors import InputError
from registry.signals.agents import MAX_AGENTS, MAX_BYTES, AgentKind, Agents

ONE = {"token": "NewBot", "kind": "training", "operator": "Somebody", "source": "their page"}


def text(**changes: object) -> bytes:
    return json.dumps({"version": "2026-11-21", "agents": [ONE], **changes}).encode()


def agent(**changes: object) -> bytes:
    return text(agents=[{**ONE, **changes}])


def named(name: str) -> bytes:
    return text(agents=[{**ONE, "token": name}])


KNOWN = {
    "training": "GPTBot ClaudeBot CCBot Google-Extended Applebot-Extended Bytespider Meta-ExternalAgent "
    "FacebookBot Amazonbot cohere-training-data-crawler Diffbot AI2Bot Ai2Bot-Dolma ImagesiftBot img2dataset "
    "Spawning-AI omgili omgilibot PanguBot Timpibot Webzio-Extended VelenPublicWebCrawler ICC-Crawler "
    "ISSCyberRiskCrawler anthropic-ai cohere-ai LAIONDownloader",
    "assistant": "ChatGPT-User Claude-User Perplexity-User meta-externalfetcher DuckAssistBot MistralAI-User "
    "Google-CloudVertexBot",
    "search": "OAI-SearchBot Claude-SearchBot PerplexityBot YouBot",
}


@pytest.mark.parametrize("kind", AgentKind)
def test_the_shipped_list_has_what_is_known(kind):
    tokens = {one.token for one in Agents.default().of(kind)}
    assert set(KNOWN[kind].split()) <= tokens


@pytest.mark.parametrize("token", ["Scrapy", "Googlebot", "bingbot", "*", "caveat", "Applebot"])
def test_the_shipped_list_leaves_out_what_is_not_for_ai(token):
    assert token.lower() not in {one.token.lower() for one in Agents.default().agents}


def test_every_name_says_how_it_is_known():
    agents = Agents.default()
    assert agents.version >= "2026-11-21"
    assert all(one.operator and one.source for one in agents.agents)
    assert agents is Agents.default()
    assert set(agents.of(*AgentKind)) == set(agents.agents)


def test_a_file_of_ones_own_is_read():
    agents = Agents.load(text(agents=[{**ONE, "token": "Kangaroo Bot", "kind": "search"}]))
    assert agents.version == "2026-11-21"
    (one,) = agents.agents
    assert (one.token, one.kind, one.operator) == ("Kangaroo Bot", AgentKind.SEARCH, "Somebody")


REFUSED = {
    "no JSON": (b"agents", "not JSON"),
    "no UTF-8": (b"\xff{}", "not UTF-8"),
    "a member twice": (b'{"version": "2026-11-21", "version": "2026-11-22", "agents": []}', "twice"),
    "a list": (b"[]", "at the file: expected an object"),
    "no version": (b'{"agents": []}', "missing or unknown: version"),
    "an unknown member": (text(note="x"), "missing or unknown: note"),
    "a version that is no day": (text(version="1.50"), "at version: expected a day"),
    "a version in month 13": (text(version="2026-13-01"), "at version"),
    "a version with a line end": (text(version="2026-11-21\n"), "at version"),
    "a version that is a number": (text(version=20261121), "at version"),
    "no agents": (text(agents=[]), f"at agents: expected a list of 1 to {MAX_AGENTS}"),
    "agents in an object": (text(agents={"GPTBot": {}}), "at agents"),
    "too many agents": (text(agents=[ONE] * (MAX_AGENTS + 1)), "at agents"),
    "an agent that is a text": (text(agents=["GPTBot"]), "at agents[0]: expected an object"),
    "a second agent without kind": (
        text(agents=[ONE, {"token": "B", "operator": "x", "source": "x"}]),
        "at agents[1]: expected the members kind, operator, source, token; missing or unknown: kind",
    ),
    "another kind": (agent(kind="scraper"), "at agents[0].kind: expected one of training, assistant, search"),
    "a kind that is null": (agent(kind=None), "at agents[0].kind: expected a text"),
    "an empty token": (named(""), "at agents[0].token"),
    "everybody": (named("*"), "at agents[0].token: expected letters"),
    "a token with a line end": (named("a\n"), "at agents[0].token"),
    "a token that begins with a blank": (named(" a"), "at agents[0].token"),
    "a token too long": (named("a" * 65), "at agents[0].token"),
    "a token twice": (
        text(agents=[ONE, {**ONE, "token": "NEWBOT"}]),
        "at agents[1].token: 'NEWBOT' stands in agents[0] already",
    ),
    "too large": (b" " * (MAX_BYTES + 1), f"at most {MAX_BYTES}"),
    "nested too deeply": (b"[" * 100_000, "nested"),
}


@pytest.mark.parametrize(("data", "where"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused_says_where(data, where):
    with pytest.raises(InputError) as caught:
        Agents.load(data)
    assert where in caught.value.message
