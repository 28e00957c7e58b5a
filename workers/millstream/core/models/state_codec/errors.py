"""Errors of the state codec."""

from millstream.errors import MillstreamError


class CannotCaptureError(MillstreamError):
    """The model can be written neither as plain data nor as a pickle; the message says why."""


class BadStateError(MillstreamError):
    """These bytes are not the state of such a learner; the message is one sentence."""
