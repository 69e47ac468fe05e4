import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "export"))

from export_helpers import export_copy, exported, small_study, study_copy

__all__ = ["export_copy", "exported", "small_study", "study_copy"]
