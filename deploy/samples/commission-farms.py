#!/usr/bin/env python3
"""Commissions the farms of a list over RabbitMQ, as a pipeline does, and waits for the answers.

    FARMHAND_AMQP_URL=amqps://pipeline:...@rabbit.contoso.com \\
        python3 commission-farms.py --batch build-4711 farms.csv

Each line of the list is `name,group,hosts`. What is asked is named by --batch and the farm's name:
run again with the same batch, it asks for the same workflows and makes no new ones, so a pipeline
that broke off is simply run again.

Exit status: 0 every request was accepted, 1 some were refused, 2 usage, 3 answers are missing.
An accepted request is a workflow on record; follow it with `farmhand workflow watch ID`.

Needs Python 3.8 and pika (`apt-get install python3-pika` or `pip install pika`).
docs/requests.md describes the messages and the rights that the user needs.
"""

import argparse
import csv
import json
import os
import sys
import time
from urllib.parse import unquote, urlsplit

import pika

REPLIES = "amq.rabbitmq.reply-to"


def manifest(name, group, hosts, domain, container):
    membership = {"group": group}
    if container:
        membership["groupContainer"] = container
    return {
        "apiVersion": "farmhand/v1",
        "kind": "Farm",
        "metadata": {"name": name},
        "spec": {
            "account": {
                "dnsHostName": f"{name}.{domain}",
                "servicePrincipalNames": [f"http/{name}.{domain}", f"http/{name}"],
            },
            "membership": membership,
            "hosts": hosts,
        },
    }


def read_farms(path, domain, container):
    with open(path, newline="", encoding="utf-8") as lines:
        rows = csv.reader(line for line in lines if line.strip() and not line.startswith("#"))
        return {name: manifest(name, group, hosts.split(), domain, container) for name, group, hosts in rows}


def event(batch, name, data, plan):
    """A CloudEvent: source and id together name the request."""
    return {
        "specversion": "1.0",
        "type": "farmhand.request.deploy.v1",
        "source": "/pipelines/commission-farms",
        "id": f"{batch}/{name}",
        "datacontenttype": "application/json",
        "plan": plan,
        "reason": f"commissioned by {batch}",
        "data": data,
    }


def commission(options, farms):
    """Asks for all and gives the answers that came in time, by the farm's name."""
    user = unquote(urlsplit(options.url).username or "guest")
    connection = pika.BlockingConnection(pika.URLParameters(options.url))
    channel = connection.channel()
    answers = {}

    def answered(_channel, _method, properties, body):
        answers[properties.correlation_id] = json.loads(body)["data"]

    # Direct reply-to: consumed before anything is asked, on the channel that asks.
    channel.basic_consume(REPLIES, answered, auto_ack=True)
    # From here on a publish returns when the broker has the message, and fails when it does not take it.
    channel.confirm_delivery()
    for name, data in farms.items():
        properties = pika.BasicProperties(
            content_type="application/cloudevents+json",
            delivery_mode=2,
            user_id=user,
            reply_to=REPLIES,
            correlation_id=name,
        )
        body = json.dumps(event(options.batch, name, data, options.plan)).encode()
        channel.basic_publish(f"{options.prefix}.requests", "deploy", body, properties, mandatory=True)
    until = time.monotonic() + options.timeout
    while len(answers) < len(farms) and time.monotonic() < until:
        connection.process_data_events(time_limit=1)
    connection.close()
    return answers


def report(farms, answers):
    refused = missing = 0
    for name in farms:
        answer = answers.get(name)
        if answer is None:
            missing += 1
            print(f"{name}: no answer yet")
        elif answer["accepted"]:
            again = " (asked before)" if answer.get("replayed") else ""
            print(f"{name}: workflow {answer['workflow']['id']}{again}")
        else:
            refused += 1
            problem = answer["problem"]
            print(f"{name}: refused, {problem['code']}: {problem['message']} ({problem['hint']})")
    return 1 if refused else 3 if missing else 0


def main():
    parser = argparse.ArgumentParser(description="Commissions the farms of a list over RabbitMQ.")
    parser.add_argument("list", help="lines of name,group,hosts")
    parser.add_argument("--batch", required=True, help="names this run; the same batch asks for the same workflows")
    parser.add_argument("--domain", default="contoso.com", help="DNS domain of the farms")
    parser.add_argument("--group-container", help="where missing groups are made; left out: the domain's Users container")
    parser.add_argument("--plan", action="store_true", help="dry runs")
    parser.add_argument("--prefix", default="farmhand", help="as amqp.prefix of Farmhand's configuration")
    parser.add_argument("--timeout", type=float, default=60, help="seconds to wait for the answers")
    options = parser.parse_args()
    # Not a flag: a process list shows flags, and the URL holds the password.
    options.url = os.environ.get("FARMHAND_AMQP_URL") or sys.exit("set FARMHAND_AMQP_URL")
    farms = read_farms(options.list, options.domain, options.group_container)
    try:
        answers = commission(options, farms)
    except pika.exceptions.AMQPError as error:
        print(f"the broker does not take it: {error!r}", file=sys.stderr)
        return 3
    return report(farms, answers)


if __name__ == "__main__":
    sys.exit(main())
