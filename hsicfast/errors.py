"""The one error that speaks to a person."""


class InputError(ValueError):
    """Input that breaks a stated rule.

    Its text is one sentence: the rule, the value that broke it, the way out. Programs catch it as a
    ``ValueError``; the command line prints the text alone.
    """
