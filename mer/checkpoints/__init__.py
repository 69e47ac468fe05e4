"""Weights on disk: tensors files that are whole or absent, with a JSON card; equal ones are stored once. No pickle.

From the top down; each imports only from those below it.

    ensemble_folder   several exports that answer together, as one folder
    export_writing    write, amend or copy an export, whole or not at all
    hub_export        an export by name: a folder here, or ORG/NAME of the hub as a plain folder
    export_folder     one trained model as a folder that loads anywhere
    export_decisions  thresholds and temperature, read back
    export_manifest   which files an export has, with their hashes
    export_parts      the JSON files of an export as models
    store             the content-addressed store of a studies folder: all of its verbs in one class
    publish           move a finished file into the store and leave a link in its place
    upkeep            du, verify and gc of the store
    store_folder      where objects lie, which links count, which folders are watched, the lock
    proven            checkpoints that are checked when they are read, with the one before as a reserve
    tensors           one safetensors file = tensors and a JSON card: save, load
    header            the front of a safetensors file, read and rewritten without touching its tensors
"""

from mer.checkpoints.proven import load_proven, save_proven
from mer.checkpoints.store import Store
from mer.checkpoints.tensors import load_tensors, read_card, save_tensors

__all__ = ["Store", "load_proven", "load_tensors", "read_card", "save_proven", "save_tensors"]
