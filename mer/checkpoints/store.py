"""Transparent model storage: identical tensors files are stored once and linked into place.

    studies/
      .store/ab/abcdef....safetensors      an object: read-only, named by the SHA-256 of its bytes
      spcl/trials/00042/best.safetensors   -> ../../../.store/ab/abcdef....safetensors

Every folder looks whole, every reader opens files as before, and `cp -rL` makes a whole copy anywhere.

Only files that are equal byte for byte are shared, so whatever varies from trial to trial is kept out of them:
publishing a checkpoint moves its JSON card into a sidecar (`split_card`), and `save_tensors(..., parts=...)` writes
frozen tensors to a file of their own.

Publishers need no coordination: an object appears by rename, then a link by rename, and a kill in between leaves a
file that nobody needs. Only `gc` must see a picture that stands still: it holds the store's lock exclusively, and
publishers share it. It also leaves alone every file that is younger than a grace time.
"""

from __future__ import annotations

from mer.checkpoints.publish import Publisher
from mer.checkpoints.upkeep import Upkeep


class Store(Publisher, Upkeep):
    """The content-addressed store of one studies folder: `publish`, `moving`, `du`, `verify` and `gc`."""
