"""Sound and pictures: from a path in a data file to samples and frames, with every fault said in words.

    paths       where a clip lies, by its id, whatever its ending; a path may not leave the data folder
    files       a clip's file before it is opened: regular, not empty, no stand-in such as a Git LFS pointer
    audio       any sound file, or a video's sound, as 16 kHz mono samples
    video       any video, or a folder of images, as evenly spaced RGB frames
    av_capture  pictures by PyAV where OpenCV has no decoder: AV1
    track       the sound track of a container, by PyAV: which one, mixed to one channel
    mixer       decoded frames of any rate and number of channels to one channel at 16 kHz
    channels    how several channels become one: loudness, opposite phase
    demux       containers opened by PyAV: durations, FLAC writing
    notices     silence, sound too short, no sound track: typed, found again in a clip's notes and faults
    faults      the exceptions for a clip that is absent or cannot be used

Importing this package imports none of the decoding libraries.
"""

from mer.data.media.faults import MediaAbsent, MediaFault
from mer.data.media.paths import ClipFinder, FoundClip, clip_path

__all__ = ["ClipFinder", "FoundClip", "MediaAbsent", "MediaFault", "clip_path"]
