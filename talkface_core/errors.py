"""The one error type for wrong input: the message is a single line that says what to change."""


class InputError(ValueError):
    """Input that the user can mend: a wrong file, empty audio, an impossible setting.

    The message names what happened, the measured value, the likely cause and what to change.
    The command line prints it and ends with exit status 2; the nodes show it on the canvas.
    """
