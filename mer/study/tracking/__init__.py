"""Record every trial: its files, and a view of them in MLflow that can be made again from the study's folder.

tracker         hears of every event, has files written, and tells the writer; by one thread
trial_files     the driver's files of a trial
writer          the thread that brings MLflow up to date, however long it was away
patience        when a store that takes nothing is asked again
study_record    the runs of a study: opened, brought up to date, closed
run_batch       what is to be written of many runs, in few transactions
sync            the same for a study on which no driver works
command         what `python -m mer.study sync` does and says
differences     how MLflow differs from a study's folder, trial by trial, in words
from_disk       what a study's folder says its runs must hold
outbox          what must be in MLflow, and what MLflow has confirmed, as a note on disk
study_runs      all that is asked of MLflow about one study; a stand-in may replace it
about           what is said of a study beside its numbers: who ran what on which data
shared_view     how MLflow's page of a study opens: trials best first, columns, charts
found_runs      the experiment and the runs of a study, however slowly a server answers
slowness        the one line that is printed when MLflow answers slowly
held            what a run holds, and what it lacks
content         what a run must hold: names, parameters, metrics, tags, status
params          which keys of a configuration a run shows
points          the metrics of a run, point by point, the best epoch's first
exports         an export as a logged model of its trial's run
recorded_store  where a study's record is
quiet_server    the server of `mer.ui`, without what it says of itself
usable          a store in which MLflow could not record a study is refused
server          whether a tracking server is MLflow's, asked in seconds
copied          a copy of a study is told from it where both would write to one server
moved           recorded places follow a folder of studies that was moved or copied
transaction     many calls to MLflow's SQL store as one
store           where a store is, its tags and status words
"""
