"""A trial of a study as a folder that loads anywhere.

    choose            which trials, and the folder of each
    trained_weights   the best epoch that a trial's worker wrote
    one_fold          the model of one fold, where a trial has several
    dev_features      features on which export and trial are compared
    contents          weights, preprocessing, provenance and backbone files of an export
    merge_adapters    adapters added into the weights that they change
    decisions         thresholds and temperature, fitted to dev
    data_check        what a check says of the data, for provenance and card
    machine_paths     places of this machine left out of what is shared
    markdown          tables of the card
    card_facts        statements of the model card about trial, dataset and backbone
    card_metadata     the card's YAML front matter, read by the Hugging Face hub
    card_calibration  the card on probabilities and the temperature
    card_use          the card on install, loading, the adapter without mer
    card_limits       the card on intended use, limits, bias
    card_on_test      the card on test, over seeds; evaluation.json
    peft_snippet      the card's code that runs a text adapter without mer
    model_card        README.md of the export
    facts_again       the facts of a card, read back from an export
    amend_card        test scores added to an export and its card
    whole_text        a text export as one module: token ids in, class scores out
    onnx_graph        it as an ONNX graph
    for_transformers  it as a folder that AutoModelForSequenceClassification opens
    other_forms       both added to an export
    push              an export on the model hub
    as_space          the search space whose only point is a trial's configuration
    same_scores       the exported model must repeat the trial's dev scores
    ensemble          several exports as one folder that answers with their mean
    ensemble_card     README.md of an ensemble
    write             one export from beginning to end, and its entry in MLflow

`python -m mer.export STUDY` runs it.
"""
