"""A text export as one module: token ids in, scores of classes or labels out, or numbers. ONNX and plain transformers
are made from it.

Shape suffixes: N utterances, T tokens, L hidden states that the head reads, D width, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mer.checkpoints.export_folder import Export, is_export
from mer.checkpoints.tensors import under
from mer.config import TextEncoderConfig, is_given
from mer.data import windows
from mer.errors import MerError
from mer.features.backbone.files import BackboneFolder
from mer.features.text.pretrained import load_text_model, turn_tokenizer
from mer.features.text.turn_tokenizer import TokenInput
from mer.models import Classifier
from mer.models.weight_names import backbone_prefix
from mer.predictor.answers import SOMEBODY, as_dialogue
from mer.predictor.opening import open_predictor
from mer.predictor.predictor import Predictor
from mer.training.scoring import CENTER_TEMPERATURE

TEXTS = ("Oh my God!", "I do not know what to say, and I will not say it twice.", "no", "We won the game yesterday!")
EXACT, ROUNDED = 1e-5, 2e-2  # largest difference of scores; states of frozen layers are kept in half precision


class WholeText(nn.Module):
    """The encoder with its trained weights in place, the pooler and the head.

    Args:
        encoder: the whole model of transformers, without a pooler of its own.
        temperature: class scores are divided by it.
    """

    encoder: Any
    head: Any

    def __init__(
        self, encoder: nn.Module, head: Classifier, layers: Sequence[int], by_centers: bool, temperature: float = 1.0
    ) -> None:
        super().__init__()
        self.temperature = temperature
        self.encoder, self.head, self.layers, self.by_centers = encoder, head, list(layers), by_centers

    @property
    def pad(self) -> int:
        """Token id of padding, which some families count positions by."""
        return int(getattr(self.encoder.config, "pad_token_id", None) or 0)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, pooled: Tensor) -> Tensor:
        """Compute outputs (N, C) float32: scores of classes or labels, or numbers in their own unit.

        Args:
            input_ids, attention_mask: (N, T) int64, as a tokenizer gives them.
            pooled: (N, T) float32, 1 for tokens whose hidden states are averaged, 0 for the others.
        """
        out = self.encoder(input_ids=input_ids, attention_mask=attention_mask, output_hidden_states=True)
        states = [*out.hidden_states[:-1], out.last_hidden_state]
        weights_N1T = (pooled / pooled.sum(dim=1, keepdim=True))[:, None]
        x_NLD = torch.stack([(weights_N1T @ states[layer])[:, 0] for layer in self.layers], dim=1)
        mixed = self.head.layer_mix(self.head.input_norm(x_NLD))
        h_NH = self.head.blocks(mixed)
        if self.by_centers:
            scores: Tensor = self.head.center_scores(h_NH, CENTER_TEMPERATURE)
        else:
            scores = self.head.in_unit(self.head.classifier(h_NH))
        return scores / self.temperature


def whole_text(export: Export, where: str) -> tuple[WholeText, Predictor, BackboneFolder]:
    """Build the module of an export.

    Args: where: the option that asks for it, for messages.
    Raises: MerError for a model that is not one text encoder with a head on it.
    """
    if reasons := why_not_whole(export):
        allowed = "a model that reads texts one by one and answers by its head or class centres"
        raise MerError(where, f"{export.folder}: {'; '.join(reasons)}", allowed=allowed)
    predictor = open_predictor(export)
    found = predictor.encoders["text"].found
    encoder = load_text_model(found, torch.float32).eval().requires_grad_(False)
    trained = under(backbone_prefix(export.config, "text").removesuffix("."), under("model", export.tensors()))
    if unknown := encoder.load_state_dict(trained, strict=False).unexpected_keys:
        raise MerError(export.folder, f"the encoder has no weight {unknown[0]}")
    layers = [int(layer) for layer in export.inputs["text"]["layers"]]
    by_centers = export.config.training.prediction == "nearest_center"
    module = WholeText(encoder, predictor._model, layers, by_centers, export.temperature or 1.0)
    return module.eval(), predictor, found


def why_not_whole(export: Export) -> list[str]:
    """Say what of an export no single module of token ids can do; [] for nothing."""
    config, modalities = export.config, list(export.config.encoders.present)
    if modalities != ["text"]:
        return [f"it reads {' and '.join(modalities)}"]
    reasons = []
    if config.keeps_states:
        reasons.append("it pools tokens by itself (pooler none)")
    if config.dialogue.kind != "none":
        reasons.append("it reads other utterances of the dialogue")
    if config.training.prediction == "nearest_anchor":
        reasons.append("it answers by the nearest anchor")
    if config.tuned and not export.provenance.get("merged") and config.tuned["text"].mode == "lora":
        reasons.append("its adapters are apart (--merge adds them into the weights)")
    if is_export(config.encoders.only[1].backbone):
        reasons.append("its encoder is another export")
    if is_given(config.encoders.only[1]):
        reasons.append("it reads features that others extracted")
    return reasons


def samples(export: Export, found: BackboneFolder, texts: Sequence[str] = TEXTS) -> list[TokenInput]:
    """Tokenise texts as `mer.load(...).predict` does."""
    config = export.config.encoders.text
    assert isinstance(config, TextEncoderConfig)
    tokenizer = turn_tokenizer(found, config)
    rows = windows(
        [as_dialogue([(SOMEBODY, text)], name=f"text {i}") for i, text in enumerate(texts)],
        past=config.context.past,
        future=config.context.future,
        speaker=config.speaker,
    )
    return [tokenizer.window(row) for row in rows]


def batch(inputs: Sequence[TokenInput], pad: int) -> dict[str, Tensor]:
    """Pad inputs to the arguments of `WholeText.forward`. Args: pad: token id of the encoder's padding."""
    longest = max(len(one.ids) for one in inputs)
    ids_NT = torch.full((len(inputs), longest), pad, dtype=torch.long)
    real_NT, pooled_NT = torch.zeros_like(ids_NT), torch.zeros(len(inputs), longest)
    for row, one in enumerate(inputs):
        ids_NT[row, : len(one.ids)] = torch.tensor(one.ids)
        real_NT[row, : len(one.ids)] = 1
        pooled_NT[row, one.start : one.end] = 1.0
    return {"input_ids": ids_NT, "attention_mask": real_NT, "pooled": pooled_NT}


