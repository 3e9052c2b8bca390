#!/bin/sh
# Initialize the data directory on an empty volume: create it under another name and rename it, so that it is never incomplete.
set -eu

volume=/var/lib/postgresql/data
advice=/dev/termination-log

stop() {
  echo "$1" | tee "$advice" >&2
  exit 1
}

(: >> "$volume/lock") 2>/dev/null ||
  stop "The volume at $volume cannot be written by user $(id -u): it ignores fsGroup, or is read-only. Use a storage class with volumes that this user can write, or set postgresql_user_id."

# A force-deleted pod can still run for a moment, and two servers would destroy the data.
exec 9>> "$volume/lock"
flock --exclusive --wait 60 9 ||
  stop "Another server still uses the volume. Find its pod and delete it."

image=$(postgres --version | sed -E 's/[^0-9]*([0-9]+).*/\1/')

if [ -s "$PGDATA/PG_VERSION" ]; then
  found=$(cat "$PGDATA/PG_VERSION")
  [ "$found" = "$image" ] ||
    stop "The volume holds data of PostgreSQL $found and the image has PostgreSQL $image, which cannot read it. Set postgresql_image back to $found. To change versions, back up with $found and restore into a new volume with $image."
  # With fsGroup, the group can write, which PostgreSQL refuses.
  chmod 0700 "$PGDATA"
  exit 0
fi

[ ! -e "$PGDATA" ] ||
  stop "The directory $PGDATA on the volume is not a data directory of PostgreSQL. Restore it from a backup, or remove the claim to start with an empty volume."

rm -rf "$volume/initializing"
initdb \
  --pgdata="$volume/initializing" \
  --username="$POSTGRESQL_ADMIN" \
  --pwfile=/run/secrets/admin/password \
  --auth-local=peer \
  --auth-host=scram-sha-256 \
  --data-checksums \
  --encoding=UTF8 \
  --locale-provider=builtin \
  --locale=C.UTF-8 \
  --set=huge_pages=off ||
  stop "initdb failed. Read its log for the cause. The next attempt removes the incomplete directory."
mv "$volume/initializing" "$PGDATA"
sync "$volume" "$PGDATA"
