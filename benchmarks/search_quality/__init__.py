"""Compare the search of packed and unpacked studies over seeds, without training: python -m benchmarks.search_quality

landscape  dev scores of any configuration, fitted to recorded trials on MELD
simulate   a study on a simulated clock: ledger, sampler, early stopping and slots are the real ones
compare    packed against unpacked by seed, at equal trials and at equal wall time
"""
