"""What pictures say themselves, in a filter run and in a check."""

import hashlib
import io
import json
import pickle
import sys

import pytest
from click.testing import CliRunner
from PIL import Image

from registry.cli.check import check
from registry.cli.filter import filter_
from registry.client import Options, Rules, filter_dataset
from registry.client.formats import Sample
from registry.client.pictures import MAX_SIDECAR_BYTES, hash_files
from registry.client.verdicts import Judges, judge
from registry.errors import InputError
from registry.preference import Action, Mode, Status, Use
from tests.core.signals import packets, signing

from .conftest import alike_to_all, said

TERMS = "https://ada.example/licence"


def packet(dmi="", *others):
    mining = f"<plus:DataMining>{packets.VOCABULARY}DMI-{dmi}</plus:DataMining>" if dmi else ""
    return packets.packet(mining + "".join(others)).encode()


ON_TERMS = packet("PROHIBITED-SEECONSTRAINT", f"<plus:OtherConstraints>{TERMS}</plus:OtherConstraints>")
BROKEN = packet("PROHIBITED").replace(b"</rdf:RDF>", b"")
BROKEN_BESIDE = packets.packet("<rdf:Bag").encode()


def with_xmp(data, kind, xmp):
    with Image.open(io.BytesIO(data)) as image:
        return packets.saved(image, kind, xmp)


@pytest.fixture
def judged(fake, client_of, kit, tmp_path):
    """Plant files, judge the pictures among them against a registry that knows nothing."""

    def run(files, mode=Mode.EU_ART4, scripts=(), **options):
        kit.plant(tmp_path, files)
        client = client_of(fake(*scripts).url)
        paths = sorted(path for path in tmp_path.rglob("*") if not path.suffix.lower().endswith("xmp"))
        rules = Rules(Use.GENAI_TRAIN, mode, "lab", "study", **options)
        hashed = hash_files(paths)
        return list(judge([Sample(path.name, path) for path in paths], hashed, Judges([client], rules)))

    return run


@pytest.mark.parametrize(
    ("kind", "name"), [("JPEG", "a.jpg"), ("PNG", "a.png"), ("WEBP", "a.webp"), ("TIFF", "a.tif")]
)
def test_a_picture_that_reserves_itself_goes_whatever_its_format(judged, kit, kind, name):
    data = with_xmp(kit.free(1), kind, packet("PROHIBITED-GENAIMLTRAINING"))
    [verdict] = judged({name: data})
    assert (verdict.action, verdict.status, verdict.cause) == (Action.REMOVE, Status.OK, "iptc")
    assert verdict.reason == (
        "Reserved for genai-train: the picture’s own metadata says so "
        "(IPTC Data Mining, DMI-PROHIBITED-GENAIMLTRAINING)."
    )


@pytest.mark.parametrize(
    ("xmp", "mode", "preference", "action"),
    [
        (packet("PROHIBITED"), "eu-art4", "reserved", "remove"),
        (packet("PROHIBITED"), "strict", "reserved", "remove"),
        (packet("PROHIBITED"), "research-art3", "reserved", "keep"),
        (packet("PROHIBITED-AIMLTRAINING"), "eu-art4", "reserved", "remove"),
        (packet("PROHIBITED-EXCEPTSEARCHENGINEINDEXING"), "eu-art4", "reserved", "remove"),
        (ON_TERMS, "eu-art4", "conditional", "remove"),
        (packet("ALLOWED"), "eu-art4", "unknown", "keep"),
        (packet("ALLOWED"), "strict", "unknown", "remove"),
        (packet("UNSPECIFIED"), "eu-art4", "unknown", "keep"),
        (packet("PROHIBITED-FROM-NOW-ON"), "eu-art4", "reserved", "remove"),
        (packet(), "eu-art4", "unknown", "keep"),
    ],
    ids=lambda value: (
        (value.decode().partition("DMI-")[2].partition("<")[0] or "nothing")
        if isinstance(value, bytes)
        else value
    ),
)
def test_what_the_metadata_says_leads_to_the_action(judged, kit, xmp, mode, preference, action):
    [verdict] = judged({"a.jpg": with_xmp(kit.free(1), "JPEG", xmp)}, Mode(mode))
    assert (verdict.decision.preference, verdict.action) == (preference, action)


def test_an_unsigned_permission_is_told_and_permits_nothing(judged, kit):
    [verdict] = judged({"a.jpg": with_xmp(kit.free(1), "JPEG", packet("ALLOWED"))})
    assert verdict.decision.preference == "unknown"
    assert "no valid signature stands behind that" in verdict.reason
    [signal] = verdict.to_wire()["signals"]
    assert signal["signal"]["said"] == "DMI-ALLOWED"
    assert verdict.to_wire()["statements"] == []


