#!/bin/sh
# Write 160 values of 1 MB, which is more than the memory of the server.
for key in $(seq 160); do
  echo "EVAL \"return redis.call('SET', KEYS[1], string.rep('x', 1000000), 'EX', 300)\" 1 value:$key"
done | sh /scripts/cli.sh | sort | uniq -c
sh /scripts/cli.sh DBSIZE 'INFO stats' | grep -E '^[0-9]+|evicted_keys'
