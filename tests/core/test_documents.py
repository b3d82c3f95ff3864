"""A receipt told in each format: what stands where, who vouches for it, and what is refused of a maker."""

import json
import re
from dataclasses import replace

import pytest
import yaml

from registry.documents import (
    NOT_STATED,
    Artist,
    Declared,
    Source,
    declared_json,
    parse_declared,
    sections_of,
)
from registry.documents.card import card
from registry.documents.civitai import civitai
from registry.documents.croissant import croissant
from registry.documents.eu_template import eu_template
from registry.documents.spdx import spdx
from registry.errors import InputError
from registry.receipt import ABOUT, digest_of
from tests.core.told import DECLARED, RECEIPT, told_of

AT = "2026-11-24T00:00:00Z"
FORMATS = {
    "card": card,
    "civitai": civitai,
    "croissant": croissant,
    "spdx": lambda told: spdx(told, AT),
    "eu": eu_template,
}


def lines(told):
    return [fact.labelled for part in sections_of(told) for fact in part.facts]


def front_matter(told):
    _, block, _ = card(told).split("---\n", 2)
    return yaml.safe_load(block)


# What a maker may declare.

HALF = {
    "nothing": {},
    "a title": {"title": "Cosy"},
    "an artist by name alone": {"artists": [{"name": "Zoë"}]},
    "a condition with its terms": {"artists": [{"name": "B", "says": "conditional", "terms": "name me"}]},
    "an upstream without an address": {"upstream": [{"name": "a friend"}]},
    "no base model": {"base_model": None},
    "letters that join": {"author": "می\u200cخواهم"},
    "a wide blank": {"author": "山田\u3000太郎"},
}


@pytest.mark.parametrize("name", HALF)
def test_what_is_left_out_is_not_stated(name):
    declared = parse_declared(HALF[name])
    assert parse_declared(json.loads(declared_json(declared))) == declared


