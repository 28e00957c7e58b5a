"""How things stand in a scene that came to no end."""

import re
from urllib.request import urlopen

from confluent_kafka import KafkaException

from tests.faults.history import Group
from tests.faults.scene import Scene


def describe(scene: Scene) -> str:
    """How things stand, for the report of a cell that came to no end."""
    words = [f"events end at {scene.ends()}, committed is {scene.positions('events')}"]
    if scene.variant.late:
        words.append(f"committed of labels is {scene.positions('labels')}")
    words.append(_transactions(scene))
    for number, worker in scene.workers.items():
        served = re.findall(r"serving .*address=([0-9.:]+)", worker.log_text())
        if not worker.running or not served:
            words.append(f"worker {number} does not run")
            continue
        try:
            with urlopen(f"http://{served[-1]}/metrics", timeout=5) as answer:
                page = answer.read().decode()
        except OSError as error:
            words.append(f"worker {number} does not answer: {error}")
            continue
        boring = re.compile(r"_bucket|_stage_|_build_info|_latency_| 0\.0$")
        lines = [line for line in page.splitlines() if line.startswith("millstream_")
                 and not boring.search(line)]  # fmt: skip
        words.append(f"worker {number}: {', '.join(lines)}")
    return "\n".join([*words, *scene.story])


def _transactions(scene: Scene) -> str:
    """Whether transactions hang on a topic, or on the group's offsets."""
    try:
        hanging = [
            topic
            for topic in map(scene.app.topic, ("predictions", "examples", "models"))
            if scene.kafka.end_offsets(topic) != scene.kafka.end_offsets(topic, committed=True)
        ]
    except (KafkaException, AssertionError) as error:
        return f"the ends of topics are not known: {error}"
    group = Group(scene.kafka, scene.app.name, stable=True)
    try:
        stable = str(group.offsets([scene.app.events], scene.app.partitions))
    except KafkaException as error:
        stable = f"not told ({error})"
    finally:
        group.close()
    return f"open transactions on {hanging or 'no topic'}; stable offsets: {stable}"
