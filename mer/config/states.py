"""Which settings go together with encoders that keep states (pooler none), and with fusions that read them."""

from __future__ import annotations

from collections.abc import Mapping

from mer.config.distill import DistillConfig
from mer.config.encoders import EncoderConfig
from mer.config.fusion import Fusion
from mer.config.losses import HeadConfig, LossConfig, SPCLConfig


def unfit_for_states(
    encoders: Mapping[str, EncoderConfig],
    fusion: Fusion | None,
    distill: DistillConfig | None,
    head: HeadConfig,
    loss: LossConfig,
) -> str:
    """Say what of a configuration does not go together with states, with the way out; "" when all of it does."""
    keeping = [modality for modality, encoder in encoders.items() if encoder.keeps_states]
    reads_them = fusion is not None and fusion.reads_sequences
    if reads_them and fusion is not None:
        kind = f"fusion.kind '{fusion.kind}' reads sequences"
        if distill is not None:
            return f"{kind}, and with distill it would join the students' vectors: choose another kind"
        if encoders and not keeping:
            return f"{kind}: set encoders.*.pooler: none for at least one of {', '.join(encoders)}"
        if loss.cross_modal.weight:
            return f"{kind}, and loss.cross_modal contrasts one vector of each modality: set its weight to 0"
    contrastive = loss.contrastive
    if keeping and (contrastive.kind == "eacl" or getattr(contrastive, "proto_init", "") == "label_text"):
        return (
            f"encoders.{keeping[0]}.pooler 'none': loss.contrastive.kind '{contrastive.kind}' reads the label words, "
            "which are cached for pooled features alone: choose another kind (or proto_init: orthogonal)"
        )
    if keeping and isinstance(contrastive, SPCLConfig) and contrastive.earlier_share:
        return "loss.contrastive.earlier_share needs encoders.text.pooler target, or mask, got none"
    pools = keeping and not reads_them
    for name in ("pool", "pool_hops"):
        found = getattr(head, name)
        if found != type(head).model_fields[name].default and not pools:
            why = (
                f"fusion.kind '{fusion.kind}' reads the states" if keeping and fusion else "no encoder has pooler none"
            )
            return f"head.{name} has no meaning here, got {found}: {why}. Remove it"
    return ""
