#!/bin/sh
# Declares the durable queue $QUEUE at $BROKER_URL, and waits up to two minutes
# for a broker that is still starting.
set -eu

attempts=0
until amqp-declare-queue --url="$BROKER_URL" --queue="$QUEUE" --durable; do
	attempts=$((attempts + 1))
	if [ "$attempts" -ge 120 ]; then
		echo "no broker answered for two minutes" >&2
		exit 1
	fi
	sleep 1
done
