"""The ledger: what it hands out, what it remembers, and that a kill at any moment changes nothing."""

from __future__ import annotations

import errno
import itertools
import math
import os
import signal
import subprocess
import sys
import textwrap
import time
from io import FileIO

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from study_helpers import make_spec, open_ledger, row, score_of
from tiers import slow_except

from mer.config import DataConfig, FeatureSetting, TextEncoderConfig
from mer.errors import MerError
from mer.study.search.journal import readable_journal
from mer.study.search.ledger import Ledger
from mer.study.search.stored_trial import params_of

MIXED = (
    (
        "  head.hidden: {int: [8, 64]}\n",
        "  head.hidden: {int: [8, 64]}\n"
        "  loss.contrastive.curriculum: {choice: [false, true]}\n"
        "  encoders.text.layers: {choice: [[1], [2, 4], last]}\n"
        "  loss.contrastive.hinge: {float: [0.0, 1.0], when: {loss.contrastive.curriculum: true}}\n",
    ),
)
GRID = (
    ("{float: [1e-4, 1e-2], log: true}", "{choice: [1e-4, 1e-3, 1e-2]}"),
    ("{int: [8, 64]}", "{int: [8, 24], step: 8}"),
    ("points:\n  - {optim.head_lr: 1e-3, head.hidden: 32}\n", ""),
)


def study(tmp_path, kind, trials=12):
    changes = GRID if kind == "grid" else MIXED
    settings = {"budget.trials": trials}
    return make_spec(
        tmp_path, *changes, ("kind: random", f"kind: {kind}"), overrides=("sampler.startup_trials=4",), **settings
    )


def finish(ledger: Ledger, assignment) -> None:
    ledger.end(assignment.number, "finished", best=row(1, score_of(assignment)))


def uninterrupted(folder, spec):
    ledger = open_ledger(folder, spec)
    drawn = []
    while assignment := ledger.next_assignment():
        drawn.append((assignment.number, assignment.params))
        finish(ledger, assignment)
    return drawn


KINDS = [("tpe", 12), ("random", 12), ("qmc", 12), ("cmaes", 12), ("gp", 6), ("grid", 9)]
MOSTLY_QUICK = slow_except(KINDS, *(kind for kind in KINDS if kind[0] != "gp"))


@pytest.mark.parametrize(("kind", "trials"), MOSTLY_QUICK)
def test_resumed_after_every_trial_equals_uninterrupted(tmp_path, kind, trials):
    spec = study(tmp_path, kind, trials)
    expected = uninterrupted(tmp_path / "a", spec)
    assert [number for number, _ in expected] == list(range(trials))
    drawn = []
    while assignment := (ledger := open_ledger(tmp_path / "b", spec)).next_assignment():
        drawn.append((assignment.number, assignment.params))
        finish(ledger, assignment)
    assert drawn == expected


@pytest.mark.parametrize(("kind", "trials"), slow_except(KINDS, ("tpe", 12), ("grid", 9)))
def test_killed_while_drawing_equals_uninterrupted(tmp_path, kind, trials):
    """Each trial is first begun by a driver that dies before `ask`, or after it with up to two parameters drawn."""
    spec = study(tmp_path, kind, trials)
    expected = uninterrupted(tmp_path / "a", spec)
    drawn = []
    for number in range(trials):
        with pytest.raises(_Killed):
            stored = number % min(4, len(spec.params) + 1) - 1  # parameters that the dying driver has stored
            _dies_after(open_ledger(tmp_path / "b", spec), stored).next_assignment()
        heir = open_ledger(tmp_path / "b", spec)
        assignment = heir.next_assignment()
        assert assignment is not None
        drawn.append((assignment.number, assignment.params))
        finish(heir, assignment)
    assert drawn == expected
    assert open_ledger(tmp_path / "b", spec).next_assignment() is None


def test_killed_while_training_equals_uninterrupted(tmp_path):
    """TPE goes by scores of trials that run: the one that a dead driver left behind must not count for itself."""
    spec = study(tmp_path, "tpe")
    drawn = {}
    for name, dies in (("a", False), ("b", True)):
        ledger, drawn[name] = open_ledger(tmp_path / name, spec), []
        while assignment := ledger.next_assignment():
            for epoch in (1, 2, 3):
                ledger.report(assignment.number, epoch, score_of(assignment) * epoch / 3)
                if dies and epoch == assignment.number % 3 + 1:
                    ledger = open_ledger(tmp_path / name, spec)
                    assert ledger.next_assignment() == assignment
            finish(ledger, assignment)
            drawn[name].append(assignment)
    assert drawn["a"] == drawn["b"] and len(drawn["a"]) == 12


