"""Measure time, memory and scores of this project against simpler ways to do the same. README.md says how to run them.

run                   `python -m benchmarks.run`: suites with peers in the same call, ratios on a quiet machine
suites                what it measures, one file a suite
peers                 the same study written with other tools
options               what a suite is told, and the data that suites share
measure               contestants in turn, medians, ratios, refusal
machine               what the machine is, and how much of it others used
show                  tables on the screen
no_work               a study whose trials train nothing, for suites ray and memory
first_result          time from command to first result, against a bare Ray Tune trial
extraction            clips per second of feature extraction, against a loop over the clips
extraction_memory     memory of an extraction over the number of clips
video_decoding        time to read sixteen frames of a clip with OpenCV, PyAV and torchcodec
layer_split           time per training step with and without cached frozen layers
tuned_steps           steps of a tuned text encoder: cached, live, and with the Hugging Face Trainer
faults                studies in a simulated world in which files, MLflow, workers and nodes fail
kills                 a running study killed, frozen and starved at random, gone on with, and compared: what is lost
search_quality        searches with and without packs, on a simulated clock
hugging_face_trainer  the Trainer's side of `tuned_steps`
random_roberta        a RoBERTa with random weights and its tokenizer, for `tuned_steps`
shared_base           memory of workers that tune one backbone, with its weights shared or not
shared_memory         memory of each further worker that maps the same features
distillation          one merged distillation, against a sequence of runs
missing_modality      dev scores of a fused model over the share of rows that lack a modality
ingredients           what each change of a setting gave on dev, over seeds
logistic_regression   logistic regression and an SVM on cached features, against a study's seeds
"""
