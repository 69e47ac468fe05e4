"""Ray Trainables by the name a search space gives them. A fixed registry: YAML can name nothing else."""

TRAINABLES = {"text": "trainables.text:TextTrainable"}

__all__ = ["TRAINABLES"]
