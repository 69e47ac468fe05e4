"""Features that others extracted (`backbone: file:PATH`): arrays in files, found by the names of utterances.

    source   a folder of files or one table, behind one door
    folder   one file, or a folder of frames, for each clip
    table    one file that holds all clips
    index    from a name to the place of an utterance's features
    names    under which names the features of an utterance may lie
    which    which of several arrays is meant
    arrays   the named arrays of .npy, .npz, .safetensors and .h5, without pickles
    h5       those of HDF5, by the extra `h5`
    numbers  rows of numbers in CSV
    pooling  frames become one vector
    unfit    what is wrong with a file, in words
    pickled  the plain values of a pickle, which runs nothing
    mmsa     such values become a folder that is read as file:FOLDER

Importing this imports neither torch nor h5py.
"""

from mer.features.given.source import describe

__all__ = ["describe"]
