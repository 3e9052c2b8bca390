#!/bin/sh
# Log in to the server in this pod and send PING. For `ready`, the response must be PONG. For `live`, any response is enough, because a
# server that loads its data is alive. The other arguments are options of valkey-cli.
set -eu

wanted=$1
shift
# Through standard input, so that the password is in no argument list and no environment.
answer=$(
  printf 'AUTH %s %s\nPING\n' "$(cat /run/secrets/cache/user)" "$(cat /run/secrets/cache/password)" |
    timeout 3 valkey-cli -h 127.0.0.1 -p 6379 "$@" 2>&1
) || exit 1

case $wanted:$answer in
  ready:*PONG | live:OK* | live:LOADING* | live:BUSY*) ;;
  *) echo "The server does not answer: $answer" && exit 1 ;;
esac
