"""The feature cache on disk: content-addressed safetensors files, whole, refused, or absent.

From the top down; each imports only from those below it.

    upkeep        list, verify, gc
    feature_file  the file of one split: its tensors, its checks, its place
    shards        parts of an unfinished extraction, which survive a kill
    sequences     ragged rows for tuned encoders, as three plain arrays
    key           the hash of everything that decides the numbers of a file
    tensors       safetensors with one JSON header of ours and a checksum
"""
