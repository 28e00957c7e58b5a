"""The Kubernetes manifests as kustomize builds them, and the schemas that they are held against."""

import json
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any, Final

import jsonschema_rs
import kubernetes_validate
import pytest
import yaml

from tests.deploy.files import DEPLOY

KUBERNETES: Final = DEPLOY / "kubernetes"
BUILDS: Final = ("base", "overlays/development", "overlays/production")
OLDEST: Final = "1.30"
NEWEST: Final = "1.34"
"""Versions of Kubernetes that the manifests are held against."""
SCHEMAS: Final = Path(__file__).with_name("schemas")
Document = dict[str, Any]


@cache
def _built(folder: str) -> str:
    for command in (["kubectl", "kustomize"], ["kustomize", "build"]):
        if shutil.which(command[0]):
            return subprocess.run(
                [*command, str(KUBERNETES / folder)], check=True, stdout=subprocess.PIPE, text=True
            ).stdout
    pytest.skip("needs kubectl or kustomize")


def build(folder: str) -> list[Document]:
    """All objects of the base or of an overlay, as they would be applied."""
    return list(yaml.safe_load_all(_built(folder)))


def one(documents: list[Document], kind: str) -> Document:
    """The only object of its kind."""
    (found,) = (each for each in documents if each["kind"] == kind)
    return found


def problems(document: Document, version: str) -> list[str]:
    """Say what is wrong with an object, unknown fields included."""
    kind = document["kind"]
    if (SCHEMAS / f"{kind.lower()}.json").exists():
        return [*_breaks(kind.lower(), document), *_breaks("metadata", document["metadata"])]
    try:
        kubernetes_validate.validate(document, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [f"{kind} {error.path}: {error.message}"]
    return []


def _breaks(name: str, document: Any) -> list[str]:
    schema = json.loads((SCHEMAS / f"{name}.json").read_text(encoding="utf-8"))
    found = jsonschema_rs.Draft202012Validator(schema).iter_errors(document)
    return [f"{name} {'/'.join(map(str, each.instance_path))}: {each.message}" for each in found]
