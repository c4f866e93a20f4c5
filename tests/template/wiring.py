"""What wakes the functions, and what becomes of what they fail at: mappings, queues, schedules, alarms, and the files that are
to go. The local AWS ignores most of that, so no test that runs there would miss it."""

from parts import of_type

MAPPING = "AWS::Lambda::EventSourceMapping"
FUNCTION = "AWS::Serverless::Function"
QUEUE = "AWS::SQS::Queue"
ALARM = "AWS::CloudWatch::Alarm"
SCHEDULE = "AWS::Scheduler::Schedule"

# A stream keeps what it holds for a day.
STREAM_KEEPS = 86_400

# The most seconds for which a queue keeps a message, which all of them do.
QUEUE_KEEPS = 14 * 86_400

# What lies there is only a sign that something is to be done, which a schedule does as well, if later.
SIGNS = {"DecideFailuresQueue"}

# Whom each schedule wakes, and how often.
SCHEDULES = {
    "ApplySchedule": ("ApplyFunction", "rate(1 minute)"),
    "AuditSchedule": ("AuditFunction", "rate(5 minutes)"),
    "ReconcileSchedule": ("ReconcileFunction", "rate(5 minutes)"),
}

# Days that a file with addresses may lie in the transit bucket.
TRANSIT_DAYS = 7

# What is normal up to there. Of everything else that an alarm is on, one is too many.
THRESHOLDS = {"FeedbackAgeAlarm": 1_800, "ListFailuresAlarm": 10, "OldestPendingAlarm": 3_600}


def target(node, attribute="Arn"):
    """The resource whose attribute this is, if it is that."""
    match node:
        case {"Fn::GetAtt": [name, found]} if found == attribute:
            return name
        case {"Ref": name}:
            return name
    return None


def seconds(template, value, timings):
    """A number of seconds at a value of the parameter Timings."""
    match value:
        case {"Fn::FindInMap": ["Timings", {"Ref": "Timings"}, name]}:
            return template["Mappings"]["Timings"][timings][name]
    return value


def watched(template):
    """The queues in which nothing can lie unnoticed."""
    return {
        target(alarm["Dimensions"][0]["Value"], "QueueName")
        for alarm in of_type(template, ALARM).values()
        if alarm["MetricName"] == "ApproximateNumberOfMessagesVisible"
    }


