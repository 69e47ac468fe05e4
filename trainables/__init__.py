"""Ray Trainables by the name a search space gives them. A fixed registry: YAML can name nothing else."""

_SINGLE = "trainables.single:SingleModalityTrainable"
TRAINABLES = {"text": _SINGLE, "audio": _SINGLE, "video": _SINGLE}

__all__ = ["TRAINABLES"]
