"""The page that sets studies and evaluations beside each other.

pairs  paired verdicts on the same utterances, by seeds and by dialogues
build  all parts in their order
"""
