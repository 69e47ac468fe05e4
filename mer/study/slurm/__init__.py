"""Run a study as a job of a SLURM cluster, which is put in the queue again before its time is up.

request  what is asked of the cluster: nodes, time, partition, GPUs
script   the job script: Ray on the nodes, the study, the next round
submit   the script is written and handed to sbatch
node     Ray on one node of a job; run by the script on each

The script is a text that can be read, changed and handed to `sbatch` by hand.
"""
