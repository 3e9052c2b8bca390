#!/bin/sh
# Makes the data directory on an empty volume. Nothing of it is there until all of it is: it is made aside, then renamed.
set -eu

volume=/var/lib/postgresql/data
advice=/dev/termination-log

stop() {
  echo "$1" | tee "$advice" >&2
  exit 1
}

(: >> "$volume/lock") 2>/dev/null ||
  stop "The volume at $volume cannot be written by user $(id -u): it ignores fsGroup, or is read-only. Take a storage class whose volumes this user may write, or set postgresql_user_id."

# A pod that was deleted by force may still run for a moment, and two servers on one volume would destroy it.
exec 9>> "$volume/lock"
flock --exclusive --wait 60 9 ||
  stop "Another server still runs on the volume. Look for its pod and remove it."

image=$(postgres --version | sed -E 's/[^0-9]*([0-9]+).*/\1/')

if [ -s "$PGDATA/PG_VERSION" ]; then
  found=$(cat "$PGDATA/PG_VERSION")
  [ "$found" = "$image" ] ||
    stop "The volume holds data of PostgreSQL $found and the image has PostgreSQL $image, which cannot read it. Set postgresql_image back to $found; to change versions, back up with $found and restore into a new volume with $image."
  # Volumes that apply fsGroup let the group write, which PostgreSQL refuses.
  chmod 0700 "$PGDATA"
  exit 0
fi

[ ! -e "$PGDATA" ] ||
  stop "The folder $PGDATA on the volume is no data directory of PostgreSQL. Restore it from a backup, or remove the claim to begin with an empty volume."

rm -rf "$volume/initialising"
initdb \
  --pgdata="$volume/initialising" \
  --username="$POSTGRESQL_ADMIN" \
  --pwfile=/run/secrets/admin/password \
  --auth-local=peer \
  --auth-host=scram-sha-256 \
  --data-checksums \
  --encoding=UTF8 \
  --locale-provider=builtin \
  --locale=C.UTF-8 ||
  stop "initdb failed: its log says why. What it left is removed by the next try."
mv "$volume/initialising" "$PGDATA"
sync "$volume" "$PGDATA"
