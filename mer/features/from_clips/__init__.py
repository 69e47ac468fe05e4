"""From clips to features: sound and video files become rows of a feature file, or live input of a model.

From the top down; each imports only from those below it.

    live                 features or sequences of clips that belong to no dataset
    unpooled             hidden states of each step of time, for models that pool by themselves
    sequences            raw input or hidden states for a tuned encoder
    pooled               pooled hidden states of a frozen backbone, or statistics of the signal
    sequence_extraction  many clips for a tuned encoder, or unpooled, put together on the disk
    states               one clip for a tuned encoder: raw input, or hidden states of its frozen layers
    extraction           many clips: probed, batched by length, decoded ahead, in shards
    decode_ahead         work done in threads ahead of its consumer
"""
