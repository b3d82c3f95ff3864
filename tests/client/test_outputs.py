"""A run told as SARIF and as Markdown, and ``caveat filter`` started bare."""

import json
import os
import pty
import re
from html import unescape
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from registry.client import Rules
from registry.client.formats import Sample
from registry.client.markdown import SHOWN, markdown
from registry.client.sarif import MAX_RESULTS, sarif_log
from registry.client.summary import FilterSummary
from registry.client.verdicts import Verdict
from registry.decision import decide
from registry.preference import Action, Preference, Status, Use
from registry.statement import Match, Statement

CASES = ["folder", "kohya", "jsonl", "table_csv", "table_parquet"]
RESERVED = Statement({Use.GENAI_TRAIN: Preference.RESERVED}, Match("sha256"), label="Ada")


@pytest.fixture(scope="session", params=CASES)
def run(request, run_of):
    return run_of(request.param)


@pytest.fixture
def at(live):
    return ("--registry", live.url, "--key", live.keys["maker"])


def summary_of(notable, source, **more):
    summary = FilterSummary(
        source=source, target=None, format="folder", why="", rules=Rules(),
        registries=("https://registry.example",), notable=notable, **more,
    )  # fmt: skip
    for verdict in notable:
        summary.add(verdict)
    return summary


def removed(name):
    decision = decide([RESERVED], Use.GENAI_TRAIN)
    return Verdict(Sample(name), Status.OK, Action.REMOVE, decision.reason, decision)


def failed(name, reason="damaged"):
    return Verdict(Sample(name), Status.ERROR, Action.ERROR, reason)


# SARIF.