class _Killed(Exception):
    pass


def _dies_after(ledger: Ledger, parameters: int) -> Ledger:
    """A ledger whose driver dies once so many parameters of the next trial are stored; at -1 before `ask`."""
    real, calls = ledger._use_sampler, itertools.count(-1)

    def use_sampler(number: int, parameter: str = "") -> None:
        if next(calls) >= parameters:
            raise _Killed
        real(number, parameter)

    ledger._use_sampler = use_sampler  # type: ignore[method-assign]
    return ledger


@pytest.mark.slow
def test_samplers_spread_their_draws(tmp_path):
    """A sampler re-seeded for every draw must not draw the same value again and again."""
    for kind in ("random", "qmc", "tpe"):
        drawn = uninterrupted(tmp_path / kind, study(tmp_path, kind))
        for key in ("optim.head_lr", "head.hidden"):
            assert len({params[key] for _, params in drawn}) >= 9, (kind, key)
        assert len({str(params["encoders.text.layers"]) for _, params in drawn}) == 3, kind
        hinges = [params["loss.contrastive.hinge"] for _, params in drawn if "loss.contrastive.hinge" in params]
        assert len(set(hinges)) == len(hinges) > 1, kind


def test_qmc_is_one_low_discrepancy_sequence(tmp_path):
    lrs = [math.log10(p["optim.head_lr"]) for _, p in uninterrupted(tmp_path / "a", study(tmp_path, "qmc", 17))][1:]
    filled = {int((value + 4) / 2 * 8) for value in lrs}
    assert filled == set(range(8))  # 16 random draws fill all 8 bins less than one time in three


def test_other_study_seed_other_draws(tmp_path):
    one = uninterrupted(tmp_path / "a", make_spec(tmp_path))
    other = uninterrupted(tmp_path / "b", make_spec(tmp_path, overrides=("sampler.seed=1",)))
    assert one[0] == other[0] and all(a[1] != b[1] for a, b in zip(one[1:], other[1:], strict=True))


# -- points and budget ---------------------------------------------------------------------------------------------


def test_points_come_first_once_over_reopens(tmp_path):
    spec = make_spec(tmp_path, ("  - {optim", "  - {head.hidden: 9}\n  - {optim"))
    for _ in range(3):
        ledger = open_ledger(tmp_path / "s", spec)
    assert [t.state for t in ledger.trials()] == [TrialState.WAITING] * 2 and ledger.begun() == 0
    first, second, third = (ledger.next_assignment() for _ in range(3))
    assert first.params["head.hidden"] == 9
    assert second.params == spec.points[1]
    assert third.params not in (first.params, second.params)
    assert open_ledger(tmp_path / "s", spec).begun() == 3


def test_points_with_lists_survive(tmp_path):
    spec = study(tmp_path, "random")
    changed = spec.model_copy(update={"points": ({"encoders.text.layers": [2, 4]},)})
    assert open_ledger(tmp_path / "s", changed).next_assignment().params["encoders.text.layers"] == [2, 4]
    stored = open_ledger(tmp_path / "s", changed).trials()[0]
    assert params_of(stored)["encoders.text.layers"] == [2, 4]


def test_a_larger_budget_extends(tmp_path):
    small = make_spec(tmp_path, overrides=("budget.trials=2",))
    drawn = uninterrupted(tmp_path / "s", small)
    assert len(drawn) == 2 and not open_ledger(tmp_path / "s", small).work_left()
    large = make_spec(tmp_path)
    ledger = open_ledger(tmp_path / "s", large)
    assert ledger.work_left()
    assert uninterrupted(tmp_path / "s", large) == uninterrupted(tmp_path / "t", large)[2:]