@pytest.mark.parametrize("name", ["a.xmp", "a.jpg.xmp", "a.XMP", "a.jpg.XMP"])
def test_a_sidecar_speaks_for_its_picture(judged, kit, name):
    mine, others = judged({"a.jpg": kit.free(1), "b.jpg": kit.free(2), name: packet("PROHIBITED")})
    assert mine.action is Action.REMOVE
    assert "the .xmp file beside the picture says so" in mine.reason
    assert others.action is Action.KEEP


def test_the_file_and_both_sidecars_are_heard(judged, kit):
    [verdict] = judged(
        {
            "a.jpg": with_xmp(kit.free(1), "JPEG", packet("ALLOWED")),
            "a.xmp": packet("PROHIBITED-AIMLTRAINING"),
            "a.jpg.xmp": ON_TERMS,
        }
    )
    said = [one["signal"]["said"] for one in verdict.to_wire()["signals"]]
    assert said == ["DMI-ALLOWED", "DMI-PROHIBITED-AIMLTRAINING", "DMI-PROHIBITED-SEECONSTRAINT"]
    assert verdict.decision.preference == "reserved"


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"a.jpg": BROKEN}, "the picture’s own metadata cannot be read"),
        ({"a.xmp": BROKEN_BESIDE}, "the .xmp file beside the picture cannot be read"),
        (
            {"a.xmp": b""},
            "the .xmp file beside the picture cannot be read: a.xmp: it is empty",
        ),
        ({"a.xmp": b" " * (MAX_SIDECAR_BYTES + 1)}, "larger than 16 MiB"),
        ({"a.xmp/b.xmp": b""}, "it is no file"),
    ],
    ids=["in the file", "beside it", "empty", "too large", "a folder"],
)
@pytest.mark.parametrize("mode", list(Mode))
def test_a_signal_that_cannot_be_read_sets_its_picture_aside_in_every_mode(judged, kit, files, words, mode):
    picture = kit.free(1)
    files = {name: with_xmp(picture, "JPEG", one) if name == "a.jpg" else one for name, one in files.items()}
    [verdict] = judged({"a.jpg": picture, **files}, mode)
    assert (verdict.action, verdict.decision) == (Action.ERROR, None)
    assert verdict.status in (Status.ERROR, Status.MALFORMED)
    assert words in verdict.reason
    assert verdict.to_wire()["faults"][0]["message"] in verdict.reason


def test_what_can_be_read_removes_also_beside_what_cannot(judged, kit):
    files = {"a.jpg": with_xmp(kit.free(1), "JPEG", packet("PROHIBITED")), "a.xmp": BROKEN_BESIDE}
    [verdict] = judged(files)
    assert (verdict.action, verdict.status, verdict.cause) == (Action.REMOVE, Status.OK, "iptc")
    assert verdict.reason.startswith("Reserved for genai-train: the picture’s own metadata says so")
    assert "Besides, the " in verdict.reason
    assert verdict.reason.endswith(".")
    [strict] = judged(files, Mode.STRICT)
    [research] = judged(files, Mode.RESEARCH_ART3)
    assert (strict.action, research.action) == (Action.REMOVE, Action.ERROR)


def test_in_strict_mode_silence_and_a_fault_are_an_error_and_not_a_removal(judged, kit):
    [verdict] = judged({"a.jpg": kit.free(1), "a.xmp": BROKEN_BESIDE}, Mode.STRICT)
    assert (verdict.action, verdict.decision) == (Action.ERROR, None)


def test_what_was_read_comes_back_from_a_process_as_it_was(kit, tmp_path):
    said = with_xmp(kit.free(1), "JPEG", packet("PROHIBITED"))
    kit.plant(tmp_path, {"a.jpg": said, "a.xmp": BROKEN_BESIDE})
    [hashed] = hash_files([tmp_path / "a.jpg"])
    [statement], [fault] = hashed.reading.statements, hashed.reading.faults
    assert statement.signal.raw_sha256 == hashlib.sha256(packet("PROHIBITED")).hexdigest()
    assert fault.carrier == "xmp sidecar"
    assert pickle.loads(pickle.dumps(hashed)) == hashed  # noqa: S301 - as the pool of processes does


def test_what_is_lodged_is_not_asked_what_it_says(kit, tmp_path):
    kit.plant(tmp_path, {"a.jpg": with_xmp(kit.free(1), "JPEG", packet("PROHIBITED"))})
    [hashed] = hash_files([tmp_path / "a.jpg"], registered=True)
    assert hashed.fingerprint is not None
    assert hashed.reading.statements == ()


