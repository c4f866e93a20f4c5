"""Starts ministack, in three ways more like Lambda than it is by itself.

Each stream's mapping polls for itself. In ministack one thread polls for all mappings and waits for a stream's function in
between, so that a function that takes its time, as apply does at SES's pace, stands still everything else, the queues too.

A queue's batch may be as large as its mapping says (ministack: ten messages).

A function that is made in one Region ends no invocation of its namesake in another. In ministack's CloudFormation it does, so
that of stacks that are made at the same time one loses its custom resource's answer, for which it then waits.
"""

import threading
import time

from ministack.app import main
from ministack.core.responses import get_account_id, get_region
from ministack.services import lambda_svc, sqs

POLL_SECONDS = 0.1

all_mappings = lambda_svc._iter_all_esms
poll_streams = lambda_svc._poll_dynamodb_streams
receive_ten = sqs._receive_messages_for_esm
end_workers = lambda_svc.invalidate_worker

followed = set()
thread = threading.local()


def mappings():
    """All of them; in a thread that polls for one, that one."""
    wanted = getattr(thread, "mapping", None)
    return [found for found in all_mappings() if wanted in (None, found[2]["UUID"])]


def follow(mapping):
    thread.mapping = mapping
    while mappings():
        try:
            more = poll_streams()
        except Exception as error:  # as ministack's own loop does
            lambda_svc.logger.error("ESM DynamoDB streams poller error: %s", error)
            more = False
        if not more:
            time.sleep(POLL_SECONDS)
    followed.discard(mapping)


def follow_streams():
    """In place of a look at all streams: whoever is new gets a thread. That is no work done."""
    for _, _, mapping in mappings():
        if ":dynamodb:" in mapping.get("EventSourceArn", "") and mapping["UUID"] not in followed:
            followed.add(mapping["UUID"])
            threading.Thread(target=follow, args=[mapping["UUID"]], daemon=True).start()
    return False


def receive(queue_url, most):
    messages = []
    while len(messages) < int(most or 1):
        more = receive_ten(queue_url, int(most or 1) - len(messages))
        if not more:
            break
        messages += more
    return messages


def end_workers_here(function, qualifier=None, account=None, region=None):
    end_workers(function, qualifier, account or get_account_id(), region or get_region())


lambda_svc._iter_all_esms = mappings
lambda_svc._poll_dynamodb_streams = follow_streams
lambda_svc.invalidate_worker = end_workers_here
sqs._receive_messages_for_esm = receive

main()