def test_a_grid_ends_with_its_cells(tmp_path):
    spec = study(tmp_path, "grid", 99)
    drawn = uninterrupted(tmp_path / "s", spec)
    assert [params for _, params in drawn] == list(spec.space.grid()) and len(drawn) == 9
    ledger = open_ledger(tmp_path / "s", spec)
    assert not ledger.work_left() and ledger.most() == 9


# -- endings -------------------------------------------------------------------------------------------------------


def test_states_and_values(tmp_path):
    ledger = open_ledger(tmp_path / "s", make_spec(tmp_path))
    for _ in range(4):
        ledger.next_assignment()
    ledger.report(0, 1, 0.4)
    ledger.report(0, 1, 0.9)  # a repeat is left alone
    ledger.end(0, "finished", best=row(2, 0.5))
    ledger.report(1, 1, 0.2)
    ledger.end(1, "cut", best=row(1, 0.2), reason="stopped", last=(3, 0.3))
    ledger.end(2, "nonfinite", best=row(1, 0.9), reason="loss is nan")
    ledger.end(3, "error", best=None, reason="boom")
    for trials in (ledger.trials(), open_ledger(tmp_path / "s", make_spec(tmp_path)).trials()):
        assert [t.state.name for t in trials] == ["COMPLETE", "PRUNED", "FAIL", "FAIL"]
        assert [t.value for t in trials] == [0.5, 0.3, None, None]
        assert [t.intermediate_values for t in trials] == [{1: 0.4}, {1: 0.2, 3: 0.3}, {}, {}]
        assert [t.user_attrs["ending"]["reason"] for t in trials] == ["", "stopped", "loss is nan", "boom"]


def test_finished_without_an_epoch_is_a_failure(tmp_path):
    ledger = open_ledger(tmp_path / "s", make_spec(tmp_path))
    ledger.next_assignment()
    ledger.end(0, "finished", best=None)
    assert ledger.trials()[0].state == TrialState.FAIL
    assert ledger.trials()[0].user_attrs["ending"]["reason"] == "it ended before its first epoch"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_nan_never_reaches_tell(tmp_path, value):
    both = ("{metric: dev_weighted_f1, mode: max}", "[{metric: dev_weighted_f1}, {metric: dev_loss, mode: min}]")
    spec = make_spec(tmp_path, both)
    ledger = open_ledger(tmp_path / "s", spec)
    ledger.next_assignment()
    ledger.end(0, "finished", best=row(1, 0.5) | {"dev_loss": value})
    trial = open_ledger(tmp_path / "s", spec).trials()[0]
    assert trial.state == TrialState.FAIL
    assert trial.user_attrs["ending"]["reason"] == "dev_loss is not a finite number at its best epoch"


def test_several_objectives(tmp_path):
    both = ("{metric: dev_weighted_f1, mode: max}", "[{metric: dev_weighted_f1}, {metric: dev_loss, mode: min}]")
    spec = make_spec(tmp_path, both)
    ledger = open_ledger(tmp_path / "s", spec)
    for score in (0.3, 0.6):
        assignment = ledger.next_assignment()
        ledger.report(assignment.number, 1, score)  # has no meaning with two; nothing is stored
        ledger.end(assignment.number, "finished", best=row(1, score))
    trials = open_ledger(tmp_path / "s", spec).trials()
    assert [t.values for t in trials if t.values] == [[0.3, 0.7], [0.6, 0.4]]
    assert [d.name for d in ledger.study.directions] == ["MAXIMIZE", "MINIMIZE"]


@pytest.mark.parametrize(
    ("outcome", "state", "value"), [("finished", "COMPLETE", 0.5), ("cut", "PRUNED", 0.4), ("error", "FAIL", None)]
)
def test_an_ending_that_was_only_noted_is_finished_on_open(tmp_path, outcome, state, value):
    spec = make_spec(tmp_path)
    ledger = open_ledger(tmp_path / "s", spec)
    ledger.next_assignment()
    last = (4, 0.4) if outcome == "cut" else None
    note = {"outcome": outcome, "reason": "r", "best": row(3, 0.5), "last": last}
    ledger._live[0].set_user_attr("ending", note)
    reopened = open_ledger(tmp_path / "s", spec)
    trial = reopened.trials()[0]
    assert (trial.state.name, trial.value) == (state, value)
    assert reopened.next_assignment().number == 1


# -- orphans and damage --------------------------------------------------------------------------------------------


