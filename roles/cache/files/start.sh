#!/bin/sh
# Write the users of the server, with a hash of the password, and start the server. The argument is the purpose, cache or queue.
set -eu

stop() {
  echo "$1" | tee /dev/termination-log >&2
  exit 1
}

if [ "$1" = queue ]; then
  (: >> /data/lock) 2>/dev/null ||
    stop "The volume at /data cannot be written by user $(id -u): it ignores fsGroup, or is read-only. Use a storage class with volumes that this user can write, or set cache_user_id."

  # A force-deleted pod can still run for a moment, and two servers would destroy the data. The server inherits the lock.
  exec 9>> /data/lock
  flock --exclusive --wait 60 9 ||
    stop "Another server still uses the volume. Find its pod and delete it."
fi

# printf is a part of the shell, so that the hash is in no argument list.
hash=$(sha256sum < /run/secrets/cache/password)
umask 077
printf 'user default off\nuser %s on #%s %s\n' \
  "$(cat /run/secrets/cache/user)" "${hash%% *}" "$(cat /etc/valkey/permissions.acl)" > /run/valkey/users.acl

exec valkey-server /etc/valkey/valkey.conf
