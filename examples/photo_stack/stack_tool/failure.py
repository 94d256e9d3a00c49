"""What the command says and ends with, instead of a traceback."""


class StackFailed(Exception):
    """Something that its user can do something about: one sentence that says what."""
