"""Holds template.yaml against cfn-lint, the catalogue of Regions, and the code: its calls, settings, metrics and items.

Usage: check.py [TEMPLATE]. Prints one line per check; exits 1 if any of them found something.
"""

import csv
import itertools
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import botocore.loaders
import cfnlint
import filters
import mutations
import senders
import wiring
from botocore import xform_name
from parts import ROOT, as_list, of_type, read

CATALOGUE = ROOT / "shared/core/data/regions.csv"
ADAPTERS = ROOT / "shared/aws/src"
# What the audit function shares with the operator's tool: it calls ports, and has adapters of its own.
AUDIT = ROOT / "shared/audit/src"
AUDIT_ADAPTERS = AUDIT / "aws"
SCHEMAS = Path(cfnlint.__file__).parent / "data/schemas/providers"

# A Region has SES if it has the first: every stack makes one. It receives if it has the second.
SENDS = "AWS::SES::ConfigurationSet"
RECEIVES = "AWS::SES::ReceiptRule"

# Mailroom is not made for the isolated and sovereign partitions (or China, which has no SES): nobody has asked.
OTHER_PARTITIONS = ("us-iso", "eu-isoe-", "eusc-", "cn-")

# cfn-lint ships no schemas at all for these, and would lint them as us-east-1, in silence.
WITHOUT_SCHEMAS = {"me-south-1"}

