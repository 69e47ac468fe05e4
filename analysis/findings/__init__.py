"""What the numbers of a study support, and what they do not.

chance      what guessing reaches, and how far chance alone moves a score
luck        what the best of many equal settings would seem to gain
front       which trials no other beats on every objective
importance  which parameters matter
advice      ranges that were too narrow, where widening makes sense
utterances  calibration, a map of the utterances, and what is hardest
costs       where the time went, and what early stopping saved
"""
