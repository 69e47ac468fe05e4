"""Text normalisation. Raise NORMALISATION_VERSION if a result changes: keys of cached features contain it."""

from __future__ import annotations

from mer.errors import MerError

NORMALISATION_VERSION = 1
HAN_AND_KANA = "\u3040-\u30ff\u3400-\u9fff"  # in a pattern: characters between whose words nobody writes spaces


def _cp1252_of_c1() -> dict[int, str]:
    """Map U+0080-U+009F to the characters they were before cp1252 bytes were decoded as Latin-1."""
    table = {}
    for code in range(0x80, 0xA0):
        try:
            table[code] = bytes([code]).decode("cp1252")
        except UnicodeDecodeError:  # five codes have no character in cp1252
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


def refuse_halves(text: str, where: object) -> None:
    """Refuse half of a character (a lone surrogate), as Python makes of bytes that are no UTF-8. Raises: MerError."""
    if any(0xD800 <= ord(character) <= 0xDFFF for character in text):
        raise MerError(where, "holds half of a character (a lone surrogate): it is no text", allowed="UTF-8 text")


def repair_c1(text: str) -> str:
    """Undo cp1252 bytes decoded as Latin-1 (U+0092 was an apostrophe); other characters stay."""
    return text.translate(_C1)


def normalise(text: str) -> str:
    """Make quotes, dashes and ellipses ASCII, repair C1 characters, collapse white space; accents stay. Idempotent."""
    return " ".join(text.translate(REPLACED).split())
