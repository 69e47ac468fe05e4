"""Text as encoders see it. Raise NORMALISATION_VERSION when a result changes: cached features hash it."""

from __future__ import annotations

NORMALISATION_VERSION = 1


def _cp1252_of_c1() -> dict[int, str]:
    """What the control characters U+0080-U+009F were before somebody decoded cp1252 bytes as Latin-1."""
    table = {}
    for code in range(0x80, 0xA0):
        try:
            table[code] = bytes([code]).decode("cp1252")
        except UnicodeDecodeError:  # five codes mean nothing in cp1252 either
            table[code] = " "
    return table


_C1 = _cp1252_of_c1()

_ASCII = str.maketrans(
    {
        "‘": "'", "’": "'", "‚": "'", "‛": "'", "´": "'", "′": "'",
        "“": '"', "”": '"', "„": '"', "‟": '"', "″": '"',
        "‐": "-", "‑": "-", "‒": "-", "–": "-", "−": "-",
        "—": "--", "―": "--",
        "…": "...",
        "\u200b": None, "\u200c": None, "\u200d": None, "\u2060": None, "\ufeff": None, "\u00ad": None,  # no width
    }
)  # fmt: skip


# For str.translate: both of the above in one pass. The model card prints it for use without mer.
REPLACED: dict[int, str] = {code: ascii_text or "" for code, ascii_text in _ASCII.items()} | {
    code: meant.translate(_ASCII) for code, meant in _C1.items()
}


def repair_c1(text: str) -> str:
    """Undo cp1252 read as Latin-1 (U+0092 was an apostrophe), also in text that is right elsewhere."""
    return text.translate(_C1)


def normalise(text: str) -> str:
    """ASCII quotes, dashes and ellipses, C1 repaired, white space collapsed; accents stay. Idempotent."""
    return " ".join(text.translate(REPLACED).split())
