"""Secrets left out of what is stored: keys, tokens and passwords in commands and in changes of the code.

words       of a command
text        of any other text: each secret in it is replaced by a word
given       what is given to a name: where it begins and ends
values      whether what is given to a telling name is a secret, in code, in files of settings, in prose
names       which names speak of a secret
forms       secrets that are known by their form, whatever name they have
text_kinds  what the files of a patch are

The library for this, detect-secrets, names lines of a repository; it does not mend a text.
"""

from mer.redaction.names import names_a_secret
from mer.redaction.text import without_secrets
from mer.redaction.words import words_without_secrets

__all__ = ["names_a_secret", "without_secrets", "words_without_secrets"]
