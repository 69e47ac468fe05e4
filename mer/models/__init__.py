"""What is trained on top of encoder features."""

from mer.models.classifier import Classifier, UtteranceClassifier

__all__ = ["Classifier", "UtteranceClassifier"]
