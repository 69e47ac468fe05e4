"""Keep a study's folder: who may use it, what a trial leaves in it, how its trials stand.

claim             when a folder may be made, reused or put aside
lock              one driver per study
read_study        a study read from its folder
standings         state and rank of trials
artifacts         tables, predictions and the picture of a trial that has ended
recorded          what a trial recorded, read and checked
confusion_svg     picture of a confusion matrix
scatter_svg       picture of predicted numbers against true ones
leftovers         what killed processes left, found and swept
weight_retention  which weights are kept
environment       code, packages and machine of a run
"""
