"""Show how the seeds predict numbers, or give labels: their mean outputs against the truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from analysis.page.document import Section
from analysis.page.html import paragraph
from analysis.page.words import counted
from analysis.stores.evaluation import Evaluation
from analysis.study_page.targets import per_label, scatters


def of_targets(one: Evaluation) -> Section:
    """Draw the mean output of the seeds, number by number; or list the labels."""
    title = "Numbers over seeds" if one.kind == "regression" else "Labels over seeds"
    all_of = list(one.targets.values())
    found = [other for other in all_of if other.ids == all_of[0].ids and other.names == all_of[0].names]
    if not found:
        words = paragraph(f"The predictions of the seeds on {one.split} are not in the folder.")
        return Section("targets", title, words)
    mean = replace(found[0], output_NT=np.mean([other.output_NT for other in found], axis=0))
    html, table = scatters(mean) if mean.is_numbers else per_label(mean)
    lead = f"The mean output of {counted(len(found), 'seed')} on {one.split}: closer than a single seed."
    return Section("targets", title, paragraph(lead) + html, [table])
