"""A check as one page: tables of what is there, then what to read, the verdict, and the next command."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mer.data.check.checked import Checked
from mer.data.check.finding import Finding, Tokens
from mer.data.check.leakage import SHORT, Leak
from mer.data.check.media import LONG_S, MODALITIES, MediaSummary
from mer.data.check.summary import SplitSummary
from mer.terminal.commands import command

SPEAKERS = 5  # named on the page; the JSON has all
_STYLES = {"wrong": "bold red", "note": "yellow", "known": "dim"}
_ROW_NAMES = {
    "utterances": "utterances",
    "dialogues": "dialogues",
    "longest_dialogue": "longest dialogue (turns)",
    "speakers": "speakers",
    "gapped_dialogues": "dialogues with skipped ids",
    "untimed": "without usable times",
    "empty": "without a word of text",
}


def print_page(checked: Checked, console: Console) -> None:
    """Print everything of a check but the command that comes next."""
    console.print(split_table(f"{checked.dataset} in {checked.root}", checked.splits))
    if checked.media:
        console.print(media_table(checked.media, decoded=bool(checked.decoded)))
    for line in media_lines(checked.media, decoded=bool(checked.decoded)):
        console.print(line, highlight=False, markup=False)
    if len(checked.splits) > 1:
        console.print(shared_table(checked))
        console.print(f"common texts: under {SHORT} words, or with several labels; harmless", highlight=False)
    for line in token_lines(checked.tokens):
        console.print(line, highlight=False, markup=False)
    if checked.findings:
        console.print(finding_grid(checked.findings))
    if any(finding.level == "known" for finding in checked.findings):
        console.print("known: a fact of the published data; nothing to mend", highlight=False)
    style = "bold red" if checked.wrong else "bold green"
    console.print(f"verdict: [{style}]{checked.verdict}[/]", highlight=False)


def split_table(title: str, summaries: Sequence[SplitSummary]) -> Table:
    """Make a table with one column per split and one row per number."""
    table = Table("", *(summary.split for summary in summaries), title=escape(title), title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    for field, name in _ROW_NAMES.items():
        if field == "untimed" and all(summary.untimed == summary.utterances for summary in summaries):
            continue
        table.add_row(name, *(str(getattr(summary, field)) for summary in summaries))
    official = {True: "yes", False: "no", None: "unknown"}
    if any(summary.official is not None for summary in summaries):
        table.add_row("official file", *(official[summary.official] for summary in summaries))
    table.add_section()
    for task, counts in summaries[0].label_counts.items():
        for label in counts:
            table.add_row(
                escape(f"{task}: {label}"),
                *(_share(s.label_counts[task].get(label, 0), s.utterances) for s in summaries),
            )
        for name in summaries[0].numbers:
            table.add_row(escape(f"{name}: mean, from, to"), *(_spread(s.numbers.get(name)) for s in summaries))
        if any(summary.unlabelled[task] for summary in summaries):
            table.add_row(f"{task}: no label", *(_share(s.unlabelled[task], s.utterances) for s in summaries))
        table.add_section()
    for name, spoken in _speakers(summaries):
        table.add_row(escape(name), *(_share(n, s.utterances) for n, s in zip(spoken, summaries, strict=True)))
    return table


def media_table(summaries: Sequence[MediaSummary], *, decoded: bool) -> Table:
    """Make a table with one row per split and modality, 80 columns wide. What decoding alone tells is "?" before."""
    table = Table("", "clips", "bad", "silent", "length", f"> {LONG_S:g} s", "mean s", "max s")
    for column in table.columns:
        column.justify, column.no_wrap = "left" if column is table.columns[0] else "right", True
    for summary in summaries:
        timed = any(clip.said_s is not None for clip in summary.clips)
        table.add_row(
            f"{summary.split} {summary.modality}",
            f"{len(summary.clips) - summary.count('absent')} of {len(summary.clips)}",
            str(summary.count("unreadable")),
            "" if summary.modality == "video" else f"{summary.says_nothing}{'' if decoded else ' ?'}",
            str(summary.other_length) if timed else "",
            str(summary.over_long),
            "" if summary.mean_s is None else f"{summary.mean_s:.2f}",
            "" if summary.max_s is None else f"{summary.max_s:.1f}",
        )
    return table


def shared_table(checked: Checked) -> Table:
    """Make a table with one row per two splits: what the later one shares with the earlier one."""
    table = Table("shared", "speakers", "dialogues", "texts", "common texts", *(["clips"] if checked.media else []))
    for column in table.columns[1:]:
        column.justify = "right"
    kinds = ("speakers", "dialogues", "texts", "common texts", *(["clips"] if checked.media else []))
    for one, two in combinations([summary.split for summary in checked.splits], 2):
        cells = [_shared(checked.leaks, kind, two, one) for kind in kinds]
        table.add_row(f"{two} with {one}", *cells)
    return table


def media_lines(summaries: Sequence[MediaSummary], *, decoded: bool) -> list[str]:
    """Say which modalities are absent, and whether clips were decoded."""
    if not summaries:
        return ["no audio, no video: text only"]
    there = {summary.modality for summary in summaries}
    lines = ["silent: nothing to hear in it; length: another one than the data say"]
    lines += [f"no {modality}" for modality in MODALITIES if modality not in there]
    if not decoded:
        lines.append("only headers were read; --clips decodes every clip: silence and damage inside are found then")
    return lines


def token_lines(tokens: Tokens | None) -> list[str]:
    """Say what the text backbone reads."""
    if tokens is None:
        return []
    return [
        f"text backbone {tokens.backbone}: {tokens.unknown_share:.1%} of tokens unknown, "
        f"{tokens.unread} texts without a known one, {tokens.cut} texts cut"
    ]


def finding_grid(findings: Sequence[Finding]) -> Table:
    """Lay out findings, each beside its level, wrapped to the terminal."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for finding in findings:
        style = _STYLES[finding.level]
        grid.add_row(f"[{style}]{finding.level}[/]", escape(finding.words))
    return grid


