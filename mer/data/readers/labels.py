"""Label names in the order of their numbers. Public projects use other orders, so our files hold the names too."""

from __future__ import annotations

MELD_EMOTIONS = ("neutral", "joy", "sadness", "anger", "fear", "disgust", "surprise")
MELD_SENTIMENTS = ("neutral", "positive", "negative")

# EmoryNLP's wheel of emotions: neutral, then the pleasant ones, then the unpleasant ones.
EMORYNLP_EMOTIONS = ("neutral", "joyful", "peaceful", "powerful", "sad", "mad", "scared")

# In the order of the emotion codes 01 to 08 in RAVDESS's file names.
RAVDESS_EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")

# MELD's sentiment follows from its emotion, except for surprise, which is about half positive and half negative.
SENTIMENT_OF_EMOTION = {
    "neutral": "neutral",
    "joy": "positive",
    "sadness": "negative",
    "anger": "negative",
    "fear": "negative",
    "disgust": "negative",
}
