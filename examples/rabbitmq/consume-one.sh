#!/bin/sh
# Takes one message from $QUEUE and runs the given command with it on standard
# input. If the command fails, the message stays in the queue and this script
# fails, so that the Job does not count the Pod: amqp-consume alone ends with 0
# either way.
set -eu

done=$WORK_DIR/done
rm -f "$done"
amqp-consume --url="$BROKER_URL" --queue="$QUEUE" --count=1 -- sh -c '"$@" && : >"$0"' "$done" "$@"
[ -e "$done" ]
