"""A receipt with everything in it, a declaration with everything in it, and text that means harm."""

import re
from dataclasses import replace

from hypothesis import strategies as st

from registry.documents import Artist, Conveyed, Declared, Told, Upstream
from registry.model_receipt import Signed, open_receipt
from registry.receipt import Asked, Content, Counts, Receipt, sign_receipt
from tests.runs import MAKER, RUN, configured

RECEIPT = configured(
    replace(
        RUN,
        input=Content(digest={"dirHash": "1" * 64}, files=19, bytes=1000),
        output=Content(digest={"dirHash": "2" * 64}, files=12, bytes=512),
        counts=Counts(
            samples=1_012, kept=1_005, removed=5, review=4, errors=2, unknown=900, own=7, granted=6,
            below_evidence=8,
            removed_by={"pdq": 3, "iptc": 1, "another": 1}, status={"ok": 5, "malformed": 2},
            preference={"reserved": 5, "none": 2},
        ),
        registries=(
            Asked(
                url="https://registry.example", origin=None, as_of_seq=48_112, asked="full", checkpoint=None
            ),
            Asked(url=None, origin="log.example", as_of_seq=None, asked="snapshot", checkpoint=None),
        ),
        started="2026-11-22T05:00:00Z",
        finished="2026-11-22T05:00:09Z",
    ),
    licences=("https://licence.example/1",),
    min_evidence=2,
    own_works="5" * 64,
    own_works_count=3,
    grants=("6" * 64,),
)  # fmt: skip
DECLARED = Declared(
    title="Cosy chairs",
    kind="model",
    author="Ada Ng",
    contact="ada@example.org",
    licence="CC-BY-4.0",
    url="https://huggingface.co/datasets/ada/cosy-clean",
    published="2026-11-23",
    base_model=Upstream(
        name="SDXL", url="https://huggingface.co/stabilityai/sdxl-base-1.0", licence="openrail++"
    ),
    upstream=(
        Upstream(name="Chairs", url="https://huggingface.co/datasets/ada/chairs", licence="CC0-1.0"),
        Upstream(name="A friend's photos", licence="by word of mouth"),
    ),
    artists=(
        Artist(name="Eve"),
        Artist(
            name="Zoë", says="allowed", use="genai-train", terms="https://zoe.example/t", contact="@zoe",
            record="z" * 26, grant="6" * 64,
        ),
        Artist(name="Bob", says="conditional", use="train", terms="name me"),
    ),
    conveyed=(
        Conveyed(
            of="studio.example",
            use="ai-input",
            preference="reserved",
            terms="ask first",
            carrier="https://studio.example/.well-known/tdmrep.json",
        ),
    ),
    purposes=("pictures of chairs", "pictures of stools"),
    limits=("few sofas",),
)  # fmt: skip


def _signed(receipt: Receipt) -> Signed:
    return open_receipt(sign_receipt(receipt, MAKER).to_json(), [])


_PLAIN = _signed(RECEIPT)


def told_of(declared: Declared = Declared(), receipt: Receipt = RECEIPT, **changes: object) -> Told:  # noqa: B008 - frozen
    """What documents are made of, signed and read back; ``changes`` are those of the configuration."""
    receipt = configured(receipt, **changes) if changes else receipt
    return Told(_PLAIN if receipt is RECEIPT else _signed(receipt), declared)


_HARM = (
    *("---", "...", "```", "~~~", "# no", "<b>", "</li>", "<script>alert(1)</script>", "<!--", "-->", "&lt;"),
    *("|", "\\", "\\|", "**", "*", "_", "`", "](", "![x](https://x.example/y)", "<https://x.example>", "$$"),
    *(
        "https://x.example/a_b*c",
        "http://x.example/|",
        "www.x.example",
        "@ada",
        "#12",
        ":smile:",
        "a@x.example",
    ),
    *("[x]: y", "!!python/object", "&a", "*a", "%TAG", "? ", "- ", ": ", " #", "null", "yes", "1e3", "0x1"),
    *("measured", "· *measured*", "declared: Refusals: none", "\u200d", "ü", "山田\u3000太郎", "𝒜", "'", '"'),
    *("{{x}}", "${x}", "@id", "LicenseRef-x", "urn:x", "\u00a0", "=", "+", "1. ", "> ", "<bdi>", "\u202f"),
)
_SEEN = st.characters(exclude_categories=["Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"])
_PIECES = st.lists(st.one_of(st.sampled_from(_HARM), _SEEN), max_size=6)


def _one_line(pieces: list[str]) -> str:
    return re.sub("  +", " ", "".join(pieces)).strip() or "x"


TEXT = _PIECES.map(_one_line)
"""One line as a maker may declare it, and as far from what they would write as can be."""
MAYBE = st.one_of(st.just(""), TEXT)
UPSTREAM = st.builds(Upstream, name=TEXT, url=st.sampled_from(["", DECLARED.url]), licence=MAYBE)
HOSTILE = st.builds(
    Declared,
    title=MAYBE,
    kind=st.sampled_from(["", "dataset", "model"]),
    author=MAYBE,
    contact=MAYBE,
    licence=MAYBE,
    base_model=st.one_of(st.none(), UPSTREAM),
    upstream=st.lists(UPSTREAM, max_size=2).map(tuple),
    artists=st.lists(
        st.builds(
            Artist, name=TEXT, says=st.sampled_from(["credited", "allowed"]), terms=MAYBE, contact=MAYBE
        ),
        max_size=2,
    ).map(tuple),
    conveyed=st.lists(
        st.builds(Conveyed, of=TEXT, use=st.just("train"), preference=st.just("reserved"), terms=MAYBE),
        max_size=1,
    ).map(tuple),
    purposes=st.lists(TEXT, max_size=2).map(tuple),
    limits=st.lists(TEXT, max_size=2, unique=True).map(tuple),
)
ANY_TEXT = st.text(
    st.characters(
        exclude_categories=["Cs"],
        exclude_characters=[
            chr(n)
            for n in (
                *range(10),
                *range(11, 32),
                *range(127, 160),
                *range(0x2028, 0x202F),
                *range(0x2066, 0x206A),
            )
        ],
    ),
    max_size=30,
)
"""Text as a receipt may have it: ends of lines and all."""
