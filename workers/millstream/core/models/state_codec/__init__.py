"""The state of a learner as bytes, from which it is restored to the last bit.

`capture` copies the state of a live learner, and the worker's loop waits for it. The rest,
`Captured.to_bytes` and `restore_into`, can run in another thread. Models whose every part is listed
in `class_table` become plain JSON, which holds data alone and outlives a release of River;
any other is pickled, and readable only while the libraries stay the same.
"""

from millstream.core.models.state_codec.codec import Captured, StateForm, capture, restore_into
from millstream.core.models.state_codec.errors import BadStateError, CannotCaptureError
from millstream.core.models.state_codec.json_form import plain_from_json, plain_to_json

__all__ = [
    "BadStateError",
    "CannotCaptureError",
    "Captured",
    "StateForm",
    "capture",
    "plain_from_json",
    "plain_to_json",
    "restore_into",
]
