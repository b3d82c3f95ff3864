"""The demo, as a visitor runs it."""

import re
import resource
from pathlib import Path

import pytest

from registry.demo.training_set import make_training_set


@pytest.fixture
def told(started, tmp_path):
    before = _seconds_of_children()
    done = started("demo", "--out", tmp_path / "demo")
    return done, tmp_path / "demo", _seconds_of_children() - before


def _seconds_of_children():
    """Processor time, which says the same on a busy machine; the clock would not."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def processes_at(folder):
    """The command lines of all processes that mention ``folder``."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in words:
            found.append(words)
    return found


def test_the_demo_finds_seven_of_nine_copies_and_owns_up_to_the_two_it_misses(
    told, live, kit, started, tmp_path
):
    done, folder, seconds = told
    text = re.sub(r"\s+", " ", done.stdout)
    assert done.returncode == 0
    assert "7 of 9 copies found and left out" in text
    assert seconds < 60

    missed = {i.name: i.missed for i in make_training_set(tmp_path / "again") if i.missed}
    assert len(missed) == 2
    rows = {line.split()[0]: line for line in done.stdout.splitlines() if line.startswith("img_")}
    assert {f"10_cosy/{name}" for name, row in rows.items() if " missed " in row} == missed.keys()
    for name, why in missed.items():
        assert why in rows[name.partition("/")[2]]

    clean = kit.tree(folder / "lora-set-clean")
    kept = {name for name in clean if not name.endswith((".txt", ".npz"))}
    ingredients = {i.name for i in make_training_set(tmp_path / "once more") if i.missed or not i.is_copy}
    assert kept == ingredients
    assert "10_cosy/metadata_cache.json" not in clean
    assert {name for name in clean if name.endswith(".npz")} == {"10_cosy/img_010_0512x0640_sdxl.npz"}
    assert {name.rpartition(".")[0] for name in clean if name.endswith(".txt")} == {
        n.rpartition(".")[0] for n in kept
    }
    assert live.reserved_in(folder / "lora-set-clean") == set()

    report = folder / "lora-set-clean.caveat/report.html"
    assert str(report) in text.replace(" ", "")
    assert report.read_text("utf-8").count("<img ") == 7
    assert re.findall(r"(remove|keep) (https?://\S+)", text) == [
        ("remove", "https://images.gallery.example/2024/harbour.jpg"),
        ("remove", "http://gallery.example/about/portrait.png?utm_source=feed"),
        ("keep", "https://elsewhere.example.org/harbour.jpg"),
    ]
    assert processes_at(folder) == []

    (folder / "mine.txt").write_text("the demo made this folder, so it may make it anew")
    refused = started("demo", "--out", tmp_path / "again")
    assert refused.returncode == 3
    assert "holds something that the demo did not make" in refused.stderr
    assert (tmp_path / "again/10_cosy").is_dir()