def test_orphans_come_back_first_in_order_with_their_reports(tmp_path):
    spec = make_spec(tmp_path)
    ledger = open_ledger(tmp_path / "s", spec)
    drawn = [ledger.next_assignment() for _ in range(3)]
    ledger.report(1, 1, 0.4)
    ledger.end(0, "finished", best=row(1, 0.5))
    heir = open_ledger(tmp_path / "s", spec)
    assert heir.work_left()
    assert [heir.next_assignment() for _ in range(2)] == drawn[1:]
    heir.report(1, 1, 0.9)  # heard before
    heir.report(1, 2, 0.6)
    assert heir.trials()[1].intermediate_values == {1: 0.4, 2: 0.6}
    assert heir.next_assignment().number == 3 and heir.next_assignment() is None


@pytest.mark.parametrize("garbage", [b"{", b'{"op_code": 4, "worker', b"\x00\x00", b"x" * 5000])
def test_a_torn_last_line_is_dropped(tmp_path, garbage):
    spec = make_spec(tmp_path)
    ledger = open_ledger(tmp_path / "s", spec)
    finish(ledger, ledger.next_assignment())
    journal = tmp_path / "s" / "journal.log"
    whole = journal.read_bytes()
    journal.write_bytes(whole + garbage)
    heir = open_ledger(tmp_path / "s", spec)
    assert heir.trials()[0].state == TrialState.COMPLETE
    finish(heir, heir.next_assignment())
    assert [t.state.name for t in open_ledger(tmp_path / "s", spec).trials()] == ["COMPLETE"] * 2
    assert journal.read_bytes().startswith(whole + b'{"op_code"')


DAMAGED_ENDS = [b"\n", b"\n\n \t\n", b"garbage\n", b"\xff\xfe\n\x00\x00\n5\n[1]\n{}\n", b'{"op_code": "4"}\n\n{']


@pytest.mark.parametrize("end", DAMAGED_ENDS)
def test_a_damaged_end_costs_no_whole_line(tmp_path, end):
    """`echo >> journal.log`, an editor, a power cut: the study goes on, and what was whole is there."""
    spec = make_spec(tmp_path)
    ledger = open_ledger(tmp_path / "s", spec)
    finish(ledger, ledger.next_assignment())
    journal = tmp_path / "s" / "journal.log"
    whole = journal.read_bytes()
    journal.write_bytes(whole + end)
    with readable_journal(tmp_path / "s", "small") as readable:  # readers change nothing
        assert readable.trials[0].state == TrialState.COMPLETE
    assert journal.read_bytes() == whole + end
    for done in (2, 3):
        heir = open_ledger(tmp_path / "s", spec)
        finish(heir, heir.next_assignment())
        assert [t.state.name for t in open_ledger(tmp_path / "s", spec).trials()] == ["COMPLETE"] * done
    assert journal.read_bytes().startswith(whole + b'{"op_code"')


def test_a_last_line_that_lost_only_its_newline_is_kept(tmp_path):
    spec = make_spec(tmp_path)
    ledger = open_ledger(tmp_path / "s", spec)
    finish(ledger, ledger.next_assignment())
    journal = tmp_path / "s" / "journal.log"
    whole = journal.read_bytes()
    journal.write_bytes(whole[:-1])
    assert open_ledger(tmp_path / "s", spec).trials()[0].state == TrialState.COMPLETE
    assert journal.read_bytes().startswith(whole)


def test_blank_lines_in_the_middle_are_taken_out(tmp_path):
    spec = make_spec(tmp_path)
    ledger = open_ledger(tmp_path / "s", spec)
    finish(ledger, ledger.next_assignment())
    journal = tmp_path / "s" / "journal.log"
    whole = journal.read_bytes()
    journal.write_bytes(whole.replace(b"\n", b"\n\n", 2))
    assert open_ledger(tmp_path / "s", spec).trials()[0].state == TrialState.COMPLETE
    assert journal.read_bytes().startswith(whole)


