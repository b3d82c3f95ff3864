"""Words of others where people read them, on a terminal or within a sentence."""

__all__ = ["one_line"]


def one_line(text: str) -> str:
    """Return text as one line, without anything that a terminal obeys or that cannot be seen."""
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())
