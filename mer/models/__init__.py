"""Models trained on top of encoder features, and encoders that are trained too.

    classifier        features -> h -> class scores: the base of all models, and the model of one modality
    fused             several modalities: a fusion, a dialogue encoder, one head
    students          a classifier per modality, and a fused head on their h (distillation)
    fusion            how modalities meet: one module per kind
    dialogue          layers in which utterances of a dialogue read each other
    cross_modal       a contrast between the modalities of an utterance
    fused_batch       a batch of several modalities, or of whole dialogues
    inputs            scaling of features, and one vector of several hidden states
    states            states of tokens or steps of time, padded to a batch
    pooling           one vector of them, learned in the trial
    layers            linear layers and norms of one model, or of several at once
    member_linear     linear layers of several members, and the gradients of their weights
    dropout           masks and noise drawn from the numbers of the trial, whoever trains beside it
    sequence_encoder  ragged rows through an encoder, to pooled hidden states
    tuned             a pretrained encoder whose upper layers are trained with the head
    adapters          LoRA by peft: which layers get adapters, and peft's names of their weights
    sequence_batch    the ragged rows that a tuned encoder reads, and how they are grouped
    weight_names      names in a model's state that checkpoints and exports rely on

Every model gives h and class scores; `mer.training.scoring.build_model` builds the one a configuration asks for.
"""

from mer.models.classifier import Classifier, UtteranceClassifier

__all__ = ["Classifier", "UtteranceClassifier"]