def next_step(
    dataset: str, root: Path, summaries: Sequence[MediaSummary], splits: Sequence[str], said: Sequence[str] = ()
) -> str:
    """Return the line that names the next command.

    Args:
        splits: those that are there.
        said: what was set with --set, which the next command needs as well.
    """
    if dataset == "csv":
        return _next_of_own(root, summaries, splits, said)
    data = ("--set", f"data.root={root}")
    there = [summary.modality for summary in summaries if summary.count("good")]
    if there:
        chosen = () if dataset == "meld" else ("--set", f"data.dataset={dataset}")
        return f"next: {command('mer.tune', f'search_spaces/{there[0]}.yaml', *chosen, *data)}"
    if dataset == "meld":
        prepare = command("mer.data", "prepare", "RAW", "--out", root)
        return f"next, for sound and pictures: {prepare}  (RAW: the unpacked archive)"
    return f"next: {command('mer.tune', 'search_spaces/ce.yaml', '--set', f'data.dataset={dataset}', *data)}"


def _share(count: int, of: int) -> str:
    return f"{count} ({count / of:6.2%})"


def _spread(numbers: tuple[float, float, float] | None) -> str:
    if numbers is None:
        return ""
    least, mean, most = numbers
    return f"{mean:.3g}, {least:g}, {most:g}"


def _shared(leaks: Sequence[Leak], kind: str, split: str, other: str) -> str:
    found = [leak for leak in leaks if (leak.kind, leak.split, leak.other) == (kind, split, other)]
    return f"{found[0].count} of {found[0].of}" if found else "0"


def _speakers(summaries: Sequence[SplitSummary]) -> list[tuple[str, list[int]]]:
    """List the most frequent speakers, and the rest as one; nothing where speakers tell nothing."""
    total: Counter[str] = Counter()
    for summary in summaries:
        total.update(summary.speaker_counts)
    total.pop("", None)
    if len(total) < 2 or total.most_common(1)[0][1] < 2:
        return []
    named = [name for name, _ in total.most_common(SPEAKERS)]
    rows = [(f"speaker: {name}", [summary.speaker_counts.get(name, 0) for summary in summaries]) for name in named]
    if (others := len(total) - len(named)) > 0:
        rest = [name for name in total if name not in named]
        counts = [sum(summary.speaker_counts.get(name, 0) for name in rest) for summary in summaries]
        rows.append((f"speaker: {others} others", counts))
    return rows


def _next_of_own(root: Path, summaries: Sequence[MediaSummary], splits: Sequence[str], said: Sequence[str]) -> str:
    kept = [word for text in said for word in ("--set", text)]
    if "dev" not in splits:
        check = command("mer.data", "check", root, *kept, "--set", "data.split.dev=0.1")
        return f"next, to make a dev split: {check}"
    there = [summary.modality for summary in summaries if summary.count("good")]
    space = there[0] if there else "ce"
    return f"next: {command('mer.tune', f'search_spaces/{space}.yaml', '--set', f'data.root={root}', *kept)}"
