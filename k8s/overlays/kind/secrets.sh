#!/bin/sh
# Makes the secrets of a throwaway cluster, each at random, into ./secrets, which Git ignores. What is there stays. It prints the gateway's key.
#   VITRINE_REPOSITORY=https://... ./secrets.sh
# VITRINE_BRANCH is the one that runs clone, profile/kind unless given.
set -eu
cd "$(dirname "$0")"
: "${VITRINE_REPOSITORY:?say where runs clone from}"
[ ! -e secrets ] || { echo "secrets/ is there already: remove it to make others"; exit 1; }
umask 077
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
random() { od -An -tx1 -N24 /dev/urandom | tr -d ' \n'; }
params=$(cd ../../.. && pwd)/params.yaml
cp "$params" "$work"
key=$(cd "$work" && vitrine key create --scope read --scope write --scope admin --scope probe --note kind)
keys=$(cd "$work" && python3 -c 'import json; print(json.dumps(json.load(open(".vitrine/serve/keys.json"))))')
database=$(random) prefect=$(random) s3=$(random)
mkdir secrets
printf 'api-keys=%s\nuser-salt=%s\n' "$keys" "$(random)" >secrets/gateway.env
printf 'auth-string=vitrine:%s\ndatabase-url=postgresql+asyncpg://prefect:%s@postgres:5432/prefect\n' "$prefect" "$database" >secrets/prefect.env
printf 'POSTGRES_USER=prefect\nPOSTGRES_DB=prefect\nPOSTGRES_PASSWORD=%s\n' "$database" >secrets/postgres.env
printf 'AWS_ACCESS_KEY_ID=vitrine\nAWS_SECRET_ACCESS_KEY=%s\nAWS_REGION=us-east-1\nAWS_ENDPOINT_URL_S3=http://s3:9000\n' "$s3" >secrets/s3.env
printf 'VITRINE_REPOSITORY=%s\nVITRINE_BRANCH=%s\n' "$VITRINE_REPOSITORY" "${VITRINE_BRANCH:-profile/kind}" >secrets/git.env
printf 'slack_url=http://localhost/none\npagerduty_key=none\n' >secrets/alerts.env
echo "$key"
