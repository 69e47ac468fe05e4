"""A simulated world in which the code of `mer.tune` runs without Ray, MLflow, torch's training or waiting.

study           a study's command, run again and again in one folder
kinds           the studies: one worker, several, packs
faults          what goes wrong, and when
stand_ins       puts the simulated world in the place of the real one, and takes it away again
files           the file layer: every operation below one folder may fail
tensors         safetensors through that layer
mlflow_client   MLflow's client: every call may fail, or its answer is lost
mlflow_server   what the server keeps
cluster         Ray: nodes with workers that come, compute and go
placed          what a cluster has running
training        what a trial learns: numbers that follow from one another
thread_modules  what the modules threading and queue are in it
threads         threads of which one runs at a time
clock           time that passes when somebody waits
processes       processes that die
"""
