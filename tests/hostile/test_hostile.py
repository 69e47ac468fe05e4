"""300 hostile inputs, spread over all doors: each accepted and right, or refused in one clear message.

`python tests/hostile/hostile_run.py` sends 2 400 (docs/testing.md).
"""

from __future__ import annotations

import pytest
from hostile_run import run

COUNT = 300


@pytest.mark.hostile
@pytest.mark.timeout(600)
def test_hostile_inputs():
    endings = list(run(COUNT))
    bad = [f"{e.door} | {e.kind} | {e.outcome} | {e.message[:300]}" for e in endings if not e.is_good]
    assert not bad, "\n".join(bad)
    assert len(endings) >= COUNT * 0.9 and {"accepted", "refused"} == {e.outcome for e in endings}
