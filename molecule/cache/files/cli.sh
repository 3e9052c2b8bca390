#!/bin/sh
# Log in as the user of the site over verified TLS, and run the commands in the arguments.
cd /run/secrets/cache || exit 1
{
  printf 'AUTH %s %s\n' "$(cat user)" "$(cat password)"
  [ $# -eq 0 ] && cat
  for command; do echo "$command"; done
} | timeout 30 valkey-cli --tls --cacert "$PWD/ca" --sni "$(cat host)" -h "$(cat host)" -p "$(cat port)" 2>&1
