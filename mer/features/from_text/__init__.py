"""From texts to features: windows of dialogue turns become rows of a feature file, or live input of a model.

From the top down; each imports only from those below it.

    live       features or sequences of texts that belong to no dataset
    unpooled   hidden states of single tokens, for models that pool by themselves
    sequences  token ids or hidden states for a tuned encoder
    pooled     pooled hidden states of a frozen backbone
    request    one split read by one backbone in one way, and the ingredients of its key
"""
