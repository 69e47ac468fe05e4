"""The page about one evaluation: test scores over seeds.

scores       seeds, mean, intervals and comparisons
folds        each fold's test part, and both spreads
classes      confusion and F1 per class over seeds
calibration  how sure against how often right, and the temperature that dev chose
thresholds   test at the decision thresholds that dev chose
targets      numbers against outputs, and labels, over seeds
corpora      scores on other corpora
build        all parts in their order
"""