def test_one_that_cannot_be_decoded_is_an_error_and_tells_what_it_said(judged, kit):
    data = with_xmp(kit.free(1), "JPEG", packet("PROHIBITED"))
    [verdict] = judged({"a.jpg": data[:-2000]})
    assert verdict.action is Action.ERROR
    assert verdict.to_wire()["signals"][0]["signal"]["said"] == "DMI-PROHIBITED"


VERIFIED = {"evidence_level": 4, "state": "verified", "match": {"kind": "sha256", "certain": True}}
ALLOWING = alike_to_all("allowed", "", said(preferences={"genai-train": "allowed"}, **VERIFIED))


def test_a_permission_of_the_registry_does_not_lift_what_the_picture_says(judged, kit):
    first, second = judged(
        {"a.jpg": kit.free(1), "b.jpg": with_xmp(kit.free(2), "JPEG", packet("PROHIBITED"))},
        scripts=[ALLOWING],
    )
    assert (first.decision.preference, second.decision.preference) == ("allowed", "reserved")
    assert (first.action, second.action) == (Action.KEEP, Action.REMOVE)


def conditional(count):
    one = said(preferences={"genai-train": "conditional"}, terms=TERMS, **VERIFIED)
    return alike_to_all("conditional", "", *[one] * count)


@pytest.mark.parametrize(
    ("met", "count", "preference", "action"),
    [
        ((), 1, "conditional", "remove"),
        ((TERMS,), 1, "allowed", "keep"),
        (("https://ben.example/licence",), 1, "conditional", "remove"),
        ((TERMS,), 7, "allowed", "keep"),
        ((TERMS,), 8, "conditional", "remove"),
    ],
    ids=["no licence", "the licence", "another licence", "seven records", "a list that may have been cut"],
)
def test_a_licence_meets_its_condition(judged, kit, met, count, preference, action):
    [verdict] = judged({"a.jpg": kit.free(1)}, scripts=[conditional(count)], met=frozenset(met))
    assert (verdict.decision.preference, verdict.action) == (preference, action)
    assert TERMS in verdict.reason


def test_a_licence_that_an_unsigned_file_names_restricts_no_more_and_permits_nothing(judged, kit):
    data = {"a.jpg": with_xmp(kit.free(1), "JPEG", ON_TERMS)}
    [kept] = judged(data, met=frozenset({TERMS}))
    [removed] = judged(data, Mode.STRICT, met=frozenset({TERMS}))
    assert (kept.decision.preference, kept.action) == ("unknown", Action.KEEP)
    assert (removed.decision.preference, removed.action) == ("unknown", Action.REMOVE)
    assert f"a condition is met, {TERMS}" in kept.reason


def test_a_licence_has_a_name():
    with pytest.raises(InputError, match="a licence without a name"):
        Rules(met=frozenset({""}))


# Manifests.


def with_manifest(data, word):
    return signing.signed(data, signing.assertion({"cawg.ai_generative_training": {"use": word}}))


@pytest.mark.parametrize(
    ("word", "preference", "action"),
    [
        ("allowed", "allowed", Action.KEEP),
        ("notAllowed", "reserved", Action.REMOVE),
        ("constrained", "conditional", Action.REMOVE),
    ],
)
def test_a_signed_manifest_is_heard(judged, kit, word, preference, action):
    jpeg = with_xmp(kit.free(1), "JPEG", packet())
    [verdict] = judged({"a.jpg": with_manifest(jpeg, word)}, Mode.STRICT)
    assert (verdict.decision.preference, verdict.action, verdict.cause) == (preference, action, "c2pa")
    assert "the picture’s own manifest says so" in verdict.reason


@pytest.mark.parametrize(("word", "preference"), [("allowed", "unknown"), ("notAllowed", "reserved")])
def test_a_picture_that_was_changed_after_it_was_signed_restricts_and_permits_nothing(
    judged, kit, word, preference
):
    signed = bytearray(with_manifest(with_xmp(kit.free(1), "JPEG", packet()), word))
    signed[-20] ^= 1
    [verdict] = judged({"a.jpg": bytes(signed)})
    assert verdict.decision.preference == preference


def test_a_manifest_without_the_library_for_it_sets_its_picture_aside(judged, kit, monkeypatch):
    signed = with_manifest(with_xmp(kit.free(1), "JPEG", packet()), "notAllowed")
    monkeypatch.setitem(sys.modules, "c2pa", None)
    other, mine = judged({"b.jpg": signed, "a.jpg": kit.free(2)})
    assert other.action is Action.KEEP
    assert (mine.action, mine.status) == (Action.ERROR, Status.ERROR)
    assert "pip install 'caveat-registry[c2pa]'" in mine.reason


