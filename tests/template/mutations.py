"""Ways to break the wiring, each of which the checks must find: a check that finds nothing in a good template may find nothing
in any."""

import json

import filters
import senders
import wiring

CHECKS = (
    wiring.check_mappings,
    wiring.check_given_up,
    wiring.check_transit,
    wiring.check_schedules,
    wiring.check_thresholds,
    senders.check_senders,
    filters.check_decide,
    filters.check_apply,
)

GONE = object()


def pattern(image, attribute, rule):
    return json.dumps({"dynamodb": {image: {attribute: {"S": [rule]}}}})


# A resource's property, or a mapping's value, and what becomes of it.
MUTATIONS = [
    ("DecideMapping/BisectBatchOnFunctionError", GONE),
    ("DecideMapping/BisectBatchOnFunctionError", False),
    ("DecideMapping/MaximumRetryAttempts", GONE),
    ("DecideMapping/MaximumRetryAttempts", -1),
    ("DecideMapping/MaximumRetryAttempts", 0),
    ("DecideMapping/MaximumRecordAgeInSeconds", GONE),
    ("DecideMapping/MaximumRecordAgeInSeconds", -1),
    ("DecideMapping/DestinationConfig", GONE),
    ("DecideMapping/FilterCriteria", GONE),
    ("DecideMapping/FilterCriteria/Filters/0/Pattern", pattern("NewImage", "decidable", {"exists": False})),
    ("DecideMapping/FilterCriteria/Filters/0/Pattern", pattern("OldImage", "decidable", {"exists": True})),
    ("DecideMapping/FilterCriteria/Filters/0/Pattern", pattern("NewImage", "decidable", "bounce")),
    ("DecideMapping/FilterCriteria/Filters/0/Pattern", pattern("NewImage", "sk", {"prefix": "FEEDBACK#"})),
    ("DecideMapping/FilterCriteria/Filters/0/Pattern", pattern("NewImage", "pk", {"prefix": "ADDR#"})),
    ("DecideMapping/Enabled", False),
    ("ApplyMapping/MaximumRetryAttempts", GONE),
    ("ApplyMapping/MaximumRetryAttempts", 3),
    ("ApplyMapping/MaximumRecordAgeInSeconds", GONE),
    ("ApplyMapping/FilterCriteria", GONE),
    ("ApplyMapping/FilterCriteria/Filters/0", GONE),
    ("ApplyMapping/FilterCriteria/Filters/1", GONE),
    ("ApplyMapping/FilterCriteria/Filters/2", GONE),
    ("ApplyMapping/FilterCriteria/Filters/0/Pattern", pattern("NewImage", "pending", {"exists": True})),
    ("ApplyMapping/FilterCriteria/Filters/0/Pattern", pattern("OldImage", "pending", {"exists": False})),
    ("MergeMapping/FunctionResponseTypes", GONE),
    ("MergeFunction/Timeout", 31),
    ("SuppressionQueue/VisibilityTimeout", 29),
    ("Timings/normal/ReturnsAfter", 29),
    ("Timings/normal/ReturnsAfter", 180),
    ("Timings/normal/ReturnsAfter", 1_300),
    ("Timings/normal/QueueFunctionTimeout", 1_201),
    ("Timings/fast/ReturnsAfter", 9),
    ("Timings/fast/QueueFunctionTimeout", 11),
    ("SuppressionQueue/RedrivePolicy", GONE),
    ("SuppressionQueue/RedrivePolicy/maxReceiveCount", 20),
    ("SuppressionQueuePolicy/PolicyDocument/Statement/0", GONE),
    ("SuppressionDeadLetterQueuePolicy/PolicyDocument/Statement/0", GONE),
    ("SuppressionDeadLetterQueue/MessageRetentionPeriod", GONE),
    ("FeedbackMapping/FunctionResponseTypes", GONE),
    ("FeedbackQueue/VisibilityTimeout", 29),
    ("FeedbackQueue/VisibilityTimeout", 1_300),
    ("FeedbackQueue/RedrivePolicy", GONE),
    ("FeedbackQueue/RedrivePolicy/maxReceiveCount", 5),
    ("FeedbackQueue/MessageRetentionPeriod", 345_600),
    ("FeedbackQueuePolicy/PolicyDocument/Statement/1", GONE),
    ("FeedbackQueuePolicy/PolicyDocument/Statement/1/Effect", "Allow"),
    ("FeedbackQueuePolicy/PolicyDocument/Statement/1/Action", "sqs:ReceiveMessage"),
    ("FeedbackQueuePolicy/PolicyDocument/Statement/1/Principal", {"Service": "events.amazonaws.com"}),
    ("FeedbackQueuePolicy/PolicyDocument/Statement/1/Condition/ArnNotEquals/aws:SourceArn", GONE),
    ("FeedbackQueuePolicy/PolicyDocument/Statement/1/Condition/ArnNotEquals/aws:PrincipalArn", GONE),
    ("FeedbackQueuePolicy/PolicyDocument/Statement/1/Condition/ArnNotEquals/aws:PrincipalArn", "*"),
    ("FeedbackDeadLetterQueuePolicy/PolicyDocument/Statement/0", GONE),
    ("FeedbackSubscriptionDeadLetterQueuePolicy/PolicyDocument/Statement/1", GONE),
    ("FeedbackTopicPolicy/PolicyDocument/Statement/1", GONE),
    ("FeedbackTopicPolicy/PolicyDocument/Statement/1/Condition/ArnNotLike/aws:SourceArn/0", GONE),
    ("FeedbackFunction/DeadLetterQueue", GONE),
    ("FeedbackSubscription/RedrivePolicy", GONE),
    ("InboundFunction/DeadLetterQueue", GONE),
    ("InboundMapping/FunctionResponseTypes", GONE),
    ("InboundQueue/VisibilityTimeout", GONE),
    ("InboundQueuePolicy/PolicyDocument/Statement/0", GONE),
    ("InboundDeadLetterQueuePolicy/PolicyDocument/Statement/0", GONE),
    ("TransitBucket/LifecycleConfiguration", GONE),
    ("TransitBucket/LifecycleConfiguration/Rules/0/Status", "Disabled"),
    ("TransitBucket/LifecycleConfiguration/Rules/0/Prefix", "import/"),
    ("TransitBucket/LifecycleConfiguration/Rules/0/ExpirationInDays", 365),
    ("ApplySchedule/ScheduleExpression", "rate(1 day)"),
    ("ApplySchedule/State", "DISABLED"),
    ("ApplySchedule/Target/Input", '{"everything": true}'),
    ("ReconcileSchedule/Target/Arn", {"Fn::GetAtt": ["ApplyFunction", "Arn"]}),
    ("OldestPendingAlarm/Threshold", 360_000),
    ("DriftAlarm/ComparisonOperator", "LessThanThreshold"),
    ("DecideFailuresAlarm/Threshold", 5),
    ("DecideFailuresMapping/EventSourceArn", {"Fn::GetAtt": ["SuppressionQueue", "Arn"]}),
    ("DecideFailuresMapping/FunctionResponseTypes", GONE),
    ("DecideFailuresQueue/VisibilityTimeout", GONE),
    ("FeedbackDeadLettersAlarm/MetricName", "NumberOfMessagesSent"),
    ("DecideFailuresQueuePolicy/PolicyDocument/Statement/0", GONE),
    ("SuppressionDeadLettersAlarm/Dimensions/0/Value", {"Fn::GetAtt": ["DecideFailuresQueue", "QueueName"]}),
]


def mutated(template, path, value):
    template = json.loads(json.dumps(template))
    name, *keys, last = path.split("/")
    resource = template["Resources"].get(name)
    place = resource["Properties"] if resource else template["Mappings"][name]
    for key in keys:
        place = place[int(key) if isinstance(place, list) else key]
    last = int(last) if isinstance(place, list) else last
    if value is GONE:
        del place[last]
    else:
        place[last] = value
    return template


def check_mutations(template):
    return [
        f"nobody minds {path} {'gone' if value is GONE else f'= {value}'}"
        for path, value in MUTATIONS
        if not any(check(mutated(template, path, value)) for check in CHECKS)
    ]
