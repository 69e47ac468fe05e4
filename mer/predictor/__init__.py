"""An exported model at work: text or clips in, labels and probabilities out.

    import mer
    model = mer.load("exports/spcl")
    print(model.predict(["Oh my God!"])[0].label)           # a model that reads text
    print(model.predict_clips(["a.flac"])[0].label)         # one that hears, or sees

Needs torch, transformers and safetensors; no ray, optuna or mlflow. From the top down:

    opening       an export and its backbones become a Predictor; what was altered is refused
    ensemble      several of them that answer together
    predictor     texts, dialogues, clips or all of them become predictions
    answers       what every predictor can be asked, made of that
    scorer        features become class scores and representations
    given_places  where the features of new utterances lie, for models that read features of others
    unlike        whether such features look like those of the training
    weights_fit   whether the weights are those of the configuration, before memory is taken for them
    conversation  a dialogue made turn by turn, and what the model says of each turn
    demo_page     the page of `python -m mer.demo`, drawn by gradio
    demo_answers  what that page shows of an answer
    request       what `python -m mer.predict` was asked for: options, utterances, clips
    output        predictions as lines, JSON lines or CSV
    prediction    one utterance's label, its probabilities, and why it may be an answer from nothing
"""
