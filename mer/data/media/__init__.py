"""Sound and pictures: from a path in a data file to samples and frames, with every fault said in words.

- `paths`: where a clip lies, and nowhere else            - `faults`: a clip that cannot be used
- `audio`: any sound file to 16 kHz mono                   - `video`: any video to evenly spaced RGB frames
- `demux`: the sound track of a video as a FLAC file

Importing this imports none of the decoding libraries.
"""

from mer.data.media.faults import MediaAbsent, MediaFault
from mer.data.media.paths import clip_path

__all__ = ["MediaAbsent", "MediaFault", "clip_path"]
