"""Check of the snapshot store."""

from millstream.checks.finding import Finding
from millstream.config.settings import Settings
from millstream.snapshots.files import NotStored, SnapshotFiles


def check_snapshot_store(settings: Settings, *, learns: bool) -> list[Finding]:
    """Write, read and delete a file in the store; the models topic is checked with the topics.

    Raises SettingsError if the store's URL has an unknown scheme.
    """
    store = settings.snapshots.store
    if store is None or not (learns and settings.snapshots.enabled):
        return []
    try:
        SnapshotFiles(store, settings.app).try_out()
    except NotStored as error:
        return [
            Finding(
                "error",
                "snapshots",
                f"{error}, so none would be stored and a restart would replay the whole log: mend "
                "snapshots.store, or leave it out to keep them in the models topic",
            )
        ]
    return [Finding("ok", "snapshots", f"{store} can be written and read")]
