"""Write the page of a protocol, and its tables as Markdown and CSV beside it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from analysis.bench_page.tables import ranks_of, ranks_table, scores_tables
from analysis.comparison_page.pairs import Verdict, evaluation_verdicts
from analysis.evaluation_page.scores import estimate, key_words
from analysis.page.document import Section, page
from analysis.page.html import commands, esc, link, note, paragraph, say
from analysis.page.tables import Table
from analysis.page.words import clock, counted, is_fraction, words
from analysis.plots.interval import intervals_svg
from analysis.plots.picture import both
from analysis.stores.bench import Bench, BenchCell, load_bench
from mer.files import write_text
from mer.statistics import Ranks

PAGE = "report.html"


def write_bench(folder: Path) -> Path:
    """Write report.html and all tables into a protocol's folder. Returns the page."""
    bench = load_bench(folder)
    sections = bench_sections(bench)
    for ending in ("md", "csv"):  # of an earlier run; there may be no ranks now
        (folder / f"ranks.{ending}").unlink(missing_ok=True)
    for section in sections:
        for table in section.tables:
            if table.rows:
                table.write(folder)
    target = folder / PAGE
    done = len(bench.done())
    said = bench.told.get("description") or ""
    lead = f"{said} {done} of {counted(len(bench.cells), 'cell')} done.".strip()
    write_text(target, page(bench.name, lead, sections, "Made by python -m mer.bench."))
    return target


def bench_sections(bench: Bench) -> list[Section]:
    """Build every part: all scores, ranks, a plot and verdicts for each corpus, links."""
    ranks = ranks_of(bench)
    sections = [_scores(bench, ranks)]
    if ranks:
        html = "".join(note(one.note[0].upper() + one.note[1:] + ".") for one in ranks)
        table = ranks_table(ranks)
        sections.append(Section("ranks", "Ranks", table.html() + html, [table]))
    for corpus in dict.fromkeys(cell.corpus for cell in bench.done()):
        sections.append(_corpus(corpus, [cell for cell in bench.done() if cell.corpus == corpus]))
    return [*sections, _links(bench)]


def _scores(bench: Bench, ranks: Sequence[Ranks]) -> Section:
    tables = scores_tables(bench)
    html = "".join(say(_leader(one)) for one in ranks)
    failed = [cell for cell in bench.cells if cell.state == "failed"]
    html += "".join(say(f"{cell.name} failed: {cell.reason}", "bad") for cell in failed)
    html += "".join(table.html(css="tight") for table in tables)
    rerank = bench.told.get("rerank")
    how = f"{bench.told.get('trials')} trials of at most {bench.told.get('epochs')} epochs a cell, chosen on dev"
    if isinstance(rerank, dict):
        how += f"; the best {rerank.get('top')} ranked again by mean dev over {len(rerank.get('seeds') or [])} seeds"
    html += note(f"{how}; the winner is trained once per seed, and test is read once per seed. Shares in percent.")
    html += note(f"Time: {clock(sum(cell.seconds for cell in bench.cells))} in all.")
    if bench.told.get("command"):
        html += "<h3>Made by</h3>" + commands([str(bench.told["command"])])
    return Section("top", bench.name, html, tables)


def _leader(one: Ranks) -> str:
    """Say which method has the best average rank, and what that is worth."""
    (best, mean), *_ = one.average.items()
    over = "one corpus" if len(one.by_corpus) == 1 else f"{len(one.by_corpus)} corpora"
    said = f"{best} has the best average rank of {len(one.average)} methods over {over}: {mean:.2f}."
    if one.p is None:
        return said
    return f"{said} {'Some method differs' if one.p < 0.05 else 'No method is shown to differ'} (p = {one.p:.3f})."


def _corpus(corpus: str, cells: Sequence[BenchCell]) -> Section:
    """Draw the cells of a corpus, and compare them in pairs."""
    found = [(cell, cell.evaluation) for cell in cells if cell.evaluation is not None]
    names = [f"{cell.features} {cell.method}" for cell, _ in found]
    main = found[0][1].main
    rows = [estimate(one, main, name) for (_, one), name in zip(found, names, strict=True) if one.main == main]
    title = f"{words(main)} on test{', in percent' if is_fraction(main) else ''}"
    html = both(lambda width: intervals_svg(rows, title, width, percent=is_fraction(main)))
    html += note(key_words(found[0][1]))
    verdicts = evaluation_verdicts([one for _, one in found], names)
    html += "".join(say(one.says, "good" if " is above " in one.says else "") for one in verdicts)
    if not verdicts:
        html += paragraph("One cell alone: nothing to compare.")
    return Section(f"corpus-{corpus}", corpus, html, [_verdicts(corpus, verdicts)])


def _verdicts(corpus: str, verdicts: Sequence[Verdict]) -> Table:
    rows = [[v.first, v.second, v.difference, *(v.interval or (None, None)), v.p, v.says] for v in verdicts]
    header = ["first", "second", "difference", "low", "high", "p (Holm)", "verdict"]
    return Table(f"verdicts_{corpus}", header, rows, dict.fromkeys(header[2:5], lambda value: f"{100 * value:+.2f}"))


def _links(bench: Bench) -> Section:
    items = []
    for cell in bench.cells:
        places = [cell.study, *([cell.evaluation.path.parent] if cell.evaluation else [])]
        pages = [place / "report.html" if (place / "report.html").is_file() else place for place in places]
        here = [
            link(os.path.relpath(goal.resolve(), bench.folder.resolve()), name)
            for goal, name in zip(pages, ("search", "evaluation"), strict=False)
        ]
        items.append(f"<li>{esc(cell.name)}: {', '.join(here)}</li>")
    return Section("links", "Pages of each", f"<ul>{''.join(items)}</ul>")
