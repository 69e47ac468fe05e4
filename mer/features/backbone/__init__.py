"""Pretrained backbones of any modality: where their files lie, how they are loaded, and how they run in parts.

Nothing in here knows a modality: `text`, `audio` and `video` stand on it.

    wiring        how a backbone is built without weights, entered at a hidden state, and run from there
    loading       pretrained weights through transformers: quietly, and whole or not at all
    arithmetic    float32, or half precision by autocast
    layers        the hidden states that a head reads
    clip_encoder  the interface between a backbone of media files and their extraction
    files         a backbone's folder, its configuration, and the hashes of its files
    content       what such a folder may hold: no code, no pickles, no way out, no size that no encoder has
    hub           snapshots of the Hugging Face hub: cached, downloaded, or refused with one message
    conversion    the command that makes safetensors of pickled weights
    hash_memo     SHA-256 of large files, remembered by path, size and time of change
"""
