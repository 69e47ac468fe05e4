"""Ray Trainables by the name a search space gives them. A fixed registry: YAML can name nothing else."""

_CACHED = "trainables.cached:CachedTrainable"
TRAINABLES = {"text": _CACHED, "audio": _CACHED, "video": _CACHED, "fusion": _CACHED, "distill": _CACHED}

__all__ = ["TRAINABLES"]
