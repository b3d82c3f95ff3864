"""ExifTool writes and we read; we write and ExifTool reads.

All files of a test go through one process: it takes longest to start.
"""

import io
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from PIL import Image

from registry.signals.iptc import USES, VOCABULARY, DataMining, Embedded, read_embedded
from registry.signals.writing.xmp import XmpRights, write_packet, write_preferences
from registry.statement import Quality

PROGRAM = Path(sys.prefix) / "exiftool" / "node_modules" / "exiftool-vendored.pl" / "bin" / "exiftool"
KINDS = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP", "tif": "TIFF"}
WORDS = {
    DataMining.UNSPECIFIED: "Unspecified - no prohibition defined",
    DataMining.ALLOWED: "Allowed",
    DataMining.PROHIBITED_AI_TRAINING: "Prohibited for AI/ML training",
    DataMining.PROHIBITED_GENAI_TRAINING: "Prohibited for Generative AI/ML training",
    DataMining.PROHIBITED_EXCEPT_SEARCH: "Prohibited except for search engine indexing",
    DataMining.PROHIBITED: "Prohibited",
    DataMining.SEE_CONSTRAINT: "Prohibited, see plus:OtherConstraints",
    DataMining.SEE_EMBEDDED: "Prohibited, see iptcExt:EmbdEncRightsExpr",
    DataMining.SEE_LINKED: "Prohibited, see iptcExt:LinkedEncRightsExpr",
}
EXPRESSIONS = [
    "-XMP-iptcExt:EmbeddedEncodedRightsExpr=o:Policy",
    "-XMP-iptcExt:LinkedEncodedRightsExpr=https://example.org/odrl",
]
FORMS = {"element": [], "attribute": ["-api", "Compact=Shorthand"], "compact": ["-z"]}
FULL = XmpRights(
    DataMining.SEE_CONSTRAINT,
    constraints="Frag “Ada” & <mich>",
    web_statement="https://example.org/terms?a=1&b=2",
    reservation=True,
    policy="https://example.org/policy",
)


