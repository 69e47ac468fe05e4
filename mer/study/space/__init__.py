"""Read a search space: from a YAML file to a frozen StudySpec, or to every fault of the file in one message.

load       file and overrides -> StudySpec
spec       StudySpec and its parts: objective, budget, sampler, scheduler, resources
params     parameters with ranges and conditions, and the space they form
yaml_file  YAML in which every key knows its line
overrides  `--set key=value`, as if the file had said so
check      points and random draws of a space must be valid trials
keys       dotted keys of a trial's configuration, and pydantic's complaints in those terms
schema     JSON Schema for editors, `--keys` for people
"""
