"""Read a search space: from a YAML file to a frozen StudySpec, or to every fault of the file in one message.

load          file and overrides -> StudySpec
sections      the parts `fixed`, `params` and `points` of a file
overrides     `--set key=value`, as if the file had said so
on_sample     `--sample`: the same space on the generated corpus, in small
check         points and random draws of a space must be valid trials
draws         random draws without Optuna
constraints   bounds between parameters, in a small language
choices       values of a list as Optuna stores them
explain       one key in words: `mer.tune --explain KEY`
schema        JSON Schema for editors, `--keys` for people
spec          StudySpec and its parts: objective, budget, sampler, scheduler, resources
search_space  all parameters of a study: drawn, or listed as a grid
params        parameters with ranges and conditions
keys          dotted keys of a trial's configuration, and pydantic's complaints in those terms
yaml_file     a file in which every key knows its line
"""
