"""One study from its first command to its last: disturbed as planned, gone on with, judged."""

from __future__ import annotations

import random
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.kills.disturb import KINDS, Scene
from benchmarks.kills.fork_server import WORKERS_PYTHON
from benchmarks.kills.judge import Verdict, compare
from benchmarks.kills.mlflow_http import MlflowServer
from benchmarks.kills.plan import Plan, Step
from benchmarks.kills.snapshot import Snapshot, journal_lines, trials_ended
from benchmarks.kills.stage import Stage
from benchmarks.kills.workshop import STUDY, Workshop

_END_S, _WHOLE_S, _LINGER_S = 120.0, 240.0, 10.0
_LOOK_S = 0.002
_BEGUN = 0.9  # share of studies beside which others have been recorded
_REFUSED, _INTERRUPTED = 2, 130
_MAY_REFUSE = {"disk full", "raylet killed", "GCS killed", "MLflow stopped"}


@dataclass
class Outcome:
    """What became of one study.

    Args:
        seed: of its plan.
        flavour: what it ran on.
        hits: (kind, moment) of each disturbance that came to pass.
        missed: disturbances that came too late: the driver had ended.
        verdict: words by what is wrong.
        seconds: it took in all.
        said: what the last command printed, where something is wrong.
        version: of the code, as git names it.
    """

    seed: int
    flavour: str
    hits: list[tuple[str, str]] = field(default_factory=list)
    missed: int = 0
    verdict: dict[str, list[str]] = field(default_factory=dict)
    seconds: float = 0.0
    said: str = ""
    version: str = ""

    @property
    def is_clean(self) -> bool:
        return not any(self.verdict.values())

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class Hangs(Exception):
    """A driver that should have ended goes on."""


def play(plan: Plan, stage: Stage, scene: Scene) -> Outcome:
    """Disturb a study as planned, go on with it to its end, and judge it."""
    started, outcome, verdict = time.monotonic(), Outcome(plan.seed, plan.flavour), Verdict()
    try:
        for step in plan.steps:
            _take(step, scene, stage, outcome, verdict)
        _finish(scene, verdict)
        found = Snapshot.of(scene.studies, STUDY, scene.server)
        judged = compare(found, stage.twin, scene.server.files if scene.server else scene.studies)
        for kind, words in vars(judged).items():
            getattr(verdict, kind).extend(words)
        verdict.incomplete += _audited(scene)
    except (Hangs, AssertionError) as fault:
        verdict.incomplete.append(str(fault))
    finally:
        _leave(scene)
    outcome.verdict, outcome.seconds = asdict(verdict), round(time.monotonic() - started, 1)
    outcome.said = "" if outcome.is_clean else scene.driver.output()[-3000:]
    return outcome


def scene_of(plan: Plan, stage: Stage, server: MlflowServer | None = None) -> Scene:
    """Make the scene of a plan: an empty folder of studies."""
    studies = stage.place / f"studies-{plan.seed}"
    shop = stage.shop
    nodes = stage.nodes if plan.flavour != "own Ray" else None
    own = {"RAY_TMPDIR": str(stage.sockets), WORKERS_PYTHON: str(stage.workers.python)}
    settings = {**shop.settings, **(nodes.settings if nodes else own)}
    if server is not None:
        settings["MLFLOW_TRACKING_URI"] = server.uri
    shop = Workshop(shop.home, shop.space, shop.cache, shop.starter, settings)
    chance = random.Random(plan.seed)
    if chance.random() < _BEGUN:
        studies.mkdir(parents=True)
        shutil.copy(stage.database, studies / "mlflow.db")
    return Scene(shop, studies, chance, stage.workers, nodes, server)


def _take(step: Step, scene: Scene, stage: Stage, outcome: Outcome, verdict: Verdict) -> None:
    kind = KINDS[step.kind]
    if kind.between:
        if scene.studies.exists() and (scene.process is None or scene.driver.poll() is not None):
            kind.act(scene)
            outcome.hits.append((step.kind, "between drivers"))
        return
    if scene.process is None or scene.driver.poll() is not None:
        scene.start()
    if not _wait(step, scene, stage):
        outcome.missed += 1
        _check_end(scene, verdict, "")
        return
    moment = step.moment or moment_of(scene, stage)  # a write is over before it could be looked at again
    kind.act(scene)
    outcome.hits.append((step.kind, moment))
    if kind.ends:
        _end(scene)
        _check_end(scene, verdict, step.kind)