def exiftool(commands: Iterable[list[str]]) -> str:
    arguments = "\n-execute\n".join("\n".join(command) for command in commands)
    ran = subprocess.run(
        ["perl", str(PROGRAM), "-charset", "filename=utf8", "-@", "-"],
        input=arguments,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert ran.stderr.strip() == ""
    return ran.stdout


def told(folder: Path, *tags: str) -> dict[str, dict[str, object]]:
    """What ExifTool reads in each file of a folder, and what is wrong with it."""
    read = exiftool([["-q", "-j", "-a", "-validate", "-warning", *tags, str(folder)]])
    return {Path(one.pop("SourceFile")).name: one for one in json.loads(read)}


def picture(kind: str) -> bytes:
    """A picture without what ExifTool would miss: a TIFF says its resolution."""
    made = io.BytesIO()
    Image.radial_gradient("L").resize((40, 30)).convert("RGB").save(made, kind, dpi=(72, 72))
    return made.getvalue()


def said(embedded: Embedded) -> list[tuple[object, ...]]:
    assert embedded.reading.faults == ()
    return [(one.preferences, one.signal.said, one.signal.quality) for one in embedded.reading.statements]


def expected(code: DataMining) -> list[tuple[object, ...]]:
    return [(dict(USES[code]), str(code), Quality.EXACT)] if USES[code] else []


@pytest.mark.parametrize("form", FORMS)
def test_what_exiftool_writes_is_read(form, tmp_path):
    files = {(ending, code): tmp_path / f"{code}.{ending}" for ending in (*KINDS, "xmp") for code in WORDS}
    for (ending, _), path in files.items():
        if ending != "xmp":
            path.write_bytes(picture(KINDS[ending]))
    exiftool(
        ["-q", "-overwrite_original", *FORMS[form], f"-XMP-plus:DataMining={WORDS[code]}", str(path)]
        for (_, code), path in files.items()
    )
    for (ending, code), path in files.items():
        data = path.read_bytes()
        embedded = read_embedded(b"", data) if ending == "xmp" else read_embedded(data)
        assert said(embedded) == expected(code), path.name
        raw = embedded.raw
        assert (b"<plus:DataMining>" in raw) == (form == "element")
        assert (VOCABULARY + code).encode() in raw


def test_what_we_write_is_read_by_exiftool(tmp_path):
    for ending, kind in KINDS.items():
        for code in WORDS:
            (tmp_path / f"{code}.{ending}").write_bytes(picture(kind))
    exiftool([["-q", "-overwrite_original", *EXPRESSIONS, "-XMP-dc:Title=kept", str(tmp_path)]])
    for path in sorted(tmp_path.iterdir()):
        values = XmpRights(DataMining(path.stem), constraints="Ask")
        path.write_bytes(write_preferences(path.read_bytes(), values))
    found = told(tmp_path, "-XMP-plus:all", "-XMP-dc:all", "-XMP-iptcExt:all")
    assert len(found) == len(KINDS) * len(WORDS)
    for name, one in found.items():
        assert one["DataMining"] == WORDS[DataMining(Path(name).stem)]
        assert (one["Title"], one["OtherConstraints"]) == ("kept", "Ask")
        assert one["LinkedEncodedRightsExpr"] == "https://example.org/odrl"
        assert one["Validate"] == "OK", one


def test_a_packet_that_we_make_is_read_by_exiftool(tmp_path):
    for ending, kind in KINDS.items():
        (tmp_path / f"a.{ending}").write_bytes(write_preferences(picture(kind), FULL))
    (tmp_path / "a.xmp").write_bytes(write_packet(b"", FULL))
    found = told(tmp_path, "-XMP:all")
    assert len(found) == len(KINDS) + 1
    for name, one in found.items():
        assert one["DataMining"] == WORDS[FULL.data_mining], name
        assert one["OtherConstraints"] == FULL.constraints
        assert one["WebStatement"] == FULL.web_statement
        assert one["Validate"] == "OK", one


def test_exiftool_finds_the_same_pixels_and_metadata_before_and_after(tmp_path):
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    after.mkdir()
    for ending, kind in KINDS.items():
        (before / f"a.{ending}").write_bytes(picture(kind))
    exiftool([["-q", "-overwrite_original", "-Artist=Ada", "-XMP:Subject=a", "-XMP:Subject=b", str(before)]])
    for path in before.iterdir():
        (after / path.name).write_bytes(write_preferences(path.read_bytes(), FULL))
    tags = ["-api", "ImageHashType=SHA256", "-ImageDataHash", "-EXIF:Artist", "-XMP-dc:all", "-ImageSize"]
    first, second = told(before, *tags), told(after, *tags)
    assert first == second
    assert all(one.get("ImageDataHash") or name.endswith("webp") for name, one in first.items())


def test_extended_xmp_of_exiftool_is_read_and_kept(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(picture("JPEG"))
    text = tmp_path / "long.txt"
    text.write_text("long " * 30_000)
    exiftool(
        [
            ["-q", "-overwrite_original", f"-XMP-dc:Description<={text}", str(path)],
            ["-q", "-overwrite_original", f"-XMP-plus:DataMining={WORDS[DataMining.ALLOWED]}", str(path)],
        ]
    )
    data = path.read_bytes()
    assert data.count(b"http://ns.adobe.com/xmp/extension/") > 1
    assert said(read_embedded(data)) == expected(DataMining.ALLOWED)
    assert len(read_embedded(data).raw) > 150_000
    path.write_bytes(write_preferences(data, XmpRights(DataMining.PROHIBITED)))
    text.unlink()
    (found,) = told(tmp_path, "-XMP:all").values()
    assert found["DataMining"] == "Prohibited"
    assert len(found["Description"]) >= 149_999
    assert found["Validate"] == "OK", found


def test_what_exiftool_copies_from_a_sidecar_of_ours_is_read(tmp_path):
    source = tmp_path / "a.xmp"
    source.write_bytes(write_packet(b"", FULL))
    targets = [tmp_path / f"a.{ending}" for ending in ("gif", "jpg", "png", "webp", "tif")]
    for path, kind in zip(targets, ("GIF", "JPEG", "PNG", "WEBP", "TIFF"), strict=True):
        path.write_bytes(picture(kind))
    copy = ["-q", "-overwrite_original", "-tagsFromFile", str(source), "-XMP:all", "-unsafe"]
    exiftool([*([*copy, str(path)] for path in targets)])
    for path in targets:
        embedded = read_embedded(path.read_bytes())
        assert said(embedded) == expected(DataMining.SEE_CONSTRAINT), path.name
        assert [one.terms for one in embedded.reading.statements] == [FULL.constraints]
