"""The feature cache on disk: content-addressed safetensors files, whole, refused, or absent.

key           the hash of everything that decides the numbers of a file
feature_file  the file of one split: its tensors, its checks, its place
sequences     ragged rows for tuned encoders, as three plain arrays
shards        parts of an unfinished extraction, which survive a kill
tensors       safetensors with one JSON header of ours and a checksum
upkeep        list, verify, gc
"""
