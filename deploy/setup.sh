#!/bin/bash
# Makes the secrets of docker-compose.yml, where they do not exist yet.
#   setup.sh COUCHDB_DIR BRIDGE_DIR
# COUCHDB_DIR gets CouchDB's configuration with the admin's password, BRIDGE_DIR the URL that contains it and the file of
# the static policy, which has only the hash of the token printed here.
set -euo pipefail
umask 077
couchdb=$1 bridge=$2
nonroot=65532 # the user of the bridge's image

random() { head -c 24 /dev/urandom | sha256sum | cut -c1-48; }

# own USER FILE... gives files to the user that reads them; nobody else can.
own() {
  local user=$1
  shift
  if [ "$(id -u)" = 0 ]; then chown "$user" "$@"; fi
}

if [ ! -e "$couchdb/10-pouchbridge.ini" ]; then
  password=$(random)
  cat >"$couchdb/10-pouchbridge.ini.new" <<INI
[couchdb]
single_node = true

[admins]
pouchbridge = $password
INI
  printf '%s' "$password" >"$couchdb/.password"
  mv "$couchdb/10-pouchbridge.ini.new" "$couchdb/10-pouchbridge.ini"
  echo "setup: made CouchDB's administrator, pouchbridge"
fi

printf 'http://pouchbridge:%s@couchdb:5984' "$(cat "$couchdb/.password")" >"$bridge/couchdb_url"

if [ ! -e "$bridge/static.json" ]; then
  token=$(random)
  cat >"$bridge/static.json.new" <<JSON
{
  "tokens": [
    {
      "sha256": "$(printf '%s' "$token" | sha256sum | cut -d' ' -f1)",
      "subject": "setup",
      "databases": [{"match": "*", "create": true}]
    }
  ]
}
JSON
  mv "$bridge/static.json.new" "$bridge/static.json"
  echo "setup: clients present this token, which is not shown again: $token"
fi
own "$nonroot" "$bridge" "$bridge/couchdb_url" "$bridge/static.json"
