"""The page about one study, part by part. Each part says in words what it cannot show.

marks        how a trial is drawn and named, in every plot
result       the result in one sentence, against trial 0, guessing, and the luck of a search
history      the value of each trial over its number
top          the first screen: result, picture, best setting, next command
trials       the leaderboard, and the best against trial 0 and guessing
reranked     the best trials over seeds, where they were ranked again
curves       learning curves
parameters   importance, slices, the two most important, ranges that were too narrow
parallel     every trial across all parameters
classes      confusion, per class, calibration
targets      numbers against outputs, and labels, in the place of classes
two_classes  of a study with two classes: ROC, precision and recall
utterances   a map of dev, and its hardest dialogues
running      workers over time, costs, failures
facts        facts, how to run it again, what belongs to the study
build        all parts in their order
"""