def failure_queue(holder):
    return target(holder.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination"))


def check_stream(template, name, mapping):
    """A batch that fails is given up in the end, and is then in halves, and somewhere. Or it is given up at once and lost,
    which only a function can take that a schedule wakes as well."""
    retries, age = mapping.get("MaximumRetryAttempts", -1), mapping.get("MaximumRecordAgeInSeconds", -1)
    if retries < 0:
        yield f"{name} tries a batch again without end"
    if not 0 <= age < STREAM_KEEPS:
        yield f"{name} gives up nothing by its age"
    if not mapping.get("FilterCriteria", {}).get("Filters"):
        yield f"{name} has no filter: every change of the table is an invocation"
    if retries == 0:
        if target(mapping["FunctionName"]) not in {function for function, _ in SCHEDULES.values()}:
            yield f"{name} gives up at once what nobody does later"
        return
    if not mapping.get("BisectBatchOnFunctionError"):
        yield f"{name} lets a batch fail for one of its records"
    if failure_queue(mapping) not in of_type(template, QUEUE):
        yield f"{name} does not tell what it has given up"


def check_queue(template, name, mapping):
    """What fails of a batch comes back, and alone, after the function has ended; and in the end it lies somewhere."""
    function, queue = template["Resources"][target(mapping["FunctionName"])], target(mapping["EventSourceArn"])
    timeout, visible = function["Properties"]["Timeout"], of_type(template, QUEUE)[queue].get("VisibilityTimeout", 30)
    if mapping.get("FunctionResponseTypes") != ["ReportBatchItemFailures"]:
        yield f"{name} has messages come back that are done"
    for timings in template["Parameters"]["Timings"]["AllowedValues"]:
        if seconds(template, visible, timings) < seconds(template, timeout, timings):
            yield f"{queue} shows again what {name}'s function is still at (Timings={timings})"
    redrive = of_type(template, QUEUE)[queue].get("RedrivePolicy", {})
    if queue in SIGNS:
        return
    if target(redrive.get("deadLetterTargetArn")) not in of_type(template, QUEUE):
        yield f"{queue} gives up nothing"
        return
    # What fails for now comes back nearly as long as it is kept, but does not go without a dead letter.
    comes_back = seconds(template, visible, "normal") * redrive["maxReceiveCount"]
    if not QUEUE_KEEPS - 86_400 <= comes_back < QUEUE_KEEPS:
        yield f"{queue} has what fails come back for {comes_back} s, and keeps it for {QUEUE_KEEPS} s"


def check_mappings(template):
    kept = {name: queue.get("MessageRetentionPeriod") for name, queue in of_type(template, QUEUE).items()}
    problems = [f"{name} keeps what is in it for {period} s" for name, period in kept.items() if period != QUEUE_KEEPS]
    for name, mapping in of_type(template, MAPPING).items():
        is_stream = target(mapping["EventSourceArn"]) is None  # it is a table's StreamArn
        problems += (check_stream if is_stream else check_queue)(template, name, mapping)
        if not mapping.get("Enabled", True):
            problems.append(f"{name} is switched off")
    if target(of_type(template, MAPPING).get("DecideFailuresMapping", {}).get("EventSourceArn")) != failure_queue(of_type(template, MAPPING)["DecideMapping"]):
        problems.append("nobody hears of what DecideMapping has given up")
    return problems


def check_given_up(template):
    """Whatever was given up lies in a queue, and an alarm says so, unless a function reads that queue."""
    queues = of_type(template, QUEUE)
    functions = of_type(template, FUNCTION)
    holders = [*of_type(template, MAPPING).values()]
    holders += [function.get("EventInvokeConfig", {}) for function in functions.values()]
    redriven = [*queues.values(), *of_type(template, "AWS::SNS::Subscription").values()]
    given_up = {failure_queue(holder) for holder in holders}
    given_up |= {target(holder.get("RedrivePolicy", {}).get("deadLetterTargetArn")) for holder in redriven}
    given_up |= {target(function.get("DeadLetterQueue", {}).get("TargetArn")) for function in functions.values()}
    read = {target(mapping["EventSourceArn"]) for mapping in of_type(template, MAPPING).values()}
    return [
        *(f"{queue} has no alarm on what lies in it" for queue in sorted(given_up - {None} - read - watched(template))),
        *(f"{queue} is read by nobody, and nothing is given up to it" for queue in sorted(set(queues) - given_up - read)),
        *(f"{name} forgets what Lambda has tried three times" for name in ("FeedbackFunction", "InboundFunction") if "DeadLetterQueue" not in functions[name]),
    ]


def check_transit(template):
    """Addresses in files are gone after days."""
    rules = of_type(template, "AWS::S3::Bucket")["TransitBucket"].get("LifecycleConfiguration", {}).get("Rules", [])
    # Of all files: a rule with a prefix or a filter is about some.
    whole = [rule for rule in rules if rule["Status"] == "Enabled" and not {"Prefix", "TagFilters"} & rule.keys()]
    days = min((rule["ExpirationInDays"] for rule in whole if "ExpirationInDays" in rule), default=None)
    return [] if days and days <= TRANSIT_DAYS else [f"TransitBucket keeps its files {f'{days} days' if days else 'for good'}"]


def check_schedules(template):
    """Each wakes its function as often as is meant, by an event that asks for nothing more."""
    problems = []
    for name, schedule in of_type(template, SCHEDULE).items():
        found = (target(schedule["Target"]["Arn"]), schedule["ScheduleExpression"])
        if found != SCHEDULES.get(name):
            problems.append(f"{name} wakes {' at '.join(map(str, found))}")
        if schedule.get("State", "ENABLED") != "ENABLED" or schedule["Target"].get("Input") != "{}":
            problems.append(f"{name} is switched off, or asks for more than what is due")
    return problems + [f"{name} is missing" for name in sorted(SCHEDULES.keys() - of_type(template, SCHEDULE).keys())]


def check_thresholds(template):
    return [
        f"{name} is silent at {alarm['MetricName']} up to {alarm['Threshold']}"
        for name, alarm in of_type(template, ALARM).items()
        if (alarm["ComparisonOperator"], alarm["Threshold"]) != ("GreaterThanThreshold", THRESHOLDS.get(name, 0))
    ]
