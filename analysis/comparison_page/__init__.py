"""The page that sets studies and evaluations beside each other.

pairs    paired verdicts on the same utterances, by seeds and by dialogues
outputs  what was predicted, in the form in which it is paired
build    all parts in their order
"""