def answers_of(export: Export, outputs_NC: Tensor) -> Tensor:
    """Turn outputs into what a prediction holds: probabilities of classes or labels, or numbers."""
    if export.kind == "regression":
        return outputs_NC
    return outputs_NC.softmax(dim=1) if export.kind == "class" else outputs_NC.sigmoid()


def answers_to(predictor: Predictor, texts: Sequence[str]) -> Tensor:
    """Ask the export itself: probabilities, or numbers, (N, C)."""
    return torch.tensor([list((one.numbers or one.probabilities).values()) for one in predictor.predict(list(texts))])


def tolerance_of(export: Export) -> float:
    """Return how far the answers of one module in float32 may be from those of `mer.load`."""
    encoder = export.config.encoders.only[1]
    whole = encoder.mode != "frozen" and encoder.first_tuned is None and encoder.dtype == "float32"
    return EXACT if whole else ROUNDED


def require_equal(where: str, ours: Any, theirs: Any, tolerance: float) -> float:
    """Compare outputs or answers. Returns: the largest difference. Raises: MerError when it is above the tolerance."""
    ours, theirs = torch.as_tensor(ours), torch.as_tensor(theirs)
    largest = float((ours - theirs).abs().max())
    if not largest <= tolerance * max(1.0, float(ours.abs().max())):
        raise MerError(
            where, f"outputs differ by up to {largest:.3g}; nothing was written", allowed=f"at most {tolerance:g}"
        )
    return largest
