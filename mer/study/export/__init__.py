"""Write a trial as a folder that loads anywhere.

write            from a study to exported folders: rebuild, compare, write, register
choose           which trials are exported, and to which folders
trained_weights  a trial's best epoch as its worker left it
contents         weights, preprocessing and provenance of an export
merge_adapters   adapters added into the weights that they change
model_card       README.md of an export
card_facts       facts that the model card states
card_metadata    YAML front matter of the model card
peft_snippet     Python code of the model card that runs an adapter in plain peft
"""
