"""Items that are watched: what is packed finds what the whole item would, and comes back as it was sent."""

from collections.abc import Sequence
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import InputError
from registry.fingerprint import Fingerprint, pack_windows
from registry.index import Entries, RowKeys
from registry.matching import find
from registry.urls import url_rule
from registry.watched import Fresh, Watched, items_of, packed_items, parse_item, touched_by, wires_of

_BASE = int.from_bytes(b"\x5a\xc3" * 16, "big")
hashes = st.lists(st.integers(0, 255), max_size=40, unique=True).map(
    lambda bits: (_BASE ^ sum(1 << bit for bit in bits)).to_bytes(32, "big")
)
urls = st.builds(
    "https://{}ada.test/{}{}".format,
    st.sampled_from(["", "www.", "img."]),
    st.sampled_from(["", "a/", "a/b/"]),
    st.sampled_from(["1.jpg", "2.jpg", ""]),
)
files = st.integers(0, 3).map(lambda number: bytes([number] * 32))


@st.composite
def wires(draw: Any) -> dict[str, Any]:
    form = st.dictionaries(
        st.sampled_from(["full", "mirror", "trim"]), hashes.map(bytes.hex), min_size=1, max_size=3
    )
    keys = {
        "url": draw(st.none() | urls),
        "sha256": draw(st.none() | files.map(bytes.hex)),
        "fingerprint": draw(
            st.none()
            | st.builds(lambda q, pdq: {"v": 1, "quality": q, "pdq": pdq}, st.integers(40, 100), form)
        ),
    }
    return {"id": draw(st.text(st.characters(codec="utf-8"), max_size=5)), **keys}


def watched(sent: Sequence[dict[str, Any]]) -> list[Watched]:
    items = []
    for wire in sent:
        try:
            items.append(parse_item(wire, "item"))
        except InputError:
            continue
    return items


@st.composite
def rows(draw: Any) -> RowKeys:
    place = draw(st.integers(2, 1 << 30)) & ~1
    kind = draw(st.sampled_from(["rule", "file", "picture"]))
    if kind == "rule":
        rule = draw(
            st.builds(url_rule, st.sampled_from(["exact"]), urls)
            | st.builds(url_rule, st.just("host"), st.sampled_from(["ada.test", "img.ada.test"]))
            | st.just(url_rule("domain", "ada.test"))
        )
        return RowKeys(place | 1, rule.key)
    if kind == "file":
        return RowKeys(place, None, draw(files))
    print_ = Fingerprint(1, 100, None, {"full": draw(hashes)})
    return RowKeys(place, packed=pack_windows(print_, {"full": draw(st.sampled_from([31, 47]))}))


@given(st.lists(wires(), max_size=8), st.lists(rows(), max_size=6))
def test_no_item_that_anything_decides_on_is_missed(sent, there):
    items, fresh = watched(sent), Fresh.of([Entries.of(there)])
    found, cut = find(fresh.index, [one.question for one in items], review=False)
    touched = touched_by(packed_items(items), fresh)
    with patch("registry.watched._FEW", -1):
        by_index = touched_by(packed_items(items), fresh)
    needed = {place for place, one in enumerate(found) if one} | cut
    assert needed <= set(touched)
    assert needed <= set(by_index)


@given(st.lists(wires(), max_size=8))
def test_items_come_back_as_they_were(sent):
    items = watched(sent)
    assert list(items_of(wires_of(items)).values()) == items
    assert items_of(wires_of(items), range(0, len(items), 2)) == dict(list(enumerate(items))[::2])


def test_nothing_is_touched_where_nothing_is_near():
    items = watched([{"id": "a", "url": "https://ada.test/1.jpg", "sha256": "01" * 32}])
    other = RowKeys(4, url_rule("exact", "https://ben.test/1.jpg").key, bytes(32))
    assert touched_by(packed_items(items), Fresh.of([Entries.of([other])])) == []


@pytest.mark.parametrize(
    "data",
    [np.array([2, 0, 0, 0], "<u4").tobytes(), np.array([1, 9, 0, 0], "<u4").tobytes(), b""],
    ids=["version", "cut", "empty"],
)
def test_other_bytes_are_an_error(data):
    with pytest.raises(ValueError, match=r"\w"):
        touched_by(data, Fresh.of([]))


@pytest.mark.parametrize(
    ("wire", "named"),
    [
        ({}, "could be found"),
        ({"fingerprint": {"v": 1, "quality": 49, "pdq": {"full": "5a" * 32}}}, "could be found"),
        ({"fingerprint": {"v": 1, "quality": 99, "pdq": {"full": "00" * 32}}}, "could be found"),
        ({"fingerprint": {"v": 1, "quality": 99, "phash": "5a" * 8}}, "could be found"),
        ({"fingerprint": {"v": 2, "quality": 99}}, "version"),
        ({"url": "ftp://ada.test/"}, "http"),
        ({"sha256": "AB" * 32}, "sha256"),
    ],
    ids=["nothing", "too plain", "flat", "a pHash", "another version", "ftp", "capitals"],
)
def test_what_could_never_be_found_is_refused(wire, named):
    with pytest.raises(InputError, match=named) as refused:
        parse_item({"id": "a", **wire}, "items.3")
    assert refused.value.message.startswith("items.3: ")
