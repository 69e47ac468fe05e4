"""Studies in a simulated world in which files, MLflow and machines fail: python -m benchmarks.faults

world       the simulated world: the product's own code between made-up time, threads, files, MLflow and Ray
picture     all that a study leaves behind, and what differs from another's picture
case        a study under a plan of faults, resumed until it is done, compared with one without faults
exhaustive  every operation fails once, in every way
luck        faults at random, all from one seed
show        tables of what became of the cases
"""
