"""How a record was found, as Hypothesis draws it."""

from hypothesis import strategies as st

from registry.statement import Match

RECORD_MATCHES = st.one_of(
    st.builds(Match, st.sampled_from(["url", "prefix", "host", "domain", "sha256"])),
    st.builds(
        Match,
        st.sampled_from(["pdq", "phash"]),
        st.booleans(),
        st.integers(0, 64),
        st.sampled_from(["full", "trim"]),
        st.sampled_from(["full", "mirror"]),
    ),
)
