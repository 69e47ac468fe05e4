"""Features that others extracted become the rows of a feature file, or live input.

placing   where the features of utterances lie, and what is wrong with that
pooled    a vector of each utterance
unpooled  its frames, for models that pool them or read sequences (pooler none)
live      features of utterances that belong to no dataset
"""
