"""What is trained on top of encoder features."""

from mer.models.classifier import UtteranceClassifier

__all__ = ["UtteranceClassifier"]
