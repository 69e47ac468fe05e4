"""A part of a backbone is a part of the whole, for every family."""

from __future__ import annotations

import pytest
import torch
from tuning_lab import checksum, read_only

from mer.config import TextEncoderConfig
from mer.errors import MerError
from mer.features.backbone.files import BackboneFolder
from mer.features.partial import PartialBackbone, base_weights
from mer.features.text.pretrained import load_text_model

TEXT = TextEncoderConfig()
FAMILIES = ["bert", "roberta", "mpnet", "deberta", "modernbert"]
IDS_BT = torch.tensor([[5, 9, 23, 7, 40, 6], [8, 30, 11, 6, 0, 0]])
REAL_BT = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]])


@pytest.mark.parametrize("family", FAMILIES)
@torch.inference_mode()
def test_the_parts_give_what_the_whole_gives(lab, family):
    found = lab.found(family, 4)
    whole = load_text_model(found, torch.float32).eval()
    expected = whole(input_ids=IDS_BT, attention_mask=REAL_BT, output_hidden_states=True)
    states = [*expected.hidden_states[:-1], expected.last_hidden_state]
    assert not torch.allclose(states[2], states[4]), "layers that do nothing would prove nothing"
    base = base_weights(TEXT, found)
    for start in (0, 1, 2, 3):
        lower = PartialBackbone(TEXT, found, base, start=None, reads=[start]).eval()
        upper = PartialBackbone(TEXT, found, base_weights(TEXT, found, start), start=start, reads=range(start + 1, 5))
        upper.eval()
        (given,) = lower(IDS_BT, REAL_BT)
        real = REAL_BT.bool()
        torch.testing.assert_close(given[real], states[start][real])
        for read, state in zip(upper.reads, upper(given, REAL_BT), strict=True):
            torch.testing.assert_close(state[real], states[read][real], msg=f"hidden state {read} from {start}")


def test_names_are_those_of_the_whole_model(lab):
    found = lab.found("bert", 4)
    upper = PartialBackbone(TEXT, found, base_weights(TEXT, found, 3), start=3, reads=[4])
    whole = load_text_model(found, torch.float32)
    weights, known = dict(upper.model.named_parameters()), dict(whole.named_parameters())
    assert weights and all(name.startswith("encoder.layer.3.") for name in weights)
    assert all(torch.equal(weight, known[name]) for name, weight in weights.items())


def test_weights_are_used_where_they_lie(lab):
    found = lab.found("roberta")
    base = read_only(base_weights(TEXT, found))
    before = checksum(base)
    one, other = (PartialBackbone(TEXT, found, base, start=None, reads=[2]) for _ in range(2))
    for name, weight in one.model.named_parameters():
        assert (
            weight.data_ptr() == base[name].__array_interface__["data"][0] == other.model.get_parameter(name).data_ptr()
        )
        assert not weight.requires_grad
    assert checksum(base) == before


def test_only_what_lies_above_is_shared(lab):
    names = base_weights(TEXT, lab.found("roberta", 4), 3)
    assert names and all(name.startswith("encoder.layer.3.") for name in names)


def test_a_missing_weight_is_said(lab):
    found = lab.found("roberta")
    base = base_weights(TEXT, found)
    base.pop("encoder.layer.1.output.dense.bias")
    with pytest.raises(MerError, match=r"1 weights were not given, e.g. encoder.layer.1.output.dense.bias"):
        PartialBackbone(TEXT, found, base, start=None, reads=[2])


def test_a_family_without_a_list_of_layers_is_refused(tmp_path):
    import transformers as hf

    config = hf.AlbertConfig(
        vocab_size=60, embedding_size=8, hidden_size=16, num_hidden_layers=3, num_attention_heads=2
    )
    hf.AlbertModel(config).save_pretrained(tmp_path)
    with pytest.raises(MerError, match="'albert' cannot be tuned: 0 lists of 3 layers") as refused:
        base_weights(TEXT, BackboneFolder("albert", tmp_path))
    assert "encoders.text.mode: frozen" in refused.value.message
