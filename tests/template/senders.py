"""Who may send to a queue and publish to the topic. What lies in a queue suppresses addresses, or may be sent through again, and
within an account a principal's own policy is enough to send: so everybody else is denied."""

from parts import of_type

ROLE = "aws:PrincipalArn"
SOURCE = "aws:SourceArn"
TOPIC = {"Ref": "FeedbackTopic"}
SES = "arn:${AWS::Partition}:ses:${AWS::Region}:${AWS::AccountId}:"
STACKS = {"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:role/${AWS::StackName}/*"}


def role(name):
    return {"Fn::GetAtt": [name, "Arn"]}


# Whom each queue's policy lets send, by the condition under which all others are denied. SQS moves messages to a dead-letter
# queue without asking, and moves them back with the permissions of whoever starts that.
SENDERS = {
    "DecideFailuresQueue": {"ArnNotEquals": {ROLE: role("DecideRole")}},
    "FeedbackDeadLetterQueue": {"ArnNotEquals": {ROLE: role("FeedbackRole")}},
    "FeedbackQueue": {"ArnNotEquals": {SOURCE: TOPIC, ROLE: [role("FeedbackRole"), role("RedriveRole")]}},
    "FeedbackSubscriptionDeadLetterQueue": {"ArnNotEquals": {SOURCE: TOPIC}},
    "InboundDeadLetterQueue": {"ArnNotEquals": {ROLE: role("InboundRole")}},
    "InboundQueue": {"ArnNotEquals": {ROLE: [role("InboundRole"), role("RedriveRole")]}},
    "SuppressionDeadLetterQueue": {"ArnNotEquals": {ROLE: role("MergeRole")}},
    "SuppressionQueue": {"ArnNotLike": {ROLE: STACKS}},
}

# And whom the topic's policy lets publish: SES, for this account's identities and configuration sets.
PUBLISHERS = {"ArnNotLike": {SOURCE: [{"Fn::Sub": f"{SES}identity/*"}, {"Fn::Sub": f"{SES}configuration-set/*"}]}}


def denied(policies, resource, action, target):
    """The conditions under which an action on a resource is denied to everybody."""
    return [
        statement.get("Condition")
        for properties in policies
        if properties[target] == [{"Ref": resource}]
        for statement in properties["PolicyDocument"]["Statement"]
        if (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", action)
    ]


def check_senders(template):
    queues = of_type(template, "AWS::SQS::Queue")
    policies = of_type(template, "AWS::SQS::QueuePolicy").values()
    problems = [
        f"{queue} lets others send than it must"
        for queue, condition in SENDERS.items()
        if denied(policies, queue, "sqs:SendMessage", "Queues") != [condition]
    ]
    problems += [f"{queue} is not among those whose senders are known" for queue in sorted(queues.keys() - SENDERS.keys())]
    topics = of_type(template, "AWS::SNS::TopicPolicy").values()
    if denied(topics, "FeedbackTopic", "sns:Publish", "Topics") != [PUBLISHERS]:
        problems.append("FeedbackTopic lets others publish than it must")
    return problems
