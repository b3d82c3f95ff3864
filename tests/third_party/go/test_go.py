"""Go's own checksum database code reads a real registry's log, whole, and refuses every damaged one.

``make test-log`` installs Go where it is missing, and runs this.
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from go_check import GoCheck, RefusedError
from published import Published

from registry.note import Signer

SIZES = (1, 2, 255, 256, 257, 511, 512, 1_000, 2_000, 65_535, 65_536, 65_537, 65_793, 66_000)
LAST = SIZES[-1]
SIGNER = Signer.new("log.test/others")

pytestmark = pytest.mark.xdist_group("go")  # one process grows the log


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    """A log that was published at every one of the sizes."""
    log = Published.new(tmp_path_factory.mktemp("grown"), SIGNER).grow(SIZES)
    yield log
    log.store.close()


@pytest.fixture
def copy(grown: Published, tmp_path: Path) -> Path:
    """A copy of its files, to be harmed."""
    return Path(shutil.copytree(grown.log, tmp_path / "copy"))


@pytest.fixture
def another(tmp_path: Path) -> Iterator[Callable[[Signer], Published]]:
    """Begin the log of another registry."""
    begun: list[Published] = []

    def begin(signer: Signer) -> Published:
        begun.append(Published.new(tmp_path / f"another-{len(begun)}", signer))
        return begun[-1]

    yield begin
    for one in begun:
        one.store.close()


def edges(size: int) -> list[int]:
    """The leaves where trees are sewn together, and some between."""
    wanted = {0, 1, 254, 255, 256, 257, 65_535, 65_536, size // 2, size - 2, size - 1}
    return sorted(index for index in wanted if 0 <= index < size)


@pytest.mark.parametrize("size", SIZES)
def test_go_verifies_the_whole_log_at_every_size_it_ever_had(
    grown: Published, go: GoCheck, size: int
) -> None:
    older = [path for smaller, path in grown.checkpoints.items() if smaller <= size]
    seen = go(grown.key, grown.log, checkpoint=grown.checkpoints[size], old=older, prove=edges(size))
    assert (seen["size"], seen["leaves"], seen["proved"]) == (size, size, len(edges(size)))
    assert seen["consistent"] == [one for one in SIZES if one <= size]


def test_go_verifies_a_log_without_events(another: Callable[[Signer], Published], go: GoCheck) -> None:
    log = another(SIGNER).grow((0, 3))
    assert go(log.key, log.log, checkpoint=log.checkpoints[0])["leaves"] == 0
    assert go(log.key, log.log, old=[log.checkpoints[0]])["consistent"] == [0]


def test_go_verifies_what_the_service_serves(tmp_path: Path, go: GoCheck, served: Callable[..., Any]) -> None:
    log = Published.new(tmp_path, SIGNER).grow((257, 3_000))
    server = served(data=tmp_path)
    seen = go(log.key, server.url, old=log.ever_signed, prove=edges(3_000))
    assert (seen["leaves"], seen["consistent"]) == (3_000, [257, 3_000])
    log.store.close()


class TestRefusing:
    """What is refused here is, but for one thing, the log that is accepted above."""

    @pytest.mark.parametrize("at", [0.0, 0.5, 1.0])
    @pytest.mark.parametrize(
        "name",
        [
            *("tile/0/000", "tile/0/100", "tile/0/256", "tile/0/257.p/208"),
            *("tile/1/000", "tile/1/001.p/1", "tile/2/000.p/1"),
            *("tile/entries/000", "tile/entries/100", "tile/entries/257.p/208"),
        ],
    )
    def test_one_bit_of_a_file(self, grown: Published, go: GoCheck, copy: Path, name: str, at: float) -> None:
        data = bytearray((copy / name).read_bytes())
        data[int(at * (len(data) - 1))] ^= 1
        (copy / name).write_bytes(data)
        told = (
            f"{name}: is not what" if "entries" not in name else "leaves make the root|cut off|leaves instead"
        )
        with pytest.raises(RefusedError, match=told):
            go(grown.key, copy)

    @pytest.mark.parametrize("name", ["tile/0/003", "tile/1/000", "tile/entries/000"])
    @pytest.mark.parametrize("harm", ["missing", "cut", "longer"])
    def test_a_file_that_is_missing_or_of_another_length(
        self, grown: Published, go: GoCheck, copy: Path, name: str, harm: str
    ) -> None:
        data = (copy / name).read_bytes()
        (copy / name).unlink()
        if harm != "missing":
            (copy / name).write_bytes(data[:-1] if harm == "cut" else data + data[-34:])
        with pytest.raises(RefusedError, match=name):
            go(grown.key, copy)

    @pytest.mark.parametrize("line", [0, 1, 2, 4], ids=["origin", "size", "root", "signature"])
    def test_one_letter_of_the_checkpoint(self, grown: Published, go: GoCheck, copy: Path, line: int) -> None:
        lines = (copy / "checkpoint").read_text().split("\n")
        place = len(lines[line]) - 10 if line == 4 else 2
        letter = "1" if lines[line][place] != "1" else "2"
        lines[line] = lines[line][:place] + letter + lines[line][place + 1 :]
        (copy / "checkpoint").write_text("\n".join(lines))
        with pytest.raises(RefusedError, match="checkpoint: invalid signature"):
            go(grown.key, copy)

    def test_another_key_of_the_same_name(self, go: GoCheck, copy: Path) -> None:
        with pytest.raises(RefusedError, match="checkpoint: note has no verifiable signatures"):
            go(Signer.new(SIGNER.name).verifier.text, copy)

    def test_a_log_that_shrank(self, grown: Published, go: GoCheck, copy: Path) -> None:
        shutil.copy(grown.checkpoints[257], copy / "checkpoint")
        assert go(grown.key, copy, old=[grown.checkpoints[256]])["size"] == 257
        with pytest.raises(RefusedError, match=f"it had {LAST} leaves, and there are 257"):
            go(grown.key, copy, old=[grown.checkpoints[LAST]])

    @pytest.mark.parametrize("size", [257, 400])
    def test_another_log_under_the_same_key(
        self, grown: Published, go: GoCheck, another: Callable[[Signer], Published], size: int
    ) -> None:
        fork = another(SIGNER).grow((size,))
        assert go(grown.key, fork.log)["leaves"] == size
        with pytest.raises(RefusedError, match="consistency"):
            go(grown.key, fork.log, old=[grown.checkpoints[257]])
