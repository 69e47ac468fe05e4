"""Kill, freeze and starve a running study for real, go on with it, and compare with a study that nobody disturbed.

`python -m benchmarks.kills --n 500` does so at random, from seeds; tests/ray does it at chosen moments.

workshop     a small corpus, its features, a search space, and the command that runs it
commands     commands as processes: typed, or forked from a process that has imported everything
fork_server  that process
worker_fork  Ray workers and helpers forked from processes that have imported everything
ray_nodes    Ray nodes of our own on loopback addresses
mlflow_http  an MLflow server that can be stopped and started
stage        what studies share: a cluster, a file system of their own, their undisturbed twin
disturb      what is done to a running study
plan         which disturbances a seed means, and when they come
play         one study from its first command to its last
snapshot     what is left of a study: journal, histories, records, files
judge        two snapshots compared: lost, doubled, incomplete
outcomes     results of many studies on disk, and their table
"""
