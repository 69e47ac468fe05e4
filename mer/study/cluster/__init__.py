"""Run the engine's trials on Ray, on this machine or on a cluster.

trials         Ray Tune set up for one study
tune_hooks     searcher, scheduler and callbacks that lead from Ray Tune to the engine
shared_folder  nodes that do not see the study's folder are left out
node_watch     nodes that leave and join a cluster while a study runs
stall          a line when a study on a cluster waits
socket_folder  a private folder for Ray's sockets, short enough for their names
lost_workers   whether a worker died by itself, or with its node, its Ray or the study
connect_guard  what is to be said when the GCS has died while the driver connects to it
own_ray        what is to be said when the Ray that this driver started has died
connect        a local Ray, or a cluster that is there
leave          Ray is left without ending this process
clip_workers   clips read by several processes during extraction
clip_worker    one of these processes
"""
