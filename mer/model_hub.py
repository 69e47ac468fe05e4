"""The Hugging Face hub, which may not be there: whether it can be asked, what it answered, in words.

Reachability is found out in 5 s; hf_hub_download 2.4 retries for 23 s.
"""

from __future__ import annotations

import os
import re
import urllib.error
import urllib.request

from mer.redaction import without_secrets

REACH_TIMEOUT_S = 5.0
_NAME = r"[A-Za-z0-9](?:[\w.-]{0,94}[\w])?"
_HUB_ID = re.compile(rf"{_NAME}/{_NAME}", re.ASCII)


def is_hub_id(text: str) -> bool:
    """Tell whether a text has the form of a model's name on the hub: ORG/NAME."""
    return _HUB_ID.fullmatch(text) is not None and "--" not in text and ".." not in text


def why_not_asked() -> str:
    """Say why the hub cannot be asked; '' when it can."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set, so the hub was not asked"
    reason = _unreachable(constants.ENDPOINT)
    return f"{constants.ENDPOINT} cannot be reached ({reason})" if reason else ""


def refusals(*others: type[Exception]) -> tuple[type[Exception], ...]:
    """List what huggingface_hub raises when the hub refuses, or goes away in the middle, and the others given."""
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    return HfHubHTTPError, LocalEntryNotFoundError, httpx2.HTTPError, *others


def answer_of(fault: Exception) -> str:
    """Word a refusal of the hub, without anything that looks like a secret."""
    from huggingface_hub import constants, get_token

    words = getattr(fault, "server_message", None) or (str(fault).strip().splitlines() or [""])[-1]
    said = f"{constants.ENDPOINT} answered {type(fault).__name__}: {without_secrets(words)[0]}"
    token = get_token()
    return said.replace(token, "[token]") if token else said


def _unreachable(endpoint: str) -> str:
    """The reason why the hub cannot be reached; '' when it can."""
    request = urllib.request.Request(endpoint, method="HEAD", headers={"User-Agent": "mer"})
    try:
        urllib.request.urlopen(request, timeout=REACH_TIMEOUT_S).close()
    except urllib.error.HTTPError:
        return ""  # any answer shows that the hub can be reached
    except OSError as fault:
        reason = fault.reason if isinstance(fault, urllib.error.URLError) else fault
        return (
            os.strerror(reason.errno)
            if isinstance(reason, OSError) and reason.errno and reason.errno > 0
            else str(reason)
        )
    return ""
