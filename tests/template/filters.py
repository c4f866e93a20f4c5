"""Which changes of the table wake a function, by Lambda's rules for filters: the local AWS has others."""

import json
import re

from parts import ROOT, of_type


def matches(pattern, value, *, knows_absence=True):
    """Whether a value is what a pattern asks for ("Filter rule syntax" in AWS Lambda's guide, as far as it is used here).
    `knows_absence`: without it, nobody is ever found to lack anything, which is how the local AWS takes it at times."""
    if isinstance(pattern, dict):
        fields = value if isinstance(value, dict) else {}
        return all(matches(inner, fields.get(key), knows_absence=knows_absence) for key, inner in pattern.items())
    return any(rule_holds(rule, value, knows_absence) for rule in pattern)


def rule_holds(rule, value, knows_absence):
    match rule:
        case {"exists": True}:
            return value is not None and not isinstance(value, dict)  # of leaves only
        case {"exists": False}:
            return knows_absence and value is None
        case {"prefix": prefix}:
            return isinstance(value, str) and value.startswith(prefix)
        case str():
            return value == rule
    raise NotImplementedError(rule)


def wakes(template, mapping, record, **rules):
    filters = of_type(template, "AWS::Lambda::EventSourceMapping")[mapping].get("FilterCriteria", {}).get("Filters", [])
    return not filters or any(matches(json.loads(entry["Pattern"]), record, **rules) for entry in filters)


def outcomes():
    """What becomes of what is pending, in the words of the item."""
    source = (ROOT / "shared/core/src/suppression/address_state.rs").read_text()
    kinds = re.search(r"pub enum ApplyOutcomeKind \{(.*?)\n\}", source, re.S)
    return {re.sub(r"(?<!^)([A-Z])", r"_\1", kind).lower() for kind in re.findall(r"^    (\w+),", kinds[1], re.M)}


# ── decide ───────────────────────────────────────────────────────────────────────────────────────────────────────────────

# The sample whose records the filter keeps away; what the others hold, it lets through.
NOTHING_TO_DECIDE = "nothing-to-decide"


def check_decide(template):
    """New records that are worth deciding on wake it, and nothing else: the samples, and its own writes."""
    problems = []
    samples = sorted((ROOT / "events/decide").glob("*.json"))
    for path in samples:
        expected = path.stem != NOTHING_TO_DECIDE
        for index, record in enumerate(json.loads(path.read_text())["Records"]):
            if wakes(template, "DecideMapping", record) != expected:
                problems.append(f"{path.name}: record {index} {'does not wake' if expected else 'wakes'} decide")
    if NOTHING_TO_DECIDE not in [path.stem for path in samples]:
        problems.append(f"there is no {NOTHING_TO_DECIDE}.json")
    for about, old, new in [*PENDING, *NOT_PENDING]:
        if wakes(template, "DecideMapping", change(old, new)):
            problems.append(f"decide is woken by a state that is {about}")
    return problems


# ── apply ────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def state(version, *, pending=False, outcome=None):
    """A state, as far as filters may look at it."""
    image = {"pk": {"S": "ADDR#a@example.com"}, "sk": {"S": "SUPPRESSION"}, "shard": {"S": "07"}}
    image |= {"version": {"N": str(version)}, "state": {"M": {}}, "spellings": {"L": []}}
    image |= {"pending": {"S": "07"}, "due_at": {"S": "2026-01-27T14:59:38.237Z"}} if pending else {}
    return image | ({"outcome": {"M": {"kind": {"S": outcome}, "tries": {"N": "0"}}}} if outcome else {})


def change(old, new):
    """What the stream tells of it. What is deleted, or has expired, has no new image."""
    images = {"OldImage": old, "NewImage": new}
    name = "REMOVE" if new is None else "MODIFY" if old else "INSERT"
    return {"eventName": name, "dynamodb": {"Keys": {}} | {key: image for key, image in images.items() if image}}


# "failed" is the one that stays pending, and is tried again when it is due.
RETRIED = "failed"

PENDING = [
    ("pending from the first", None, state(1, pending=True)),
    ("pending for the first time", state(4), state(5, pending=True)),
    *(
        (f"pending again after {kind}", state(4, outcome=kind), state(5, pending=True))
        for kind in sorted(outcomes() - {RETRIED})
    ),
]

NOT_PENDING = [
    ("pending still, and nothing else", state(4, pending=True), state(5, pending=True)),
    ("tried in vain", state(4, pending=True), state(5, pending=True, outcome=RETRIED)),
    ("tried in vain again", state(4, pending=True, outcome=RETRIED), state(5, pending=True, outcome=RETRIED)),
    ("brought in line", state(4, pending=True), state(5, outcome="applied")),
    ("not pending at all", state(4, outcome="applied"), state(5, outcome="applied")),
    ("new and nothing to do", None, state(1)),
    ("deleted", state(4, outcome="applied"), None),
    ("deleted while pending", state(4, pending=True), None),
]


def check_apply(template):
    """It is woken by what becomes pending, once, and by nothing else."""
    problems = []
    for about, old, new in PENDING:
        if not wakes(template, "ApplyMapping", change(old, new)):
            problems.append(f"apply is not woken by a state that is {about}")
        # The filters that are there for the local AWS. (Who becomes pending without an outcome, waits for a minute there.)
        said = old is None or "outcome" in old
        if said and not wakes(template, "ApplyMapping", change(old, new), knows_absence=False):
            problems.append(f"on the local AWS, apply is not woken by a state that is {about}")
    for about, old, new in NOT_PENDING:
        if wakes(template, "ApplyMapping", change(old, new)):
            problems.append(f"apply is woken by a state that is {about}")
    for path in sorted((ROOT / "events/decide").glob("*.json")):
        for index, record in enumerate(json.loads(path.read_text())["Records"]):
            if record["dynamodb"]["Keys"]["sk"]["S"] != "SUPPRESSION" and wakes(template, "ApplyMapping", record):
                problems.append(f"apply is woken by {path.name}, record {index}, which is no state")
    return problems
