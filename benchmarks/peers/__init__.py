"""The same study without this project: what a careful user writes with each tool, as its documentation shows.

All train the same head on the same features with the same loop, which is `epochs` of bare_loop, and the same
configurations, in two processes with one thread of torch each. `task` of bare_loop says what they are given.

    bare_loop     a PyTorch loop over the configurations in two processes; nothing is recorded
    plain_optuna  Optuna with TPE in two processes on SQLite, MLflow by hand
    stock_ray     Ray Tune: function API, OptunaSearch, MLflowLoggerCallback
"""
