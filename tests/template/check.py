"""Lints template.yaml for every Region and holds its permissions against the calls in the code.

Usage: check.py [TEMPLATE]. Prints one line per check; exits 1 if any of them found something.
"""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import botocore.loaders
import cfnlint
import cfnlint.decode
from botocore import xform_name

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = Path(cfnlint.__file__).parent / "data/schemas/providers"

# A Region has SES if it has this: every stack makes one.
SES = "AWS::SES::ConfigurationSet"

# Mailroom is not made for the isolated and sovereign partitions (or China, which has no SES): nobody has asked.
OTHER_PARTITIONS = ("us-iso", "eu-isoe-", "eusc-", "cn-")

# What Lambda does with a function's role by itself: no line of ours calls it.
PLATFORM = {
    "logs:CreateLogStream",
    "logs:PutLogEvents",
    # the poller of an SQS event source mapping
    "sqs:ReceiveMessage",
    "sqs:DeleteMessage",
    "sqs:GetQueueAttributes",
    # the destination of failed asynchronous invocations
    "sqs:SendMessage",
}


def listed_regions():
    lines = (Path(__file__).parent / "regions.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def check_regions():
    """Problems with the list of Regions. A Region without schemas would be linted as us-east-1, in silence."""
    shipped = {
        path.stem
        for path in SCHEMAS.glob("*.json")
        if not path.stem.startswith(OTHER_PARTITIONS) and SES in json.loads(path.read_text())
    }
    listed = set(listed_regions())
    return [f"{region} is listed, but cfn-lint ships no {SES} for it" for region in sorted(listed - shipped)] + [
        f"{region} has {SES}, but is not in regions.txt" for region in sorted(shipped - listed)
    ]


def check_lint(path):
    command = [Path(sys.executable).parent / "cfn-lint", "--format", "parseable", "--regions", *listed_regions(), "--", str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 0:
        return []
    return (done.stdout + done.stderr).splitlines() or [f"cfn-lint ended with {done.returncode} and no word"]


def roles(template):
    return {k: r["Properties"] for k, r in template["Resources"].items() if r["Type"] == "AWS::IAM::Role"}


def as_list(value):
    return value if isinstance(value, list) else [value]


def statements(role):
    for policy in role.get("Policies", []):
        yield from policy["PolicyDocument"]["Statement"]


def strings(value):
    """Every string in an intrinsic function's value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from strings(inner)


def check_scopes(template):
    """Roles grant named actions on named resources. The one `*` that is allowed stands for a log group's streams."""
    problems = []
    for name, role in roles(template).items():
        if role.get("ManagedPolicyArns"):
            problems.append(f"{name} has managed policies, whose statements are not in sight here")
        for statement in statements(role):
            sid = f"{name}/{statement.get('Sid', '?')}"
            if {"NotAction", "NotResource"} & statement.keys():
                problems.append(f"{sid} grants by exclusion")
            problems += [f"{sid} grants {a}" for a in as_list(statement.get("Action", [])) if "*" in a]
            problems += [
                f"{sid} names the resource {text}"
                for resource in as_list(statement.get("Resource", []))
                for text in strings(resource)
                if "*" in re.sub(r"^(arn:.*:log-group:[^*]+:log-stream:)\*$", r"\1", text)
            ]
    for name, resource in template["Resources"].items():
        if resource["Type"] == "AWS::Serverless::Function" and "Role" not in resource["Properties"]:
            problems.append(f"{name} has no role of its own: SAM would attach managed policies")
    return problems


def calls_in_code():
    """IAM actions for the SDK operations that the adapters build: `.batch_write_item()` is dynamodb:BatchWriteItem."""
    source = "\n".join(p.read_text() for p in sorted((ROOT / "shared/aws/src").rglob("*.rs")))
    built = set(re.findall(r"\.([a-z0-9_]+)\(\)", source))
    manifest = tomllib.loads((ROOT / "shared/aws/Cargo.toml").read_text())
    loader, actions = botocore.loaders.Loader(), set()
    for crate in manifest["dependencies"]:
        if not crate.startswith("aws-sdk-"):
            continue
        model = loader.load_service_model(crate.removeprefix("aws-sdk-"), "service-2")
        prefix = model["metadata"].get("signingName", model["metadata"]["endpointPrefix"])
        actions |= {f"{prefix}:{operation}" for operation in model["operations"] if xform_name(operation) in built}
    return actions


def check_calls(template):
    """What the roles grant is what the code calls: a missing action fails in production, a spare one is a risk."""
    granted = {a for role in roles(template).values() for s in statements(role) for a in as_list(s["Action"])}
    called = calls_in_code()
    return [f"the code calls {a}, which no role grants" for a in sorted(called - granted)] + [
        f"{a} is granted, but nothing calls it" for a in sorted(granted - called - PLATFORM)
    ]


def main():
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "template.yaml"
    template, problems = cfnlint.decode.decode(path)
    if problems:
        sys.exit("\n".join(str(p) for p in problems))
    checks = {
        "Regions: the list is what cfn-lint ships": check_regions(),
        f"cfn-lint for {len(listed_regions())} Regions": check_lint(path),
        "roles: named actions on named resources": check_scopes(template),
        "roles: the actions are the code's calls": check_calls(template),
    }
    for check, found in checks.items():
        print(f"{'FAILED' if found else 'ok    '} {check}")
        for problem in found:
            print(f"       {problem}")
    sys.exit(any(checks.values()))


if __name__ == "__main__":
    main()
