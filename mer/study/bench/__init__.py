"""A protocol: corpora x feature sets x methods, each a study that is searched, ranked again, exported and evaluated.

    run          the whole protocol, one cell after another, each in a process of its own
    cost         what a protocol would take, without running it
    one_cell     one cell from its search to its scores on test
    reproduce    a claimed number against what is got here
    process      the process of a cell: it takes signals through the command, and ends with it
    state        files of a protocol's folder: how its cells stand
    cells        the cells of a protocol, each with the search space of its study
    claim        cards of claimed numbers
    compose      the parts of a protocol put together into the search space of a cell
    protocol     what a protocol may say
    yaml_models  YAML files as pydantic models, every fault with its line

Shipped protocols lie in `protocols/`, shipped cards in `cards/`. `python -m mer.bench PROTOCOL` and
`python -m mer.reproduce CARD` run them.
"""
