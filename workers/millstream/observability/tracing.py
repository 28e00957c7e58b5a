"""Creation of tracing; imports OpenTelemetry only where spans are wanted."""

from typing import TYPE_CHECKING

from millstream.config.settings import Settings
from millstream.errors import SettingsError

if TYPE_CHECKING:
    from millstream.observability.otel import Tracing


def make_tracing(settings: Settings, instance: str) -> "Tracing | None":
    """Tracing as the settings have it; None without spans. Raises `SettingsError`."""
    if settings.tracing.spans == "none":
        return None
    try:
        from millstream.observability.otel import exporting  # noqa: PLC0415 - it needs an extra
    except ImportError as error:
        raise SettingsError(
            f"tracing.spans is {settings.tracing.spans}, which needs OpenTelemetry: install "
            "millstream[otel], or set it to none"
        ) from error
    return exporting(settings, instance)
