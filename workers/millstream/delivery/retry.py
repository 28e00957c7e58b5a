"""Waiting for brokers: retries, calls that outlast an outage, and leaving the group."""

import logging
import time
from collections.abc import Callable, Sequence
from threading import Event
from typing import Final

from confluent_kafka import KafkaException, Producer, TopicPartition

from millstream.delivery.publisher import Aborted
from millstream.errors import Stop
from millstream.kafka.call_timeout import CallWithTimeout, call_with_timeout
from millstream.kafka.group_consumer import GroupConsumer
from millstream.kafka.producer import ROOM_SECONDS

_log = logging.getLogger(__name__)

COMMIT_SECONDS: Final = 60.0
"""How long a commit may be unanswered while brokers answer. A broker that was frozen and resumes
answers within seconds."""
LEAVE_SECONDS: Final = 20.0
"""How long a consumer may take to close if it might never return: enough for last snapshots."""
BEAT_SECONDS: Final = 0.5


class RetryPolicy:
    """Limits of waiting for brokers: the worker's end, and the longest outage."""

    def __init__(
        self,
        stopping: Event,
        beat: Callable[[], None],
        silence: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """`beat`, a sign of life, may raise `Stop`; `silence`: seconds since a broker answered."""
        self._stopping = stopping
        self._beat = beat
        self._silence = silence

    def wait(self, producer: Producer, reason: str) -> None:
        """Wait before a call is repeated; raises `Stop` if the worker is stopping."""
        self._check_stopping(reason)
        producer.poll(ROOM_SECONDS)

    def call(self, call: Callable[[], None], what: str) -> None:
        """Make a call that may last as long as an outage, with signs of life meanwhile.

        Raises what it raises; `Stop` where the worker is stopping, the outage lasts too long, or
        the call does not return though brokers answer. `what` names it in that message.
        """
        pending, since = CallWithTimeout(call), time.monotonic()
        while not pending.returned(BEAT_SECONDS):
            since = self.check(since, what)
            if time.monotonic() - since > COMMIT_SECONDS:
                raise Stop(
                    f"{what} has had no answer for {COMMIT_SECONDS:g} s though brokers answer, and "
                    "the client cannot be asked anything else: start the worker again; it goes on "
                    "where it was"
                )

    def check(self, since: float, what: str) -> float:
        """Give a sign of life while an answer is awaited; returns since when brokers owe it.

        `since`: the previous return value, on the monotonic clock; it restarts while brokers are
        silent. Raises `Stop` where they are, and the worker is stopping or they are for too long.
        """
        if self._silence() > 0:
            self._check_stopping(f"{what} is not answered")
            return time.monotonic()
        self._beat()
        return since

    def _check_stopping(self, reason: str) -> None:
        if self._stopping.is_set():
            raise Stop(
                f"stopped while Kafka did not answer ({reason}): the open batch does not count, "
                "and is worked off again at the next start"
            )
        self._beat()


def commit_offsets(
    consumer: GroupConsumer, offsets: Sequence[TopicPartition], retry_policy: RetryPolicy
) -> None:
    """Commit as a member of the group; raises `Aborted` where the group refuses that.

    The call has no time-out: it lasts as long as the coordinator is silent. Until it returns,
    nothing else can be asked of the consumer, not even to close: confluent-kafka (2.16) waits.
    """
    if not consumer.memberid():
        raise Aborted("this worker is no member of its group at present")

    def commit() -> None:
        consumer.commit(offsets=list(offsets), asynchronous=False)

    try:
        retry_policy.call(commit, "a commit of offsets")
    except KafkaException as raised:
        raise Aborted(f"the offsets were not committed: {raised.args[0].str()}") from raised


def check_member(consumer: GroupConsumer, member: str) -> None:
    """Raise `Aborted` unless the consumer is still the member of its group with that id."""
    if not member or consumer.memberid() != member:
        raise Aborted("this worker is no longer the member of its group that it was")


def leave_group(consumer: GroupConsumer, *, bounded: bool) -> None:
    """Close a consumer, so that others take over; its rebalance callbacks are called meanwhile.

    `bounded`: give up after `LEAVE_SECONDS`, because brokers are silent or a call of the consumer
    never returned. The group then notices when the session times out.
    """
    if not call_with_timeout(LEAVE_SECONDS if bounded else None, consumer.close):
        _log.warning("the group could not be left in good order", extra={"waited": LEAVE_SECONDS})
