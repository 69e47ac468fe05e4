"""Self-attention and cross-attention over modalities equal slow literal versions: only the tokens that are there."""

from __future__ import annotations

import pytest
import torch
from fusion_cases import batch, build, every_subset
from test_models_fusion_formulas import attend, close, layer_norm, linear, rows, token
from test_models_fusion_published import gelu, pre_norm_layer


@every_subset
@pytest.mark.parametrize("read", ["token", "mean"])
@torch.no_grad()
def test_self_attention_is_a_transformer_over_what_is_there(read, modalities):
    fusion, (parts, present_BM) = build("self_mean", modalities, read=read), batch(modalities)
    expected = []
    for x, there in rows(parts, present_BM, modalities):
        tokens = [token(fusion.tokens.inputs, m, x[m], True) for m in modalities if there[m]]
        tokens = [fusion.fuse_token_D, *tokens] if read == "token" else tokens
        for layer in fusion.layers:
            tokens = pre_norm_layer(layer, tokens)
        expected.append(layer_norm(fusion.norm, tokens[0] if read == "token" else sum(tokens) / len(tokens)))
    close(fusion(parts, present_BM).h_BD, expected)


@every_subset
@torch.no_grad()
def test_cross_attention_adds_what_the_guide_takes_of_the_others(modalities):
    fusion, (parts, present_BM) = build("cross", modalities), batch(modalities)
    expected = []
    for x, there in rows(parts, present_BM, modalities):
        guide = token(fusion.tokens.inputs, modalities[0], x[modalities[0]], there[modalities[0]])
        others = [token(fusion.tokens.inputs, m, x[m], True) for m in modalities[1:] if there[m]]
        for layer in fusion.layers:
            if others:
                keys = [layer_norm(layer.keys_norm, other) for other in others]
                guide = guide + attend(layer.attention, layer_norm(layer.norm, guide), keys)
            norm, wide, _, _, back = layer.feed_forward
            guide = guide + linear(back, gelu(linear(wide, layer_norm(norm, guide))))
        expected.append(layer_norm(fusion.norm, guide))
    close(fusion(parts, present_BM).h_BD, expected)
