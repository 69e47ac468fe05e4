from export_helpers import export_copy, exported, small_study, study_copy

__all__ = ["export_copy", "exported", "small_study", "study_copy"]
