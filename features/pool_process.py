"""What a process of `features.pool` runs. Each of its imports delays all of its kind: it has but those it needs."""

from __future__ import annotations

import os
import pickle
import sys

from features import stems


def serve() -> None:
    """Read from standard input what is to be done with words, then words, and write the values of each lot.

    All is pickled: a callable from a list of words to a list of values; strings, the words of a lot, one a line; and,
    to standard output, None when all is ready, then the values.
    """
    stems.distributions_checked = True  # whoever asks has done that, which would double the time this takes to begin
    asked, answers = sys.stdin.buffer, sys.stdout.buffer
    try:
        work, values = pickle.load(asked), None
        while True:
            pickle.dump(values, answers)
            answers.flush()
            values = work(pickle.load(asked).split("\n"))
    except EOFError:
        return
    except BrokenPipeError:
        os._exit(1)  # whoever asked is gone: at once, before the interpreter tries to write the rest
    except Exception:
        sys.exit(1)  # what fails here is tried again, and told, where it was asked for
