"""Dialogue encoders: layers through which utterances read others of their dialogue.

    encoder    the layers that a configuration asks for, on rows of dialogues
    layout     rows laid out as dialogues by turns, and back
    gru        a GRU from the first turn to the last, offline also back
    attention  a transformer layer over turns, with a bias per distance
    graph      a directed graph of turns whose edges know speakers and distances

Rows come dialogue after dialogue and are laid out as (D, U, W). Padding is never read, so no utterance reads another
dialogue, and in setting online none reads a later utterance. Axes are counted from the last one: members of a pack may
stand in front.

Shape suffixes: N utterances, W width, D dialogues, U places of the longest dialogue (query) and K the same (key),
H heads, F distances.
"""

from mer.models.dialogue.attention import AttentionLayer
from mer.models.dialogue.encoder import DialogueEncoder
from mer.models.dialogue.graph import GraphLayer
from mer.models.dialogue.gru import GRULayer
from mer.models.dialogue.layout import FAR, Layout, layout_of, places

__all__ = ["FAR", "AttentionLayer", "DialogueEncoder", "GRULayer", "GraphLayer", "Layout", "layout_of", "places"]
