"""Bytes to text. A spreadsheet does not say in which encoding it writes, so it is found out, or asked for."""

from __future__ import annotations

import codecs
import itertools

from mer.errors import MerError

_MARKS = (  # the longer marks first: that of UTF-32 begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_NAMES = {"utf-8-sig": "UTF-8", "utf-8": "UTF-8", "utf-16-le": "UTF-16", "utf-16-be": "UTF-16"}
ALLOWED = "UTF-8 text; also UTF-16 and cp1252, or any encoding that data.encoding names (gb18030, cp1251, shift_jis)"


def decode(content: bytes, where: str, *, encoding: str | None = None, then: str = "") -> tuple[str, str]:
    """Decode the content of a file.

    Args:
        where: the file, for messages.
        encoding: the encoding that the user names; None finds it out.
        then: what the user should do if it cannot be read.
    Returns: the text, and the encoding's name for people.
    Raises: MerError naming the line of the first byte that does not fit.
    """
    marked = next((name for mark, name in _MARKS if content.startswith(mark)), None)
    found = marked or encoding or _unmarked(content)
    try:
        return content.decode(found), _NAMES.get(found, found.upper() if found.startswith("utf") else found)
    except LookupError:
        raise MerError(
            "data.encoding", f"{found!r} is no encoding that Python knows", allowed="e.g. utf-8, gb18030, cp1252"
        ) from None
    except UnicodeDecodeError as fault:
        if found == "utf-8" and _is_western(content):
            return content.decode("cp1252"), "cp1252"
        # offsets in the fault do not count a byte order mark; it has no line end, so the line is right anyway
        line = content.count(b"\n", 0, fault.start) + 1
        byte, name = fault.object[fault.start], _NAMES.get(found, found)
        raise MerError(f"{where}:{line}", f"byte 0x{byte:02x} is not {name}", allowed=ALLOWED, then=then) from fault


def _unmarked(content: bytes) -> str:
    """Tell UTF-16 without a mark by its zero bytes: of Latin letters and commas, every other byte is one."""
    head = content[:4096]
    if head.count(0) * 4 > len(head):
        return "utf-16-le" if head[1::2].count(0) > head[0::2].count(0) else "utf-16-be"
    return "utf-8"


def _is_western(content: bytes) -> bool:
    """Tell whether text that is not UTF-8 is cp1252: its accents stand alone between ASCII letters.

    In other encodings (Chinese, Cyrillic) bytes above 0x7f stand side by side; a file that is UTF-8 but for a few
    bytes has whole UTF-8 sequences. Both are left to the user: a wrong guess would change texts and labels.
    """
    high = [place for place, byte in enumerate(content) if byte > 0x7F]
    beside = sum(after - before == 1 for before, after in itertools.pairwise(high))
    if beside * 4 > len(high):
        return False
    try:
        content.decode("cp1252")
    except UnicodeDecodeError:
        return False
    return True