def test_damage_in_the_middle_is_named_and_left_as_it_is(tmp_path):
    spec = make_spec(tmp_path)
    ledger = open_ledger(tmp_path / "s", spec)
    finish(ledger, ledger.next_assignment())
    journal = tmp_path / "s" / "journal.log"
    lines = journal.read_bytes().split(b"\n")
    damaged = b"\n".join([*lines[:2], b"\x1b]0;title", *lines[2:]])
    journal.write_bytes(damaged)
    said = rf"(?s)journal\.log:3: is damaged: '.*x1b]0;title' is no operation.*next: .*sed -i 3d {journal}\n.*--fresh"
    with pytest.raises(MerError, match=said):
        open_ledger(tmp_path / "s", spec)
    with pytest.raises(MerError, match=said), readable_journal(tmp_path / "s", "small"):
        pass
    assert journal.read_bytes() == damaged


@pytest.mark.parametrize("content", [b"x", b"\x00" * 4096, b"{}\n{}\n"])
def test_a_file_without_one_whole_line_does_not_begin_a_new_study(tmp_path, content):
    """The trials of an overwritten journal are still in their folders: a study that began at 0 would mix with them."""
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "journal.log").write_bytes(content)
    with pytest.raises(MerError, match=r"journal\.log:1: is damaged: .*and no line of it is whole"):
        open_ledger(tmp_path / "s", make_spec(tmp_path))
    assert (tmp_path / "s" / "journal.log").read_bytes() == content


def test_a_journal_that_is_only_a_torn_line(tmp_path):
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "journal.log").write_bytes(b'{"op_')
    assert open_ledger(tmp_path / "s", make_spec(tmp_path)).next_assignment().number == 0


DRIVER = """
    import sys
    sys.path.insert(0, {helpers!r})
    from pathlib import Path
    from study_helpers import open_ledger, row, score_of
    from mer.study.space.load import load_spec
    spec = load_spec(Path({space!r}), ["budget.trials=100000"])
    ledger = open_ledger(Path({folder!r}), spec)
    while assignment := ledger.next_assignment():
        for epoch in range(1, 4):
            ledger.report(assignment.number, epoch, epoch / 10)
        ledger.end(assignment.number, "finished", best=row(3, score_of(assignment)))
        print(assignment.number, flush=True)
"""


@pytest.mark.faults
def test_sigkill_in_the_middle_of_writes(tmp_path):
    make_spec(tmp_path)
    helpers = os.path.dirname(__file__)  # noqa: PTH120
    code = DRIVER.format(helpers=helpers, space=str(tmp_path / "space.yaml"), folder=str(tmp_path / "s"))
    for round_ in range(2):
        driver = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE)
        assert driver.stdout is not None and driver.stdout.readline()
        time.sleep(0.05 + 0.013 * round_)
        driver.send_signal(signal.SIGKILL)
        driver.wait()
        driver.stdout.close()
    spec = make_spec(tmp_path, overrides=("budget.trials=100000",))
    ledger = open_ledger(tmp_path / "s", spec)
    begun = ledger.begun()
    orphans = [t.number for t in ledger.trials() if t.state == TrialState.RUNNING]
    assert begun >= 2 and len(orphans) <= 1  # each driver took up what the one before it left
    finished = [t for t in ledger.trials() if t.state == TrialState.COMPLETE]
    assert all(t.intermediate_values == {1: 0.1, 2: 0.2, 3: 0.3} for t in finished)
    exact = make_spec(tmp_path, overrides=(f"budget.trials={begun}",))
    expected = uninterrupted(tmp_path / "t", exact)
    while orphans and (assignment := ledger.next_assignment()).number in orphans:
        finish(ledger, assignment)
        orphans.remove(assignment.number)
    stored = [(t.number, params_of(t)) for t in ledger.trials()[:begun]]
    assert stored == expected


# -- writes that fail, writes of others ----------------------------------------------------------------------------


@pytest.mark.parametrize("refuses", ["write", "fsync"])
def test_a_write_that_the_disk_refuses_leaves_whole_lines_and_is_the_last(tmp_path, monkeypatch, refuses):
    """A torn line with whole ones after it could not be read any more."""
    spec = make_spec(tmp_path)
    ledger = open_ledger(tmp_path / "s", spec)
    journal = tmp_path / "s" / "journal.log"
    finish(ledger, ledger.next_assignment())
    whole = journal.read_bytes()
    with monkeypatch.context() as full:
        if refuses == "write":
            full.setattr(type(journal), "open", lambda path, *how, **also: TornFile(path))
        else:
            full.setattr(os, "fsync", refused)
        with pytest.raises(OSError, match=r"No space left on device: '.*journal\.log'"):
            ledger.next_assignment()
    assert journal.read_bytes() == whole
    with pytest.raises(OSError, match="No space left"):  # memory is ahead of the file
        ledger.next_assignment()
    assert journal.read_bytes() == whole
    assert uninterrupted(tmp_path / "s", spec) == uninterrupted(tmp_path / "t", spec)[1:]


