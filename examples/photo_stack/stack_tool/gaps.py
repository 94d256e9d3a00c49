"""How long there was no answer."""


def longest_gap(answers, moment):
    """Between two of these times, in their order, the last one before the moment included; None when there are not two."""
    times = [at for at in answers if at < moment][-1:] + [at for at in answers if at >= moment]
    return max((later - earlier for earlier, later in zip(times, times[1:])), default=None)
