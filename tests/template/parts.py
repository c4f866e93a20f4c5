"""What the checks have in common."""

from pathlib import Path

import cfnlint.decode
from samtranslator.plugins.globals.globals import Globals

ROOT = Path(__file__).resolve().parents[2]


def read(path):
    """The template at a path, with SAM's `Globals` in each function; and what is wrong with its YAML."""
    template, problems = cfnlint.decode.decode(path)
    if problems:
        return template, problems
    shared = Globals(template)
    for name, resource in template["Resources"].items():
        resource["Properties"] = shared.merge(resource["Type"], resource["Properties"], name)
    return template, []


def of_type(template, kind):
    return {name: entry["Properties"] for name, entry in template["Resources"].items() if entry["Type"] == kind}


def as_list(value):
    return value if isinstance(value, list) else [value]
