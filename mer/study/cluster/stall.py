"""Say that a study on a cluster waits: for a node with room, or for workers that have long been silent."""

from __future__ import annotations

from collections.abc import Callable, Set

_WAIT_S, _START_S = 10.0, 60.0  # without a node for a trial; where nodes have room, workers may be slow to start
_SILENCE_S, _PAUSES = 30.0, 4.0  # no report for so long, and for so many times the longest pause until then


class Stall:
    """One line when a study begins to wait, and one when it goes on. Args: say: prints a line."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say
        self._waiting_since: float | None = None  # no trial runs
        self._waiting_said = False
        self._last_report: float | None = None
        self._longest_pause = 0.0
        self._silence_said = False

    def reported(self, now: float) -> None:
        """Note that a worker has reported. Args: now: seconds on any clock."""
        if self._last_report is not None:
            pause = now - self._last_report
            if self._silence_said:
                self.say(f"workers report again, after {pause:.0f} s")
            else:
                self._longest_pause = max(self._longest_pause, pause)
        self._last_report, self._silence_said = now, False

    def look(self, now: float, statuses: Set[str], fit: int, room: str) -> None:
        """Speak where there is something to say.

        Args:
            statuses: Ray's words for the trials that were handed to it.
            fit: trials for which the cluster has room, were it idle.
            room: what the cluster has, in words.
        """
        if "RUNNING" in statuses or "PENDING" not in statuses:
            if self._waiting_said and self._waiting_since is not None:
                self.say(f"trials run again: the study goes on, after {now - self._waiting_since:.0f} s")
            self._waiting_since, self._waiting_said = None, False
        elif self._waiting_since is None:
            self._waiting_since = now
        elif not self._waiting_said and now - self._waiting_since >= (_START_S if fit else _WAIT_S):
            self._waiting_said = True
            why = "other work has the nodes, or workers start slowly" if fit else "the study waits for a node with room"
            self.say(f"no trial runs: {why} (the cluster has {room})")
        if "RUNNING" not in statuses or self._last_report is None or self._silence_said:
            return
        silence = now - self._last_report
        if silence > max(_SILENCE_S, _PAUSES * self._longest_pause):
            self._silence_said = True
            self.say(f"no worker has reported for {silence:.0f} s: epochs are long, or a node hangs")
