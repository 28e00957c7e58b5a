"""What a model has learned, as bytes that give it back to the last bit.

`capture` copies the state of a live learner: that is what the worker's loop waits for. The rest,
`Captured.to_bytes` and `restore_into`, can run in another thread. Models whose every part is listed
in `table` become plain JSON, which holds data alone and outlives a release of River; any other is
pickled, which holds only as long as the libraries stay the same.
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
