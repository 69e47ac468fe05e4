"""mer: hyper-parameter search for multimodal emotion recognition in conversation, on Ray Tune.

`mer.load(DIR)` opens an exported model, `mer.load("ORG/NAME")` one of the model hub.

Commands, each also `python -m mer.COMMAND`:
    cli               `mer COMMAND`: the list of all commands
    tune              run a study
    extract           extract a study's features ahead of it
    export            write a trial as a folder that loads anywhere
    evaluate          train an export's configuration with several seeds and score test once per seed
    bench             run a protocol: corpora x feature sets x methods, in one table
    reproduce         a published number against what is got here
    completion        a script by which a shell completes the commands
    demo              try an export by hand on a page of this machine
    predict           label texts, clips or standard input with an export
    verify            run a trial again and compare every number
    store             list, check and clean up the weights that studies keep
    ui                open MLflow's pages on the store of the studies

Parts, from the top down: each imports from those below it only.
    study             a search over trials: space, search, folder, tracking, export, evaluation
    teacher_stages    hidden states of a teacher's encoder, cached like its outputs
    model_outputs     outputs of an exported model, cached like the features of a backbone
    predictor         an exported model that labels texts and clips
    training          the epoch loop of one trial
    statistics        intervals and tests over seeds and dialogues
    naming            names of methods and checkpoints in the reference project's style
    models            heads, fusions and tuned encoders
    losses            objectives of training
    features          outputs of frozen encoders, extracted once and cached
    data              datasets, their clips, and the generated sample corpus
    checkpoints       tensor files, and the store that keeps equal ones once
    config            the configuration of one trial
    cli_app           launching of typer commands, and their --debug option
    console           how commands speak: quiet libraries, one message per fault, exit codes
    locks             locks between processes, also where the file system has none
    loopback          servers of ours listen on this machine only
    model_hub         the Hugging Face hub: whether it can be asked, what it answered
    redaction         secrets left out of what is stored
    files             files that are whole or absent
    io_faults         which refusals of the system are the machine's fault, and patience with them
    read_yaml         YAML of bounded size and depth, as plain values
    places            `~` and variables of the environment in paths
    folder_kinds      the file by which a study, and an export, is recognised
    progress          progress bars
    tensor_header     names, types and shapes in a safetensors file, before a library maps it
    read_files        regular files only, of bounded size; JSON that is as its reader expects it
    terminal          what goes to a terminal, a log or a spreadsheet, and what a terminal sends
    agreement         how well numbers agree, in arithmetic that scores and their intervals share
    tensor_math       arithmetic of tensors that models and losses share
    torchaudio_guard  torchaudio beside a CPU-only torch
    validation_words  what pydantic allows, in our words
    errors            faults that a user can mend
"""

from typing import Any

from mer import torchaudio_guard

__version__ = "0.1.0"

torchaudio_guard.install_if_needed()


def __getattr__(name: str) -> Any:
    """`mer.load`, imported when it is first asked for: `import mer` stays cheap."""
    if name == "load":
        import importlib

        return importlib.import_module("mer.predictor.opening").load
    raise AttributeError(f"module 'mer' has no attribute {name!r}")