REFUSED = {
    "no object": ([], "declared: expected a JSON object"),
    "a member of another kind": ({"tilte": "x"}, "with 'tilte', which is not of it"),
    "a member too much below": ({"artists": [{"name": "x", "age": 3}]}, "artists.0: with 'age'"),
    "a number": ({"title": 3}, "declared.title: expected text"),
    "two lines": ({"title": "a\nb"}, "title: expected one line"),
    "a blank before it": ({"title": " a"}, "title: expected one line"),
    "two blanks": ({"limits": ["a  b"]}, "limits: expected one line"),
    "text that turns around": ({"author": "a\u202eb"}, "author: expected text"),
    "an end of a paragraph": ({"author": "a\u2029b"}, "author: expected text"),
    "text that is not seen": ({"author": "a\u200bb"}, "author: expected one line"),
    "half a character": ({"author": "\ud800"}, "author: expected text"),
    "a use that is none": ({"artists": [{"name": "x", "use": "fun"}]}, "expected one of tdm, train"),
    "a preference that is none": (
        {"conveyed": [{"of": "x", "use": "train", "preference": "unknown"}]},
        "expected one of reserved, conditional, allowed",
    ),
    "a consent that is a refusal": ({"artists": [{"name": "x", "says": "reserved"}]}, "says of an artist"),
    "a condition without terms": (
        {"artists": [{"name": "Bob", "says": "conditional"}]},
        "there are no terms",
    ),
    "nobody": ({"artists": [{"name": ""}]}, "an artist: it has no text"),
    "an artist without a name": ({"artists": [{"says": "allowed"}]}, "artists.0: without name"),
    "one artist for a list": ({"artists": {"name": "x"}}, "artists: expected a list"),
    "a script for an address": ({"url": "javascript:alert(1)"}, "url: no web address"),
    "an address with a blank": ({"url": "https://x.example/ y"}, "url: no web address"),
    "an address with a bracket": ({"url": "https://x.example/>"}, "url: no web address"),
    "an address of nobody": ({"url": "https://"}, "url: no web address"),
    "an address below": ({"base_model": {"name": "x", "url": "x"}}, "url: no web address"),
    "a kind that is none": ({"kind": "song"}, "kind: got 'song'; expected one of dataset, model"),
    "a day that is none": ({"published": "2026-02-30"}, "published: '2026-02-30' is no day"),
    "an empty purpose": ({"purposes": [""]}, "purposes: it has no text"),
    "a record that is none": ({"artists": [{"name": "Zoë", "record": "12"}]}, "record of Zoë: expected 26"),
    "a grant that is none": (
        {"artists": [{"name": "Zoë", "says": "allowed", "grant": "12"}]},
        "grant of Zoë: expected its identifier",
    ),
    "a grant of who is credited": ({"artists": [{"name": "Zoë", "grant": "a" * 26}]}, "Zoë is credited"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_maker_would_not_have_written_is_refused_by_name(name):
    wire, message = REFUSED[name]
    with pytest.raises(InputError, match=message):
        parse_declared(wire)


def test_a_declaration_is_read_as_it_was_written():
    assert parse_declared(json.loads(declared_json(DECLARED))) == DECLARED


# What is told, and by whom.

VOUCHED = [
    "measured: Refusals: 4 of 1,012 left out (1 by IPTC Data Mining, 3 as copies)",
    "measured: Left out besides: 1 of 1,012 (1 that went with another)",
    "measured: Grants: 1 from those who had refused, by which 6 are kept",
    "declared: Conditions the maker meets: https://licence.example/1",
    "declared: Consent: Zoë: allowed for genai-train; terms: https://zoe.example/t; contact: @zoe; "
    f"record: {'z' * 26}; by a grant that the run had: sha256:{'6' * 64}",
    "declared: Consent: Bob: allowed on a condition for train; terms: name me; contact: not stated",
    "declared: Credited: Eve",
    "measured: Filtered: 2026-11-22 by caveat 0.1.0, for genai-train, mode eu-art4",
    "measured: Registry: https://registry.example, as of event 48,112 (asked about each sample)",
    "measured: Registry: log.example, asked about nothing (a copy on the maker’s machine)",
    "measured: Sites of the works: not asked",
    "measured: Kept: 1,005 of 1,012",
    "measured: Nobody has said anything: 900 of 1,012; that is no consent",
    "measured: Possible copies: 4 kept, for the maker to look at",
    "measured: Set aside: 2 that could not be checked; not in the set",
    "measured: Records: those below level 2 did not count, for 8 of 1,012",
    "declared: The maker’s own works: 7 kept, not proven",
    f"measured: Output: 12 files, dirHash:{'2' * 64}",
    "inherited: Base model: SDXL; https://huggingface.co/stabilityai/sdxl-base-1.0; licence: openrail++",
    "inherited: Made from: Chairs; https://huggingface.co/datasets/ada/chairs; licence: CC0-1.0",
    "inherited: Made from: A friend's photos; licence: by word of mouth",
    "inherited: Preference that came with it: studio.example: reserved for ai-input; terms: ask first; "
    "https://studio.example/.well-known/tdmrep.json",
    "declared: Title: Cosy chairs (model)",
    "declared: Author: Ada Ng",
    "declared: Contact: ada@example.org",
    "declared: Licence: CC-BY-4.0",
    "declared: Published: 2026-11-23 https://huggingface.co/datasets/ada/cosy-clean",
    "declared: Made for: pictures of chairs",
    "declared: Made for: pictures of stools",
    "declared: Limits: few sofas",
]


def test_every_line_says_who_vouches_for_it():
    found = lines(told_of(DECLARED))
    receipt = next(one for one in found if one.startswith("measured: Receipt: sha256:"))
    assert [one for one in found if one != receipt] == VOUCHED


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_says_what_a_receipt_does_not_show(name):
    for told in (told_of(), told_of(DECLARED)):
        text = FORMATS[name](told)
        assert ABOUT in text.replace("&#x27;", "'")


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_names_the_three_who_vouch(name):
    words = re.findall(r"[a-z]+", FORMATS[name](told_of(DECLARED)))
    assert {str(one) for one in Source} <= set(words)


MISSING = ["Title", "Author", "Contact", "Licence", "Published", "Made for", "Limits"]


def test_what_nobody_stated_is_told_as_not_stated():
    found = lines(told_of())
    assert [f"declared: {name}: {NOT_STATED}" for name in MISSING] == found[-7:]
    assert "declared: Consents and credits: not stated" in found
    assert [one for one in found if one.startswith("inherited")] == [
        "inherited: Base model: not stated",
        "inherited: Made from: not stated",
        "inherited: Preferences that came with it: not stated",
    ]


def test_research_does_not_pass_for_obedience():
    told = told_of(mode="research-art3", organisation="A university", purpose="a study")
    [refusals] = [one for one in lines(told) if one.startswith("measured: Refusals")]
    assert "recorded and not obeyed" in refusals
    assert {"declared: Research by: A university", "declared: Research for: a study"} <= set(lines(told))
    assert all("recorded and not obeyed" in text(told) for text in FORMATS.values())


def test_those_who_are_unheard_of_in_strict_mode_are_no_refusals():
    counts = replace(
        RECEIPT.counts, removed=5, removed_by={"unknown": 5}, preference={"unknown": 5, "none": 2}
    )
    found = lines(told_of(Declared(), replace(RECEIPT, counts=counts)))
    assert found[0] == "measured: Refusals: 0 of 1,012 left out"
    assert found[1].startswith("measured: Left out besides: 5 of 1,012 (5 of which nobody has said anything")


# The card at Hugging Face.


def test_the_front_matter_gives_the_hub_what_it_knows_and_keeps_ours_apart():
    found = front_matter(told_of(DECLARED))
    ours = found.pop("optout_filter")
    assert found == {
        "base_model": ["stabilityai/sdxl-base-1.0"],
        "datasets": ["ada/cosy-clean", "ada/chairs"],
    }
    assert list(ours) == [
        *("version", "about", "receipt", "maker", "measured", "declared", "inherited", "not_stated"),
    ]
    assert ours["measured"]["kept"] == 1_005
    assert [one["as_of_seq"] for one in ours["measured"]["registries"]] == [48_112, None]
    assert ours["declared"]["artists"][2] == {
        "name": "Bob", "says": "conditional", "use": "train", "terms": "name me",
    }  # fmt: skip
    assert ours["inherited"]["base_model"]["name"] == "SDXL"
    assert ours["not_stated"] == []


def test_what_is_not_stated_is_listed_and_not_invented():
    found = front_matter(told_of())
    assert list(found) == ["optout_filter"]
    assert found["optout_filter"]["inherited"] == {}
    assert found["optout_filter"]["not_stated"] == [
        *("title", "kind", "author", "contact", "licence", "url", "published", "base_model", "upstream"),
        *("artists", "conveyed", "purposes", "limits"),
    ]


NO_IDS = {
    "another host": "https://huggingface.example/datasets/ada/chairs",
    "a model": "https://huggingface.co/ada/chairs",
    "a file": "https://huggingface.co/datasets/ada/chairs/blob/main/README.md",
    "a space": "https://huggingface.co/spaces/ada/chairs",
    "no owner": "https://huggingface.co/datasets/chairs",
    "by http": "http://huggingface.co/datasets/ada/chairs",
}


@pytest.mark.parametrize("name", NO_IDS)
def test_what_is_no_id_of_a_dataset_at_the_hub_is_not_given_as_one(name):
    assert "datasets" not in front_matter(told_of(Declared(url=NO_IDS[name])))


def test_the_card_of_a_dataset_claims_no_base_model():
    found = front_matter(told_of(replace(DECLARED, kind="dataset")))
    assert list(found) == ["optout_filter"]


# The other formats.


def test_civitai_keeps_every_tag():
    tags = {one.split(">")[0].split()[0].strip("/") for one in civitai(told_of(DECLARED)).split("<")[1:]}
    assert tags <= {"h2", "h3", "p", "ul", "li", "strong", "em"}


def test_croissant_has_only_what_was_stated():
    bare, full = json.loads(croissant(told_of())), json.loads(croissant(told_of(DECLARED)))
    stated = {"url", "license", "creditText", "datePublished"}
    assert full.keys() - bare.keys() == stated
    assert {name: full[name] for name in stated} == {
        "url": DECLARED.url,
        "license": "CC-BY-4.0",
        "creditText": "Ada Ng",
        "datePublished": "2026-11-23",
    }
    assert bare["rai:dataUseCases"] == ["declared: Made for: not stated"]
    assert (bare["name"], full["name"]) == ("Filtered dataset 222222222222", "Training data of Cosy chairs")


def elements(text, kind):
    return [one for one in json.loads(text)["@graph"] if one["type"] == kind]


def test_spdx_claims_the_profile_only_where_it_has_what_that_wants():
    for told, claimed in ((told_of(), False), (told_of(DECLARED), True)):
        [document] = elements(spdx(told, AT), "SpdxDocument")
        [package] = elements(spdx(told, AT), "dataset_DatasetPackage")
        assert ("dataset" in document["profileConformance"]) is claimed
        assert ({"releaseTime", "software_downloadLocation"} <= package.keys()) is claimed


def test_spdx_has_every_line_with_its_label_and_each_element_once():
    told = told_of(DECLARED)
    text = spdx(told, AT)
    said = [one["statement"] for one in elements(text, "Annotation")]
    assert said == [*lines(told), ABOUT]
    ids = [one["spdxId"] for one in json.loads(text)["@graph"] if "spdxId" in one]
    assert len(ids) == len(set(ids))
    assert spdx(told, AT) == text


def test_spdx_names_listed_licences_and_keeps_others_as_text():
    found = spdx(told_of(DECLARED), AT)
    expressions = [
        one["simplelicensing_licenseExpression"]
        for one in elements(found, "simplelicensing_LicenseExpression")
    ]
    assert expressions == ["CC-BY-4.0", "CC0-1.0", "LicenseRef-declared"]
    [text] = elements(found, "simplelicensing_SimpleLicensingText")
    assert text["simplelicensing_licenseText"] == "by word of mouth"


def test_the_template_says_which_fields_it_cannot_fill():
    answered, _, open_ = eu_template(told_of(DECLARED)).partition("## What it cannot tell")
    assert "- **1.1 Provider name:** Ada Ng · *declared*" in answered
    assert "- **1.2 Base model:** SDXL" in answered
    assert "- **2.1–2.2 Made from:** Chairs" in answered
    for field in ("Date of placement", "User data", "Synthetic data", "illegal content", "domain names"):
        assert field in open_
        assert field not in answered


def test_a_table_is_not_told_as_pictures():
    for kind, there in (("kohya", True), ("webdataset", True), ("parquet", False), ("lance", False)):
        told = told_of(format=kind)
        assert ("each sample was read as a picture" in eu_template(told)) is there
        [package] = elements(spdx(told, AT), "dataset_DatasetPackage")
        assert package["dataset_datasetType"] == ["image" if there else "noAssertion"]


def test_consent_stands_beside_the_refusals_and_before_everything_else():
    first, *_ = sections_of(told_of(DECLARED))
    assert [fact.name for fact in first.facts].index("Refusals") == 0
    assert sum(fact.name == "Consent" for fact in first.facts) == 2


def test_a_grant_is_told_by_the_digest_of_its_identifier_alone():
    said = {"name": "Zoë", "says": "allowed", "record": "z" * 26, "grant": "k" * 26}
    declared = parse_declared({"artists": [said]})
    digest = digest_of(b"k" * 26)
    told = told_of(declared, grants=(digest,))
    for text in (
        card(told),
        civitai(told),
        json.dumps(croissant(told)),
        eu_template(told),
        declared_json(declared),
    ):
        assert "k" * 26 not in text
        assert digest in text
    with pytest.raises(InputError, match="grant of Zoë: not among those that the receipt names"):
        told_of(declared)


def test_credits_come_after_consents():
    told = told_of(Declared(artists=(Artist(name="A"), Artist(name="B", says="allowed"))))
    assert [one.name for one in sections_of(told)[0].facts][-2:] == ["Consent", "Credited"]
