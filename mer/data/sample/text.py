"""The words of the generated corpus. Topics, people and times are the same for every emotion, so they reveal none."""

from __future__ import annotations

import random
import re

from mer.data.sample.plan import PlannedUtterance, pick

SLOTS: dict[str, tuple[str, ...]] = {
    "thing": (
        "the concert", "the new flat", "that phone call", "the neighbours' party", "the exam", "my sister's wedding",
        "the train ride", "the letter", "our garden", "the soup", "the job interview", "this old piano", "the picnic",
        "the boat trip", "the parcel", "their kitchen", "the museum", "the rehearsal", "the bakery", "your haircut",
    ),
    "who": (
        "my brother", "your aunt", "the landlord", "our teacher", "the doctor", "my cousin", "the new guy",
        "your boss", "the lady next door", "my old coach", "the plumber", "grandpa",
    ),
    "when": (
        "today", "this morning", "last night", "after lunch", "on Tuesday", "a minute ago", "before dinner",
        "over the weekend", "at noon", "yesterday",
    ),
}  # fmt: skip

LINES: dict[str, tuple[str, ...]] = {
    "neutral": (
        "I was going to ask {who} about {thing}.",
        "So {who} called {when} about {thing}.",
        "Did you talk to {who} {when}?",
        "I think {thing} is on the list for {who}.",
        "We could go over {thing} again, if you have time.",
        "Well, {who} said something about {thing} {when}.",
        "Okay, let me write that down for {who}.",
        "{thing} starts at about seven, as far as I know.",
        "I put the notes on {thing} next to your bag {when}.",
        "And then {who} asked me about {thing}.",
        "You can leave it with {who}, that's what I did {when}.",
        "Is this about {thing}, or about {who}?",
    ),
    "joy": (
        "I'm so happy about {thing}!",
        "Yay, {who} loved {thing}, this is wonderful!",
        "That's the best news I've heard {when}, congratulations!",
        "Ha, {thing} was so much fun {when}!",
        "Oh, I love it, {thing} turned out beautiful!",
        "We did it, {who} said yes to {thing}, hooray!",
        "I can't stop smiling since {who} told me about {thing}.",
        "You're the sweetest, {thing} made me laugh so hard {when}!",
        "What a lovely evening, thank you for {thing}!",
        "I'm thrilled, {who} is coming, let's celebrate!",
    ),
    "sadness": (
        "I'm so sorry, {who} isn't coming back.",
        "I cried about {thing} {when}.",
        "I really miss {who}, everything feels so empty.",
        "It breaks my heart that {thing} is over.",
        "I feel so alone since {who} left {when}.",
        "I'm just sad, {thing} used to mean so much to me.",
        "We lost {thing}, and there is nothing left to hope for.",
        "{who} died {when}, I can't stop crying.",
        "It hurts, I wish I had said goodbye to {who}.",
        "I've been so unhappy ever since {thing}.",
    ),
    "anger": (
        "I'm so mad at {who} right now!",
        "How dare you talk about {thing} like that!",
        "Get out, I've had enough of {who} and {thing}!",
        "You lied to me about {thing}, you idiot!",
        "Stop it, leave {thing} alone, damn it!",
        "I hate that {who} ruined {thing} {when}!",
        "It's your fault that {thing} went wrong, I'm furious!",
        "Shut up, {who} had no right to do that {when}!",
        "That's so unfair, {who} stole {thing} from me!",
        "Don't you ever yell at {who} again, you jerk!",
    ),
    "fear": (
        "I'm scared, something is wrong with {who}.",
        "Please don't leave me alone here with {who}, I'm terrified!",
        "Oh no, oh no, {who} is going to kill us!",
        "I'm so nervous about {thing}, my hands are shaking.",
        "Watch out, hide, I heard someone behind {thing}!",
        "I'm afraid of what {who} might do to us.",
        "Help, I think we're in danger because of {thing}!",
        "I panicked {when}, I was frightened to death.",
        "What if {who} finds us? I'm really worried.",
        "I had a nightmare about {thing} {when}, I don't dare to go.",
    ),
    "disgust": (
        "Ew, {thing} smells like rotten fish!",
        "That's disgusting, {who} licked the spoon {when}.",
        "Yuck, there was hair and slime all over {thing}!",
        "I'm going to throw up, {thing} was so gross {when}.",
        "Eww, don't touch that, {who} sneezed on it!",
        "That is revolting, get that dirty thing away from me.",
        "{who} picked his toenails {when}, how nasty!",
        "Ugh, {thing} makes me sick to my stomach.",
        "It tastes horrible, like mould and old socks.",
        "That's just filthy, {who} never washes {thing}.",
    ),
    "surprise": (
        "Oh my God, {who} did what {when}?!",
        "Wow, I didn't expect {who} to be here!",
        "What?! {who} bought {thing}?",
        "Really? You're kidding, {thing} was {when}?",
        "No way, I can't believe {who} won {thing}!",
        "Wait, what? Since when does {who} know about {thing}?",
        "Are you serious? I had no idea about {thing}!",
        "Whoa, where did {who} come from all of a sudden?",
        "You what?! I thought {thing} was next year!",
        "That's unbelievable, who would have guessed that about {who}?",
    ),
}
# openers are the same for all emotions too: they only make lines differ
OPENERS = ("", "", "", "", "Listen, ", "You know, ", "Look, ", "I mean, ", "Guys, ", "Hey, ", "Okay, ", "So, ")


def words(utterance: PlannedUtterance, rng: random.Random) -> str:
    """Make a line of the emotion if the text shows it, else a neutral one; with curly quotes, as in MELD."""
    line = pick(rng, LINES[utterance.emotion if "text" in utterance.shows else "neutral"])
    opener = pick(rng, OPENERS)
    filled = re.sub(r"\{(\w+)\}", lambda slot: pick(rng, SLOTS[slot[1]]), line)
    if opener and not re.match(r"I\b", filled):
        filled = filled[0].lower() + filled[1:]
    return _sentence_case(opener + filled).replace("'", "’")


def _sentence_case(text: str) -> str:
    return text[0].upper() + text[1:]