# A whole run.


@pytest.fixture(scope="module")
def planted(kit, tmp_path_factory):
    root = tmp_path_factory.mktemp("signals") / "set"
    hostile = packet("", "<plus:DataMining>DMI-PROHIBITED-&lt;b&gt;&#9;x</plus:DataMining>")
    return kit.plant(
        root,
        {
            "free.png": kit.free(1),
            "free.txt": "kept",
            "iptc.jpg": with_xmp(kit.free(2), "JPEG", packet("PROHIBITED")),
            "iptc.txt": "goes",
            "beside.png": kit.free(3),
            "beside.xmp": packet("PROHIBITED-AIMLTRAINING"),
            "terms.webp": with_xmp(kit.free(4), "WEBP", ON_TERMS),
            "broken.png": kit.free(5),
            "broken.xmp": BROKEN_BESIDE,
            "hostile.jpg": with_xmp(kit.free(6), "JPEG", hostile),
        },
    )


def test_a_run_leaves_out_what_says_so_and_accounts_for_it(fake, client_of, kit, planted, tmp_path):
    summary = filter_dataset(planted, tmp_path / "out", [client_of(fake().url)], options=Options(workers=1))
    assert set(kit.tree(tmp_path / "out")) == {"free.png", "free.txt"}
    wire = summary.to_wire()
    assert wire["removed_by"] == {"iptc": 4}
    assert (wire["removed"], wire["errors"], wire["kept"], wire["licences"]) == (4, 1, 1, [])
    lines = {
        line["path"]: line
        for line in map(json.loads, (summary.account / "decisions.jsonl").read_text("utf-8").splitlines())
    }
    iptc = lines["iptc.jpg"]
    assert iptc["match"] == {"kind": "iptc", "certain": True}
    assert iptc["statements"][0]["signal"] == {
        "protocol": "iptc",
        "version": "2025.1",
        "carrier": "xmp",
        "speaker": "embedded",
        "quality": "exact",
        "said": "DMI-PROHIBITED",
        "raw_sha256": hashlib.sha256(packet("PROHIBITED")).hexdigest(),
    }
    assert iptc["signals"][0]["signal"] == iptc["statements"][0]["signal"]
    assert lines["beside.png"]["statements"][0]["signal"]["carrier"] == "xmp sidecar"
    assert lines["terms.webp"]["statements"][0]["terms"] == TERMS
    assert lines["broken.png"]["status"] == "malformed"
    assert lines["broken.png"]["faults"][0]["protocol"] == "xmp"
    assert not lines["free.png"].keys() & {"signals", "faults"}


def test_the_report_says_which_carrier_and_counts_by_protocol(fake, client_of, planted, tmp_path):
    summary = filter_dataset(planted, tmp_path / "out", [client_of(fake().url)], options=Options(workers=1))
    page = (summary.account / "report.html").read_text("utf-8")
    assert "<dt>Removed by</dt><dd>IPTC Data Mining: 4</dd>" in page
    assert "<dd>the picture’s own metadata</dd>" in page
    assert "<dd>the .xmp file beside the picture</dd>" in page
    assert "<dt>Protocol</dt><dd>IPTC Data Mining 2025.1</dd>" in page
    assert "DMI-PROHIBITED-&lt;b&gt;" in page
    assert "<b>&#9;" not in page
    assert "prohibited-<b>" not in page.lower()


def test_the_command_line_reads_signals_and_takes_licences(fake, planted, tmp_path):
    url, run = fake().url, CliRunner().invoke
    done = run(filter_, [str(planted), str(tmp_path / "out"), "--registry", url, "--workers", "1"])
    assert done.exit_code == 2
    assert "IPTC Data Mining" in done.stdout
    assert "removed by  iptc 4" in done.stdout
    options = ["--licence", TERMS, "--dry-run", "--output", "json", "--workers", "1", "--registry", url]
    told = json.loads(run(filter_, [str(planted), str(tmp_path / "out2"), *options]).stdout)
    assert told["licences"] == [TERMS]
    assert (told["removed_by"], told["kept"]) == ({"iptc": 3}, 2)


def test_a_check_reads_signals_too(fake, planted):
    pictures = [str(planted / name) for name in ("iptc.jpg", "free.png")]
    options = ["--registry", fake().url, "--workers", "1", "--output", "json"]
    checked = CliRunner().invoke(check, [*pictures, *options])
    assert checked.exit_code == 1
    assert [one["preference"] for one in json.loads(checked.stdout)] == ["reserved", "unknown"]
