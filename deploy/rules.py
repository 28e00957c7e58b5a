"""Write the PrometheusRule of Kubernetes from the rules that Prometheus itself reads.

make rules        # after a change in deploy/prometheus/rules
"""

from pathlib import Path
from typing import Any, Final

import yaml

RULES: Final = Path(__file__).parent / "prometheus" / "rules"
RESOURCE: Final = (
    Path(__file__).parent / "kubernetes" / "components" / "monitoring" / "prometheusrule.yaml"
)
HEADER: Final = "# Written by `make rules` from deploy/prometheus/rules: change it there.\n"


class _Dumper(yaml.SafeDumper):
    """Shows expressions of several lines as they were written."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def resource() -> str:
    """The text of the PrometheusRule: all groups of all files, in the order of their names."""
    groups: list[dict[str, Any]] = []
    for path in sorted(RULES.glob("*.yml")):
        groups += yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
    document = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "millstream", "labels": {"app.kubernetes.io/name": "millstream"}},
        "spec": {"groups": groups},
    }
    return HEADER + yaml.dump(
        document, Dumper=_Dumper, sort_keys=False, width=100, allow_unicode=True
    )


if __name__ == "__main__":
    RESOURCE.write_text(resource(), encoding="utf-8")
