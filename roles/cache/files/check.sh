#!/bin/sh
# Log in to an external server, and write and read a key. The arguments are options of valkey-cli. The first line of the output is the reason
# of a failure.
set -eu

secrets=/run/secrets/cache
address="$(cat $secrets/host):$(cat $secrets/port)"
user=$(cat $secrets/user)
key="cloud-django:check:$(cat /proc/sys/kernel/random/uuid)"

stop() {
  echo "The cache at $address $1" | tee /dev/termination-log
  exit 1
}

# As hexadecimal digits, because a password may have spaces and quotes.
quoted() {
  printf '"%s"' "$(od -An -v -tx1 < "$1" | tr -d ' \n' | sed 's/../\\x&/g')"
}

# Through standard input, so that the password is in no argument list and no environment.
answer=$(
  printf 'AUTH %s %s\nSET %s 1 EX 60\nDEL %s\nPING\n' "$(quoted $secrets/user)" "$(quoted $secrets/password)" "$key" "$key" |
    timeout 20 valkey-cli -t 5 -h "$(cat $secrets/host)" -p "$(cat $secrets/port)" "$@" 2>&1
) || answer="${answer:-no response after 20 s}"

case $answer in
  *"certificate verify failed"*) stop "has a certificate that cannot be trusted: it has expired, or cache_ca_certificate has another CA" ;;
  *"CA Certificate"*) stop "cannot be verified, because cache_ca_certificate is not a CA certificate in PEM" ;;
  *"reset by peer"* | *"Protocol error"* | *SSL_connect* | *"TLS connection"*) stop "does not answer as expected: cache_tls must be true if, and only if, it uses TLS" ;;
  *"not known"* | *"name resolution"*) stop "cannot be found: its name is unknown in the cluster, or a NetworkPolicy blocks DNS" ;;
  *"Could not connect"*) stop "cannot be reached from the cluster: $(printf '%s\n' "$answer" | head -n 1)" ;;
  *WRONGPASS* | *"invalid password"* | *"without any password"*) stop "refuses the password of user $user: set cache_user and cache_password, or correct Secret keys user and password" ;;
  *NOPERM*) stop "does not let user $user write keys: $(printf '%s\n' "$answer" | grep NOPERM | head -n 1)" ;;
  *OOM*) stop "is full and evicts no keys: raise its memory, or set its maxmemory-policy to volatile-lru" ;;
  OK*OK*1*PONG*) echo "The cache at $address accepts user $user." ;;
  *) stop "gives an unexpected response: $(printf '%s\n' "$answer" | head -n 1)" ;;
esac