class TornFile(FileIO):
    """A file on a disk that has room for ten bytes more."""

    def __init__(self, path):
        super().__init__(path, "ab")
        self.room = 10

    def write(self, data):
        if not self.room:
            refused()
        self.room, took = 0, super().write(bytes(data[: self.room]))
        return took


def refused(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_notes_of_a_dashboard_are_left_to_the_next_driver(tmp_path):
    spec = make_spec(tmp_path)
    ledger = open_ledger(tmp_path / "s", spec)
    finish(ledger, ledger.next_assignment())
    as_others_open_it(tmp_path / "s").set_user_attr("note", "mine")
    finish(ledger, ledger.next_assignment())
    as_others_open_it(tmp_path / "s").set_user_attr("note", "yours")
    heir = open_ledger(tmp_path / "s", spec)
    assert heir.study.user_attrs["note"] == "yours"
    assert [trial.state.name for trial in heir.trials()] == ["COMPLETE"] * 2


def test_a_trial_of_another_program_stops_the_study_before_numbers_mix(tmp_path):
    spec = make_spec(tmp_path)
    ledger = open_ledger(tmp_path / "s", spec)
    finish(ledger, ledger.next_assignment())
    as_others_open_it(tmp_path / "s").ask()
    with pytest.raises(OSError, match=r"another program wrote into it while this study ran: '.*journal\.log'"):
        ledger.next_assignment()
    assert [trial.state.name for trial in open_ledger(tmp_path / "s", spec).trials()] == ["COMPLETE", "RUNNING"]


def as_others_open_it(folder):
    storage = JournalStorage(JournalFileBackend(str(folder / "journal.log")))
    return optuna.load_study(study_name="small", storage=storage)


# -- identity ------------------------------------------------------------------------------------------------------


def refusal(tmp_path, *changes, overrides=()):
    open_ledger(tmp_path / "s", make_spec(tmp_path))
    with pytest.raises(MerError) as caught:
        open_ledger(tmp_path / "s", make_spec(tmp_path, *changes, overrides=overrides))
    return str(caught.value)


def test_a_changed_choice_is_refused_in_words(tmp_path):
    before = ("{int: [8, 64]}", "{choice: [32, 64]}")
    after = ("{int: [8, 64]}", "{choice: [32, 64, 128]}")
    open_ledger(tmp_path / "s", make_spec(tmp_path, before))
    with pytest.raises(MerError) as caught:
        open_ledger(tmp_path / "s", make_spec(tmp_path, after))
    assert str(caught.value) == (
        f"{tmp_path / 's'}: the search space is not the one this study began with:\n"
        "    params.head.hidden: was ['choice', [32, 64], {}], now ['choice', [32, 64, 128], {}]\n"
        "  allowed: between runs: the budget (but budget.epochs), resources, keep_weights, points, "
        "data.root\n"
        "  next: give the new search another name (--set study=small-2), or start over with --fresh"
    )


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("[1e-4, 1e-2]", "[1e-4, 1e-1]"), "params.optim.head_lr: was ['float', 0.0001, 0.01, True, None, {}], now"),
        (("epochs: 6", "epochs: 7"), "epochs: was 6, now 7"),
        (("seed: 0", "seed: 1"), "sampler.seed: was 0, now 1"),
        (("kind: random", "kind: tpe"), "sampler.kind: was 'random', now 'tpe'"),
        (("{kind: none}", "{kind: asha}"), "scheduler.kind: was 'none', now 'asha'"),
        (("kind: spcl", "kind: spcl, weight: 2"), "fixed.loss.contrastive.weight: new, 2"),
        (("dev_weighted_f1", "dev_macro_f1"), "objective: was [{'metric': 'dev_weighted_f1'"),
        (("  head.hidden: {int: [8, 64]}\n", "  head.depth: {int: [1, 2]}\n"), "params.head.hidden: gone, was ['int',"),
    ],
)
def test_changes_that_are_refused(tmp_path, change, named):
    changes = [change]
    if "head.depth" in change[1]:
        changes.append((", head.hidden: 32", ""))
    assert f"\n    {named}" in refusal(tmp_path, *changes)


