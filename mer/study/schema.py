"""Print the JSON Schema of search spaces: `python -m mer.study.schema > search_spaces/schema.json`."""

from __future__ import annotations

from mer.study.space.schema import schema_text

if __name__ == "__main__":
    print(schema_text(), end="")