def test_a_log_has_what_code_scanning_wants(run):
    log = sarif_log(run.summary)
    assert json.loads(json.dumps(log)) == log
    assert (log["version"], len(log["runs"])) == ("2.1.0", 1)
    [told] = log["runs"]
    rules = told["tool"]["driver"]["rules"]
    assert len({rule["id"] for rule in rules}) == len(rules)
    assert len(told["results"]) == len(run.summary.notable)
    for result in told["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["message"]["text"]
        assert result["level"] in ("error", "warning", "note")
    assert {result["ruleIndex"] for result in told["results"]} == set(range(len(rules)))
    prints = [result["partialFingerprints"]["sample/v1"] for result in told["results"]]
    assert len(set(prints)) == len(prints)


def test_each_result_is_in_the_file_that_it_speaks_of(run):
    [told] = sarif_log(run.summary)["runs"]
    base = unquote(urlsplit(told["originalUriBaseIds"]["SRC"]["uri"]).path)
    assert base.endswith("/")
    by_name = {v.sample.name: v for v in run.summary.notable}
    for result in told["results"]:
        [location] = result["locations"]
        place = location["physicalLocation"]["artifactLocation"]
        assert place["uriBaseId"] == "SRC"
        verdict = next(v for name, v in by_name.items() if result["message"]["text"].startswith(f"{name}: "))
        there = base + unquote(place["uri"])
        if "not there" in verdict.reason:
            assert not os.path.exists(there)
        else:
            assert os.path.isfile(there)
        if run.source.is_file():
            assert [one["fullyQualifiedName"] for one in location["logicalLocations"]] == [
                f"row {verdict.sample.key}"
            ]


LEVELS = {
    Action.REMOVE: "error",
    Action.ERROR: "error",
    Action.REVIEW: "warning",
    Action.KEEP: "note",
}


@pytest.mark.parametrize("action", list(Action))
def test_the_level_follows_from_the_action(tmp_path, action):
    decision = decide([RESERVED], Use.GENAI_TRAIN)
    verdict = Verdict(Sample("a b%.png"), Status.OK, action, "why", decision)
    [told] = sarif_log(summary_of([verdict], tmp_path))["runs"]
    assert told["results"][0]["level"] == LEVELS[action]
    place = told["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]
    assert place["uri"] == "a%20b%25.png"


def test_more_results_than_a_log_may_have_are_counted_and_the_severe_ones_stay(tmp_path):
    notable = [failed(f"{n}.png") for n in range(MAX_RESULTS)] + [removed("x.png"), removed("y.png")]
    [told] = sarif_log(summary_of(notable, tmp_path))["runs"]
    assert len(told["results"]) == MAX_RESULTS
    assert [result["ruleId"] for result in told["results"][:3]] == ["sha256", "sha256", "not-checked"]
    notes = [note["message"]["text"] for note in told["invocations"][0]["toolExecutionNotifications"]]
    assert any(note.startswith("2 more results than") for note in notes)
    assert any(note.startswith(f"{MAX_RESULTS:,} samples could not be checked") for note in notes)


# Markdown.


def test_a_comment_has_the_counts_the_causes_and_the_first_samples(run):
    text = markdown(run.summary)
    assert len(text) < 16_000
    assert f"**{run.summary.kept:,} kept**, {run.summary.counts[Action.REMOVE]:,} removed" in text
    rendered = MarkdownIt("gfm-like", {"linkify": False}).render(text)
    assert rendered.count("<table>") == 2
    assert rendered.count("<tr>") == 2 + len(run.summary.reasons) + len(run.summary.notable)


def test_more_samples_than_are_shown_are_counted(tmp_path):
    text = markdown(summary_of([failed(f"{n}.png") for n in range(SHOWN + 5)], tmp_path))
    assert f"{SHOWN - 1}.png" in text
    assert f"{SHOWN}.png" not in text
    assert "… and 5 more, in the report." in text


def plain(text):
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())


@settings(deadline=None, max_examples=60)
@given(text=st.text(min_size=1, max_size=60))
def test_whatever_a_name_says_it_is_text_and_nothing_else(tmp_path_factory, text):
    rendered = MarkdownIt("gfm-like", {"linkify": False}).render(
        markdown(summary_of([failed(f"x{text}", f"x{text}x")], tmp_path_factory.getbasetemp()))
    )
    tags = set(re.findall(r"<(\w+)", rendered))
    assert tags <= {"h3", "p", "strong", "table", "thead", "tbody", "tr", "th", "td"}
    cells = [unescape(cell.replace("<!-- -->", "")) for cell in re.findall(r"<td>(.*?)</td>", rendered)]
    assert cells == ["set aside", plain(f"x{text}"), plain(f"x{text}x")]


LINKED = ["@ada", "https://evil.example", "www.evil.example", "#12", "ada@evil.example"]


@pytest.mark.parametrize("text", LINKED)
def test_nothing_is_linked_by_github(tmp_path, text):
    assert text not in markdown(summary_of([failed(text, text)], tmp_path))


# The command.


def test_filter_tells_code_scanning_and_pull_requests(caveat, at, tmp_path, kit, copies):
    kit.plant(tmp_path / "set", {"a.png": kit.free(1), "b.jpg": copies["same"], "c.png": kit.free(2)})
    sarif = caveat("filter", "set", "clean", *at, "--dry-run", "--output", "sarif")
    assert sarif.returncode == 0
    [told] = json.loads(sarif.stdout)["runs"]
    assert [result["ruleId"] for result in told["results"]] == ["sha256"]
    comment = caveat("filter", "set", "clean", *at, "--dry-run", "--output", "markdown")
    assert "| removed | b.jpg | Reserved for genai-train by “Ben”" in comment.stdout
    assert kit.leftovers(tmp_path, "set", "home") == set()


def test_started_bare_on_a_terminal_it_asks_for_both_places(started, at, tmp_path, kit):
    kit.plant(tmp_path / "my set", {"a.png": kit.free(1)})
    kit.plant(tmp_path / "my set-clean", {"a.txt": "taken"})
    ours, theirs = pty.openpty()
    os.write(ours, b"nowhere\nmy set\n\n")
    done = started("filter", *at, stdin=theirs)
    os.close(theirs)
    os.close(ours)
    assert done.returncode == 0, done.stderr
    assert "Folder or file" in done.stderr
    assert "'nowhere' does not exist" in done.stderr
    assert "Where to write" in done.stderr
    assert kit.tree(tmp_path / "my set-clean1").keys() == {"a.png"}
    assert f"output  {tmp_path / 'my set-clean1'}" in done.stdout


@pytest.mark.parametrize("words", [(), ("set",)], ids=["neither", "no target"])
def test_started_bare_without_a_terminal_it_does_not_ask(caveat, at, tmp_path, kit, words):
    kit.plant(tmp_path / "set", {"a.png": kit.free(1)})
    done = caveat("filter", *words, *at)
    assert (done.returncode, done.stdout) == (3, "")
    assert f"Missing argument '{'DST' if words else 'SRC'}'" in done.stderr
    assert kit.leftovers(tmp_path, "set", "home") == set()