# What Lambda does with a function's role by itself, no line of ours calls.
LOGS = {"logs:CreateLogStream", "logs:PutLogEvents"}
QUEUE_POLLER = {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"}
STREAM_POLLER = {f"dynamodb:{a}" for a in ("DescribeStream", "GetRecords", "GetShardIterator", "ListStreams")}
FAILURE_DESTINATION = {"sqs:SendMessage"}

# Operations that IAM knows under other names. (S3 has no permission for HEAD; without ListBucket it says of a missing
# object that access to it is denied.)
ACTIONS_OF = {
    "s3:HeadBucket": {"s3:ListBucket"},
    "s3:HeadObject": {"s3:GetObject", "s3:ListBucket"},
}

# By what name a port goes wherever it is called, for those with names that others have too: reconcile may `states.put()` and
# must not `list.put()`. (Calls of other ports are told by the function's name alone.)
RECEIVERS = {"objects": "objects", "suppression_list": "list"}

# SES knows no resources for these (Service Authorization Reference, "Amazon SES" and "Amazon Simple Email Service v2"), or, of
# import jobs, none that is known before there is one.
WITHOUT_RESOURCE = {
    "ses:CreateImportJob",
    "ses:DeleteSuppressedDestination",
    "ses:DescribeActiveReceiptRuleSet",
    "ses:GetAccount",
    "ses:GetIdentityNotificationAttributes",
    "ses:GetImportJob",
    "ses:GetSuppressedDestination",
    "ses:ListConfigurationSets",
    "ses:ListEmailIdentities",
    "ses:ListImportJobs",
    "ses:ListSuppressedDestinations",
    "ses:PutAccountSuppressionAttributes",
    "ses:PutSuppressedDestination",
    "ses:SetActiveReceiptRuleSet",
    "ses:SetIdentityFeedbackForwardingEnabled",
    "ses:SetIdentityNotificationTopic",
}

# Neither does IAM for this one, nor is it of any Region.
GLOBAL_WITHOUT_RESOURCE = {"iam:ListUsers"}


# ── Regions ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def catalogue():
    """Whether it receives, by Region."""
    lines = (line for line in CATALOGUE.read_text().splitlines() if not line.startswith("#"))
    return {row["name"]: row["receives"] != "no" for row in csv.DictReader(lines)}


def shipped(resource_type):
    """The Regions for which cfn-lint ships a resource type's schema."""
    return {
        path.stem
        for path in SCHEMAS.glob("*.json")
        if not path.stem.startswith(OTHER_PARTITIONS) and resource_type in json.loads(path.read_text())
    }


def check_catalogue():
    """Problems with the catalogue, as far as the schemas know better."""
    sends, receives = set(catalogue()), {region for region, receives in catalogue().items() if receives}
    return [
        f"{region}: the catalogue {'has' if region in listed else 'lacks'} it, cfn-lint's schemas of {kind} do not agree"
        for kind, listed in ((SENDS, sends), (RECEIVES, receives))
        for region in sorted((listed - WITHOUT_SCHEMAS) ^ shipped(kind))
    ]


# ── Conditions ───────────────────────────────────────────────────────────────────────────────────────────────────────


class Scenario:
    """The template as CloudFormation sees it with these parameters: what its conditions say, and what is there."""

    def __init__(self, template, parameters):
        self.template = template
        self.values = {k: p["Default"] for k, p in template["Parameters"].items() if "Default" in p} | parameters

    def condition(self, name):
        return self.evaluate(self.template["Conditions"][name])

    def evaluate(self, node):
        if not isinstance(node, dict):
            return node
        ((function, argument),) = node.items()
        match function:
            case "Ref":
                return self.values[argument]
            case "Condition":
                return self.condition(argument)
            case "Fn::Not":
                return not self.evaluate(argument[0])
            case "Fn::And":
                return all([self.evaluate(inner) for inner in argument])
            case "Fn::Or":
                return any([self.evaluate(inner) for inner in argument])
            case "Fn::Equals":
                left, right = (self.evaluate(inner) for inner in argument)
                return str(left) == str(right)
            case "Fn::Join":
                parts = self.evaluate(argument[1])  # a list is a parameter's here, as it is written
                return parts if isinstance(parts, str) else argument[0].join(parts)
            case "Fn::Select":
                index, parts = argument[0], self.evaluate(argument[1])
                return (parts.split(",") if isinstance(parts, str) else parts)[index]
        raise NotImplementedError(function)

    def is_there(self, entry):
        return "Condition" not in entry or self.condition(entry["Condition"])

    def resources(self):
        return {name: entry for name, entry in self.template["Resources"].items() if self.is_there(entry)}

    def references(self, node):
        """The names that a value refers to, by Ref, GetAtt and Sub, in the branches that are taken."""
        if isinstance(node, list):
            for inner in node:
                yield from self.references(inner)
        if not isinstance(node, dict):
            return
        for key, value in node.items():
            match key:
                case "Ref":
                    yield value
                case "Fn::GetAtt":
                    yield value.split(".")[0] if isinstance(value, str) else value[0]
                case "Fn::If":
                    yield from self.references(value[1 if self.condition(value[0]) else 2])
                case "Fn::Sub":
                    text, bound = (value, {}) if isinstance(value, str) else value
                    yield from (n.split(".")[0] for n in re.findall(r"\$\{([^!}]+)\}", text) if n not in bound)
                    yield from self.references(bound)
                case "DependsOn":
                    yield from as_list(value)
                case _:
                    yield from self.references(value)


# What there is besides the rest, and when: receiving, an existing bucket, rules of the stack's own.
RECEIVING = {
    "InboundDeadLetterQueue",
    "InboundDeadLetterQueuePolicy",
    "InboundDeadLettersAlarm",
    "InboundErrorsAlarm",
    "InboundFunction",
    "InboundLogGroup",
    "InboundMapping",
    "InboundPermission",
    "InboundQueue",
    "InboundQueuePolicy",
    "InboundReturnedAlarm",
    "InboundRole",
}
OWN_BUCKET = {"MailBucketOwn", "MailBucketOwnPolicy"}
GIVEN_BUCKET = {"MailBucketRole"}
OWN_RULES = {"ReceiptRuleSet", "ReceiptRule"}


# What there is if suppression lists are kept.
SUPPRESSING = {
    "ApplyErrorsAlarm",
    "ApplyFunction",
    "ApplyLogGroup",
    "ApplyMapping",
    "ApplyRole",
    "ApplySchedule",
    "DecideErrorsAlarm",
    "DecideFailuresAlarm",
    "DecideFailuresMapping",
    "DecideFailuresQueue",
    "DecideFailuresQueuePolicy",
    "DecideFunction",
    "DecideLogGroup",
    "DecideMapping",
    "DecideRole",
    "DecideUnreadableAlarm",
    "DriftAlarm",
    "ImportJobsFailedAlarm",
    "ListFailuresAlarm",
    "ListGoneAlarm",
    "MergeErrorsAlarm",
    "MergeFunction",
    "MergeLogGroup",
    "MergeMapping",
    "MergeRole",
    "OldestPendingAlarm",
    "PeersFailedAlarm",
    "ReasonNotEnabledAlarm",
    "ReconcileErrorsAlarm",
    "ReconcileFunction",
    "ReconcileLogGroup",
    "ReconcileRole",
    "ReconcileSchedule",
    "RefusedSandboxAlarm",
    "ScheduleRole",
    "StatesRefusedAlarm",
    "SuppressionDeadLetterQueue",
    "SuppressionDeadLetterQueuePolicy",
    "SuppressionDeadLettersAlarm",
    "SuppressionQueue",
    "SuppressionQueuePolicy",
    "SuppressionReturnedAlarm",
    "TransitBucket",
    "TransitBucketPolicy",
}


# What there is if there is something to set up.
SETTING_UP = {"Setup", "SetupFunction", "SetupLogGroup", "SetupRole"}


def there_as(scenario, expected, where):
    """Problems with what a scenario has: too little, too much, or references to what is not there."""
    template, there = scenario.template, scenario.resources()
    outputs = {k: o for k, o in template["Outputs"].items() if scenario.is_there(o)}
    return [
        *(f"{where}: {name} is missing" for name in sorted(expected - set(there))),
        *(f"{where}: {name} is there" for name in sorted(set(there) - expected)),
        *(
            f"{where}: {name} refers to {target}, which is not there"
            for name, entry in (there | outputs).items()
            for target in sorted(set(scenario.references(entry)) & set(template["Resources"]) - set(there))
        ),
    ]


def check_suppression(template):
    """What keeps the list is there or not, by the parameter; and what is there refers to nothing that is not."""
    problems = []
    for suppression, receiving in itertools.product(("on", "off"), ("on", "off")):
        choice = {"AWS::Region": "us-east-1", "Suppression": suppression, "Receiving": receiving}
        scenario = Scenario(template, choice)
        others = set(scenario.resources()) - SUPPRESSING
        expected = others | SUPPRESSING if suppression == "on" else others
        problems += there_as(scenario, expected, f"Suppression={suppression}, Receiving={receiving}")
    return problems


def check_receiving(template):
    """What receives is there exactly where the catalogue says so, or the parameter; and refers to nothing that is not."""
    condition = json.dumps(template["Conditions"]["RegionReceives"])
    named = set(re.findall(r'\[\{"Ref": "AWS::Region"\}, "([^"]+)"\]', condition))
    # What the catalogue lacks is not among the scenarios below.
    differ = named ^ {region for region, known in catalogue().items() if known}
    problems = [f"{region}: either RegionReceives names it, or it receives by the catalogue" for region in sorted(differ)]
    optional = RECEIVING | OWN_BUCKET | GIVEN_BUCKET | OWN_RULES | SETTING_UP
    always = set(template["Resources"]) - optional
    for (region, known), receiving, rules, bucket in itertools.product(
        catalogue().items(), ("auto", "on", "off"), ("mailroom", "operator"), ("", "another-bucket")
    ):
        choice = {"Receiving": receiving, "ReceiptRules": rules, "MailBucket": bucket}
        scenario = Scenario(template, {"AWS::Region": region, "Suppression": "on"} | choice)
        expected = set(always)
        if {"auto": known, "on": True, "off": False}[receiving]:
            expected |= RECEIVING | (GIVEN_BUCKET if bucket else OWN_BUCKET) | (OWN_RULES if rules == "mailroom" else set())
        problems += there_as(scenario, expected, f"{region}, {', '.join(f'{k}={v}' for k, v in choice.items())}")
    return problems


def check_setup(template):
    """What sets up is there if there is something to set up, and refers to nothing that is not there."""
    problems = []
    for identities, active, reasons, rules in itertools.product(
        ("", "example.com"), ("leave", "activate", "replace"), ("leave", "BOUNCE"), ("mailroom", "operator")
    ):
        choice = {"Identities": identities, "ActiveRuleSet": active, "SuppressionReasons": reasons, "ReceiptRules": rules}
        scenario = Scenario(template, {"AWS::Region": "us-east-1"} | choice)
        others = set(scenario.resources()) - SETTING_UP
        anything = identities or reasons != "leave" or (active != "leave" and rules == "mailroom")
        expected = others | SETTING_UP if anything else others
        problems += there_as(scenario, expected, ", ".join(f"{k}={v}" for k, v in choice.items()))
    return problems


def check_custom_resources(template):
    """Whoever is tried again to answer CloudFormation is done while it waits: later it has asked for something else."""
    problems = []
    functions = of_type(template, "AWS::Serverless::Function")
    for name, properties in of_type(template, "AWS::CloudFormation::CustomResource").items():
        function, _ = properties["ServiceToken"]["Fn::GetAtt"]
        latest = functions[function]["EventInvokeConfig"]["MaximumEventAgeInSeconds"] + functions[function]["Timeout"]
        if latest >= properties["ServiceTimeout"]:
            problems.append(f"{name} waits {properties['ServiceTimeout']} s, {function} may take {latest}")
    return problems


# ── Lint ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def check_lint(path, receiving, regions):
    """cfn-lint reckons with every value that a parameter allows, so the others are taken away. The lines stay."""
    text, found = re.subn(
        r"^(  Receiving:\n(?:    .*\n)*?    Default: ).*(\n    AllowedValues: ).*$",
        rf'\g<1>"{receiving}"\g<2>["{receiving}"]',
        path.read_text(),
        flags=re.M,
    )
    if found != 1:
        return ["the parameter Receiving is not where this looks for it"]
    with tempfile.TemporaryDirectory() as folder:
        variant = Path(folder) / path.name
        variant.write_text(text)
        command = [Path(sys.executable).parent / "cfn-lint", "--format", "parseable", "--regions", *sorted(regions), "--", variant]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode == 0:
            return []
        lines = (done.stdout + done.stderr).replace(str(variant), str(path)).splitlines()
        return lines or [f"cfn-lint ended with {done.returncode} and no word"]


# ── Permissions ──────────────────────────────────────────────────────────────────────────────────────────────────────


def statements(role):
    for policy in role.get("Policies", []):
        for statement in policy["PolicyDocument"]["Statement"]:
            if "Fn::If" in statement:  # all that a role may ever grant
                yield from (branch for branch in statement["Fn::If"][1:] if "Effect" in branch)
            else:
                yield statement


def granted(role):
    return {action for statement in statements(role) for action in as_list(statement.get("Action", []))}


def strings(value):
    """Every string in an intrinsic function's value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from strings(inner)


# A log group's streams, what lies in the mail's folder, and what lies in the transit bucket, where nothing else does. This
# account's identities and configuration sets of this Region, and its users, all of which the audit is about.
WILDCARDS = re.compile(
    r"^(arn:[^*]*:log-group:[^*]+:log-stream:|arn:[^*]*:s3:::[^*]+/\$\{MailPrefix\}|\$\{TransitBucket\.Arn\}/"
    r"|arn:\$\{AWS::Partition\}:ses:\$\{AWS::Region\}:\$\{AWS::AccountId\}:(identity|configuration-set)/"
    r"|arn:\$\{AWS::Partition\}:iam::\$\{AWS::AccountId\}:user/)\*$"
)

# The peers' queues.
ANY_REGION = re.compile(r"^arn:\$\{AWS::Partition\}:sqs:\*:\$\{AWS::AccountId\}:\$\{AWS::StackName\}-suppression$")


def is_wide(statement, text):
    """Whether a resource is wider than it must be. The list of peers, and this Region, are as narrow as can be."""
    regions = statement.get("Condition", {}).get("StringEquals", {}).get("aws:RequestedRegion")
    if text == "*" and regions == {"Ref": "AWS::Region"}:
        return not set(as_list(statement["Action"])) <= WITHOUT_RESOURCE
    if text == "*" and set(as_list(statement["Action"])) <= GLOBAL_WITHOUT_RESOURCE:
        return False
    if ANY_REGION.match(text):
        return regions != {"Ref": "Peers"}
    return "*" in WILDCARDS.sub("", text)


def check_scopes(template):
    """Roles grant named actions on named resources, but for a few wildcards."""
    problems = []
    for name, role in of_type(template, "AWS::IAM::Role").items():
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
                if is_wide(statement, text)
            ]
    for name, function in of_type(template, "AWS::Serverless::Function").items():
        if "Role" not in function:
            problems.append(f"{name} has no role of its own: SAM would attach managed policies")
    return problems


SES = "ses.amazonaws.com"


def check_ses(template):
    """SES may do what it may for this account's receipt rules, feedback or import jobs only, or another account's SES
    could. Of import jobs SES says no more than the account."""
    problems = []
    for name, entry in template["Resources"].items():
        properties = entry.get("Properties", {})
        documents = [properties[key] for key in ("PolicyDocument", "AssumeRolePolicyDocument") if key in properties]
        for statement in (s for document in documents for s in document["Statement"]):
            if statement["Principal"] == {"Service": SES} and statement["Effect"] == "Allow":
                conditions = {key for operator in statement.get("Condition", {}).values() for key in operator}
                missing = {"aws:SourceAccount", "aws:SourceArn"} - conditions
                if statement["Action"] == "s3:GetObject" and conditions & {"aws:SourceAccount", "aws:Referer"}:
                    missing = set()
                problems += [f"{name} lets SES in without {key}" for key in sorted(missing)]
        if entry["Type"] == "AWS::Lambda::Permission" and properties["Principal"] == SES:
            missing = {"SourceAccount", "SourceArn"} - properties.keys()
            problems += [f"{name} lets SES in without {key}" for key in sorted(missing)]
    return problems


def without_tests(source):
    """Tests stand at the end of a file."""
    return source.split("#[cfg(test)]")[0]


def modules_named(source, crate):
    """`CRATE::a::B` and `CRATE::{a::B, c}` name the modules a and c."""
    for match in re.finditer(rf"\b{crate}::(\{{)?", source):
        rest = source[match.end() :]
        if not match.group(1):
            yield re.match(r"\w+", rest).group()
            continue
        depth, name = 0, ""
        for character in rest:
            if character == "}" and depth == 0:
                break
            depth += {"{": 1, "}": -1}.get(character, 0)
            name += character if depth == 0 or character != "," else ";"
        yield from (part.strip().split("::")[0] for part in name.split(",") if part.strip())


def sources_in(folder):
    return {path: without_tests(path.read_text()) for path in sorted(folder.rglob("*.rs"))}


def audits(crate):
    return any("mailroom_audit::" in source for source in sources_in(ROOT / "functions" / crate / "src").values())


def sources_of(crate):
    """The sources that call ports: those of the function's crate, and of the audit if it uses that."""
    own = list(sources_in(ROOT / "functions" / crate / "src").values())
    shared = sources_in(AUDIT) if audits(crate) else {}
    return own + [source for path, source in shared.items() if not path.is_relative_to(AUDIT_ADAPTERS)]


def adapters_of(crate):
    """The sources of the adapters that these use, and of those that the adapters use, by module."""

    def files(module):
        return [p for p in [ADAPTERS / f"{module}.rs", *(ADAPTERS / module).rglob("*.rs")] if p.is_file()]

    audit = sources_in(AUDIT_ADAPTERS) if audits(crate) else {}
    sources = {f"audit::{path.stem}": source for path, source in audit.items()}
    users = [*sources_of(crate), *sources.values()]
    pending = {module for source in users for module in modules_named(source, "mailroom_aws")}
    while pending:
        module = pending.pop()
        sources[module] = "\n".join(without_tests(p.read_text()) for p in files(module))
        pending |= {m for m in modules_named(sources[module], "crate") if files(m)} - sources.keys()
    return sources


def called_in(source):
    return set(re.findall(r"\b(\w+)(?:::<[^()]*>)?\(", source))


def called_on(receiver, source):
    return set(re.findall(rf"\b{receiver}\s*\.\s*(\w+)(?:::<[^()]*>)?\(", source))


def functions_in(source):
    """Name and body of every function."""
    for match in re.finditer(r"\bfn (\w+)[^;{]*\{", source):
        depth, end = 1, match.end()
        while depth and end < len(source):
            depth += {"{": 1, "}": -1}.get(source[end], 0)
            end += 1
        yield match.group(1), source[match.end() : end]


def reached_by(crate):
    """The adapters' functions that a crate's code reaches, as the source that each stands in and its body: more than it does
    call, since names are all that is looked at."""
    adapters = adapters_of(crate)
    own = sources_of(crate)
    bodies = [(module, name, body) for module, source in adapters.items() for name, body in functions_in(source)]
    called = {module: set() for module in adapters}
    for module, source in itertools.product(adapters, own):
        receiver = RECEIVERS.get(module)
        called[module] |= called_on(receiver, source) if receiver else called_in(source)
    while True:
        reached = [(module, body) for module, name, body in bodies if name in called[module]]
        before = sum(map(len, called.values()))
        for module, body in reached:
            for other in adapters:
                if other == module or other not in RECEIVERS:
                    called[other] |= called_in(body)
        if before == sum(map(len, called.values())):
            return [(adapters[module], body) for module, body in reached]


def calls_of(crate):
    """IAM actions for the SDK operations that a function's adapters build: `.batch_write_item()` is
    dynamodb:BatchWriteItem."""
    manifests = [tomllib.loads((source.parent / "Cargo.toml").read_text()) for source in (ADAPTERS, AUDIT)]
    dependencies = {dep for manifest in manifests for dep in manifest["dependencies"]}
    loader, actions = botocore.loaders.Loader(), set()
    services = [dep.removeprefix("aws-sdk-") for dep in dependencies if dep.startswith("aws-sdk-")]
    models = {service: loader.load_service_model(service, "service-2") for service in services}
    for source, body in reached_by(crate):
        built = set(re.findall(r"\.([a-z0-9_]+)\(\)", body))
        for service, model in models.items():
            if f"aws_sdk_{service}" not in source:
                continue
            prefix = model["metadata"].get("signingName", model["metadata"]["endpointPrefix"])
            for operation in model["operations"]:
                if xform_name(operation) in built:
                    action = f"{prefix}:{operation}"
                    actions |= ACTIONS_OF.get(action, {action})
    return actions


def platform_of(template, name, function):
    """What Lambda itself does with a function's role, given how the function is wired."""
    actions = set(LOGS)
    for mapping in of_type(template, "AWS::Lambda::EventSourceMapping").values():
        if mapping["FunctionName"] == {"Ref": name}:
            is_stream = mapping["EventSourceArn"]["Fn::GetAtt"][1] == "StreamArn"
            actions |= STREAM_POLLER if is_stream else QUEUE_POLLER
            actions |= FAILURE_DESTINATION if "OnFailure" in mapping.get("DestinationConfig", {}) else set()
    if "DeadLetterQueue" in function or "OnFailure" in function.get("EventInvokeConfig", {}).get("DestinationConfig", {}):
        actions |= FAILURE_DESTINATION
    return actions


def check_calls(template):
    """What a function's role grants is what its code calls: a missing action fails in production, a spare one is a
    risk. What a role is assumed for by another service is not to be seen in the code."""
    problems = []
    roles = of_type(template, "AWS::IAM::Role")
    for name, function in of_type(template, "AWS::Serverless::Function").items():
        crate = Path(function["CodeUri"]).name
        if not (ROOT / "functions" / crate / "src").is_dir():
            problems.append(f"{name}: there is no {function['CodeUri']}")
            continue
        role, _ = function["Role"]["Fn::GetAtt"]
        needed = calls_of(crate) | platform_of(template, name, function)
        problems += [f"{role} lacks {a}, which {crate} needs" for a in sorted(needed - granted(roles[role]))]
        problems += [f"{role} grants {a}, which {crate} never calls" for a in sorted(granted(roles[role]) - needed)]
    return problems


# ── What the code reads and writes ───────────────────────────────────────────────────────────────────────────────────────


def check_settings(template):
    """A function is told what it reads at its start, and nothing else: a variable that nobody reads is a parameter without
    effect."""
    problems = []
    shared = without_tests((ROOT / "shared/aws/src/settings.rs").read_text())
    for name, function in of_type(template, "AWS::Serverless::Function").items():
        crate = Path(function["CodeUri"]).name
        own = [ROOT / "functions" / crate / "src" / name for name in ("main.rs", "settings.rs")]
        reached = [without_tests(source.read_text()) for source in own if source.exists()]
        pending = dict(functions_in(shared))
        for body in reached:  # A shared setting may be made of another.
            called = [method for method in pending if f".{method}(" in body]
            reached += [pending.pop(method) for method in called]
        read = {variable for body in reached for variable in re.findall(r'"([A-Z][A-Z0-9_]+)"', body)}
        read = {variable for variable in read if not variable.startswith("AWS_")}  # those are Lambda's
        told = set(function["Environment"]["Variables"])
        problems += [f"{name} is not told {variable}, which {crate} reads" for variable in sorted(read - told)]
        problems += [f"{name} is told {variable}, which {crate} never reads" for variable in sorted(told - read)]
    return problems


def check_metrics(template):
    """An alarm on a count of our own names one that its function counts; any other would be silent for good."""
    problems = []
    functions = of_type(template, "AWS::Serverless::Function")
    for name, alarm in of_type(template, "AWS::CloudWatch::Alarm").items():
        if alarm["Namespace"] == "Mailroom":
            (dimension,) = alarm["Dimensions"]
            crate = Path(functions[dimension["Value"]["Ref"]]["CodeUri"]).name
            if not any(f'"{alarm["MetricName"]}"' in source for source in sources_of(crate)):
                problems.append(f"{name}: {crate} does not count {alarm['MetricName']}")
    return problems


def leaves(pattern, path=()):
    for key, inner in pattern.items():
        if isinstance(inner, dict):
            yield from leaves(inner, (*path, key))
        else:
            yield (*path, key), inner


def check_items(template):
    """The attributes and values that indexes and filters name are those that the domain writes."""
    core = {p: without_tests(p.read_text()) for p in sorted((ROOT / "shared/core/src").rglob("*.rs"))}
    fields = {field for source in core.values() for field in re.findall(r"^ +(?:pub )?(\w+): ", source, re.M)}
    fields |= {field for source in core.values() for field in re.findall(r'rename = "(\w+)"', source)}
    words = filters.outcomes()
    table = template["Resources"]["Table"]["Properties"]
    named = {f"the table: {entry['AttributeName']}" for entry in table["AttributeDefinitions"]}
    problems = []
    for name, mapping in of_type(template, "AWS::Lambda::EventSourceMapping").items():
        entries = mapping.get("FilterCriteria", {}).get("Filters", [])
        if len(entries) > 5:
            problems.append(f"{name}: Lambda takes five filters")
        for path, values in itertools.chain(*(leaves(json.loads(entry["Pattern"])) for entry in entries)):
            head, image, *attributes = path
            if head != "dynamodb" or image not in ("NewImage", "OldImage"):
                problems.append(f"{name} filters by {'.'.join(path)}")
                continue
            named |= {f"{name}: {part}" for part in attributes if part not in ("S", "N", "M")}
            if attributes == ["outcome", "M", "kind", "S"]:
                problems += [f"{name}: no outcome is {value}" for value in values if value not in words]
    return problems + [f"{name}, which no item has" for name in sorted(named) if name.split(": ")[1] not in fields]


def main():
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "template.yaml"
    template, problems = read(path)
    if problems:
        sys.exit("\n".join(str(p) for p in problems))
    linted = set(catalogue()) - WITHOUT_SCHEMAS
    receiving = {region for region in linted if catalogue()[region]}
    checks = {
        "catalogue: its Regions are those of cfn-lint's schemas": check_catalogue(),
        f"receiving: in {len(catalogue())} Regions by the catalogue, and by the parameters": check_receiving(template),
        "suppression: there or not, by the parameter": check_suppression(template),
        "setup: there or not, by the parameters": check_setup(template),
        "setup: done while CloudFormation waits": check_custom_resources(template),
        f"cfn-lint, Receiving=auto, for {len(linted)} Regions": check_lint(path, "auto", linted),
        f"cfn-lint, Receiving=off, for {len(linted)} Regions": check_lint(path, "off", linted),
        f"cfn-lint, Receiving=on, for the {len(receiving)} Regions that know receipt rules": check_lint(path, "on", receiving),
        "roles: named actions on named resources": check_scopes(template),
        "roles: the actions are the calls of the function's code": check_calls(template),
        "SES: let in for this account's own only": check_ses(template),
        "settings: each function is told what it reads": check_settings(template),
        "alarms: on what the functions count": check_metrics(template),
        "items: indexes and filters go by what the domain writes": check_items(template),
        "mappings: batches fail in part, and not for ever": wiring.check_mappings(template),
        "mappings: what is given up lies in a queue, and an alarm says so": wiring.check_given_up(template),
        "senders: who may send to the queues, and publish to the topic": senders.check_senders(template),
        "filters: what wakes decide": filters.check_decide(template),
        "filters: what wakes apply": filters.check_apply(template),
        "schedules: whom they wake, and how often": wiring.check_schedules(template),
        "alarms: from where on they go off": wiring.check_thresholds(template),
        "transit: files with addresses are gone within days": wiring.check_transit(template),
        f"the checks of these find each of {len(mutations.MUTATIONS)} ways to break them": mutations.check_mutations(template),
    }
    for check, found in checks.items():
        print(f"{'FAILED' if found else 'ok    '} {check}")
        for problem in found:
            print(f"       {problem}")
    sys.exit(any(checks.values()))


if __name__ == "__main__":
    main()
