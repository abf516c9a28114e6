#!/bin/sh
# Publishes one persistent message for each argument to the queue $QUEUE.
# A container that is restarted halfway goes on after the last message that it
# knows to be published: $PROGRESS_DIR lives as long as the Pod.
set -eu

sh "$(dirname "$0")/declare-queue.sh"
number=0
for item in "$@"; do
	number=$((number + 1))
	mark=$PROGRESS_DIR/$number
	[ -e "$mark" ] && continue
	amqp-publish --url="$BROKER_URL" --routing-key="$QUEUE" --persistent --body="$item"
	: >"$mark"
	echo "Queued $item"
done
