"""CSV taken apart: plain lines by splitting them, the others by the csv module, and nobody sees which."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.client.formats.entries import csv_batches, csv_rows
from registry.errors import DatasetError

PIECES = ["a", "b", ",", '"', '""', "\n", "\r\n", "\r", "x\n", "y,z\n", '"a\nb"\n', "\0", " "]


def by_the_csv_module(text: str) -> list[tuple[list[str], str]] | None:
    """Rows with their texts, read line by line; None where the module refuses."""
    taken: list[str] = []

    def remembered():
        for line in io.StringIO(text, newline=""):
            taken.append(line)
            yield line

    found, reader = [], csv.reader(remembered(), strict=True)
    try:
        for values in reader:
            found += [(values, "".join(taken))] if values else []
            taken.clear()
    except csv.Error:
        return None
    # It takes a NUL for a letter, which no other reader does.
    return None if "\0" in text else found


@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join), st.integers(1, 4))
def test_every_row_is_what_the_csv_module_makes_of_it(text, at_once):
    wanted = by_the_csv_module(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("registry.client.formats.entries._LINES", at_once)
        try:
            found = list(csv_rows(io.StringIO(text, newline=""), "a.csv"))
        except DatasetError:
            found = None
    assert found == wanted


def test_a_byte_order_mark_stays_with_the_first_row():
    rows = list(csv_rows(io.StringIO('\ufeff"url",b\n1,2\n', newline=""), "a.csv"))
    assert rows == [(["url", "b"], '\ufeff"url",b\n'), (["1", "2"], "1,2\n")]


def test_a_fault_is_told_by_its_line(monkeypatch):
    monkeypatch.setattr("registry.client.formats.entries._LINES", 2)
    text = io.StringIO('url\na\nb\nc\nd"\n"e"x\n', newline="")
    with pytest.raises(DatasetError, match=r"a\.csv, line 6: "):
        list(csv_rows(text, "a.csv"))


def test_a_field_over_its_size_is_refused():
    with pytest.raises(DatasetError, match="line 2: field larger"):
        list(csv_batches(io.StringIO("url\n" + "x" * (1 << 20) + "y\n", newline=""), "a.csv"))
