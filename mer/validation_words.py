"""What pydantic allows, in our words: its own speak of inputs and parsing, which says little to who wrote the file."""

from __future__ import annotations

from typing import Any

_ALLOWED = {
    "int_type": "a whole number", "int_parsing": "a whole number", "int_from_float": "a whole number",
    "int_parsing_size": "a whole number of fewer digits", "float_type": "a number", "float_parsing": "a number",
    "finite_number": "a finite number", "bool_type": "true or false", "bool_parsing": "true or false",
    "string_type": "text, in quotes where YAML reads it as something else", "string_unicode": "text",
    "list_type": "a list", "tuple_type": "a list",
    "dict_type": "a mapping {{key: value}}", "mapping_type": "a mapping {{key: value}}",
    "model_type": "a mapping {{key: value}}", "model_attributes_type": "a mapping {{key: value}}",
    "none_required": "null",
    "literal_error": "one of {expected}", "string_pattern_mismatch": "text of the form {pattern}",
    "string_too_short": "text of at least {min_length} characters",
    "string_too_long": "text of at most {max_length} characters",
    "too_short": "a list of at least {min_length}", "too_long": "a list of at most {max_length}",
    "greater_than": "more than {gt}", "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}", "less_than_equal": "at most {le}", "multiple_of": "a multiple of {multiple_of}",
    "union_tag_invalid": "one of {expected_tags}", "union_tag_not_found": "a mapping with the key {discriminator}",
}  # fmt: skip


def allowed_words(fault: Any) -> str:
    """Say what would have been right; "" where the fault says it by itself, or nothing is known.

    Args: fault: one of `ValidationError.errors()`.
    """
    context = {name: _plain(value) for name, value in fault.get("ctx", {}).items()}
    return _ALLOWED.get(fault["type"], "").format(**context)


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
