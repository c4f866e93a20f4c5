"""What the checks have in common."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def of_type(template, kind):
    return {name: entry["Properties"] for name, entry in template["Resources"].items() if entry["Type"] == kind}


def as_list(value):
    return value if isinstance(value, list) else [value]
