"""Run the engine's trials on Ray, on this machine or on a cluster.

trials        Ray Tune set up for one study
tune_hooks    searcher, scheduler and callbacks that lead from Ray Tune to the engine
connect       a local Ray, or a cluster that is there
clip_workers  clips read by several processes during extraction
clip_worker   one of these processes
"""