def _wait(step: Step, scene: Scene, stage: Stage) -> bool:
    """Wait for the moment of a step. Returns False when the driver has ended before."""
    lines = stage.lines
    before = len(journal_lines(scene.study))
    wanted = max(step.share * lines, before + 1) if step.share is not None else 0
    if before < lines:  # else all that is left is to close
        while step.share is not None and len(journal_lines(scene.study)) < wanted:
            if scene.driver.poll() is not None:
                return False
            time.sleep(_LOOK_S)
    until = time.monotonic() + step.wait_s
    while time.monotonic() < until:
        if scene.driver.poll() is not None:
            return False
        time.sleep(_LOOK_S)
    while step.moment and not _AT[step.moment](scene, stage):
        if scene.driver.poll() is not None:
            return False
    return scene.driver.poll() is None


def _all_ended(scene: Scene, stage: Stage) -> bool:
    return trials_ended(journal_lines(scene.study)) == len(stage.twin.trials)


_AT: dict[str, Callable[[Scene, Stage], bool]] = {
    "training": lambda scene, stage: bool(list(scene.study.glob("trials/*/last.safetensors"))),
    "saving": lambda scene, stage: bool(list(scene.study.glob("trials/*/.*.tmp"))),
    "closing": _all_ended,
}


def moment_of(scene: Scene, stage: Stage) -> str:
    """Say what the study is at, by what lies in its folder."""
    if _AT["saving"](scene, stage):
        return "saving"
    if _all_ended(scene, stage):
        return "closing"
    if not scene.workers():
        return "starting"
    return "training" if _AT["training"](scene, stage) else "between trials"


def _end(scene: Scene) -> None:
    try:
        scene.driver.wait(_END_S)
    except TimeoutError as fault:
        raise Hangs(f"the driver {fault}") from None


def _check_end(scene: Scene, verdict: Verdict, after: str) -> None:
    """Note an exit code that is not true."""
    code, said = scene.driver.returncode, scene.driver.output()
    true = {0, -signal.SIGKILL} if "killed" in after and after not in _MAY_REFUSE else {0}
    if after == "driver asked to stop":
        true = {0, _INTERRUPTED, -signal.SIGTERM}  # the last before it listens
    if after in _MAY_REFUSE:
        true = {0, _REFUSED}
    if after == "GCS killed" and "gcs_server, a process of Ray's, has died" in said:
        true |= {-signal.SIGKILL}  # while Ray connects, it holds the whole process, which a guard ends
    if code not in true:
        verdict.false_exit.append(f"exit code {code} after {after or 'nothing'}: {said[-1500:]}")
    if "Traceback" in said:
        verdict.false_exit.append(f"a traceback after {after or 'nothing'}: {said[-1500:]}")
    if code == 0 and scene.studies.exists():
        ended = trials_ended(journal_lines(scene.study))
        if "not finished" in said or ended == 0:
            verdict.false_exit.append(f"exit code 0 with {ended} trials ended: {said[-1500:]}")


def _finish(scene: Scene, verdict: Verdict) -> None:
    """Let the driver end, then go on once more: with nothing left to do, or with all that is left."""
    if scene.process is None or scene.driver.poll() is not None:
        scene.start()
    code = scene.driver.wait(_WHOLE_S)
    if code == _REFUSED and "MLflow" in scene.driver.output():  # a server was away: the next command writes the rest
        scene.start()
        code = scene.driver.wait(_WHOLE_S)
    _check_end(scene, verdict, "")
    deadline = time.monotonic() + _LINGER_S
    while left := scene.workers():
        if time.monotonic() > deadline:
            verdict.incomplete.append(f"{len(left)} workers still run")
            break
        time.sleep(0.1)


def _audited(scene: Scene) -> list[str]:
    """Return what `mer.study audit` finds wrong, in its own words; [] when it is content."""
    words = ["audit", str(scene.study), "--thorough"]
    environment = scene.shop.environment()
    audit = scene.shop.starter("mer.study", words, cwd=scene.shop.home, environment=environment, own_group=False)
    return [] if audit.wait(_END_S) == 0 else [f"the audit: {line}" for line in audit.output().splitlines()]


def _leave(scene: Scene) -> None:
    if scene.process is not None and scene.driver.poll() is None:
        for member in scene.members()[:1]:
            member.kill()
        scene.driver.wait(30)


def clear(scene: Scene) -> None:
    """Remove what a study leaves."""
    shutil.rmtree(scene.studies, ignore_errors=True)