def test_changes_that_are_allowed(tmp_path):
    spec = make_spec(tmp_path)
    first = open_ledger(tmp_path / "s", spec)
    other = make_spec(
        tmp_path,
        ("head.hidden: 32}", "head.hidden: 33}"),
        overrides=("budget.trials=9", "budget.hours=2", "resources.cpu=0.5", "data.root=/elsewhere", "description=x"),
    )
    again = open_ledger(tmp_path / "s", other)
    assert again.generation == first.generation


def test_a_renamed_folder_is_refused(tmp_path):
    """It would begin again at trial 0, on top of the former trials' weights."""
    open_ledger(tmp_path / "s", make_spec(tmp_path))
    with pytest.raises(MerError, match=r"holds the study 'small', not 'other': was the folder renamed\?"):
        open_ledger(tmp_path / "s", make_spec(tmp_path, overrides=("study=other",)))


def test_features_of_other_data_are_refused_and_a_moved_folder_is_not(tmp_path):
    def setting(root, backbone="minilm"):
        return FeatureSetting.of_encoder(DataConfig(root=root), TextEncoderConfig(backbone=backbone))

    ledger = open_ledger(tmp_path / "s", make_spec(tmp_path))
    ledger.check_features(tmp_path, {setting("a"): {"train": "x.safetensors"}})
    ledger = open_ledger(tmp_path / "s", make_spec(tmp_path))
    ledger.check_features(tmp_path, {setting("b"): {"train": "x.safetensors"}})
    for other in ({setting("a"): {"train": "y.safetensors"}}, {setting("a", "roberta"): {"train": "x.safetensors"}}):
        with pytest.raises(MerError, match="the data or the backbone are not those this study began with"):
            ledger.check_features(tmp_path, other)


def test_reading_only(tmp_path):
    ledger = open_ledger(tmp_path / "s", make_spec(tmp_path))
    finish(ledger, ledger.next_assignment())
    with readable_journal(tmp_path / "s", "small") as readable:
        assert isinstance(readable, optuna.Study) and readable.trials[0].state == TrialState.COMPLETE


# -- cost ----------------------------------------------------------------------------------------------------------


def test_a_trial_costs_the_ledger_the_same_at_the_end_as_at_the_start(tmp_path, monkeypatch):
    """Nothing goes through all trials, or reads the journal again, to hand out and end one."""
    spec = make_spec(tmp_path, **{"budget.trials": 30})
    ledger = open_ledger(tmp_path / "s", spec)
    replay = type(ledger.storage._replay_result)
    looks, real = [], replay.get_all_trials
    monkeypatch.setattr(replay, "get_all_trials", lambda *args: looks.append(args) or real(*args))
    syncs, fsync = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: syncs.append(handle) or fsync(handle))
    monkeypatch.setattr(type(ledger.storage._own_journal._path), "read_bytes", None)
    while assignment := ledger.next_assignment():
        with ledger.together():
            for epoch in (1, 2, 3):
                ledger.report(assignment.number, epoch, 0.1 * epoch)
            finish(ledger, assignment)
    assert ledger.begun() == 30 and not looks
    assert len(syncs) == 2 * 30, "one wait for the disk when it is handed out, one when its report ends it"


def test_what_is_written_together_is_on_disk_when_the_block_ends(tmp_path):
    ledger = open_ledger(tmp_path / "s", make_spec(tmp_path))
    assignment = ledger.next_assignment()
    with pytest.raises(_Killed), ledger.together():
        ledger.report(assignment.number, 1, 0.5)
        assert trials_on_disk(tmp_path / "s")[0].intermediate_values == {}
        raise _Killed
    assert trials_on_disk(tmp_path / "s")[0].intermediate_values == {1: 0.5}


def trials_on_disk(folder):
    with readable_journal(folder, "small") as study:
        return study.get_trials(deepcopy=False)
