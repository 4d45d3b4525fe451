#!/usr/bin/env bash
# What a team without Tagship might write: the same canary release of a Lambda function, and the same way back. No gates, no approval,
# no lock, no record. For a version that fails its check it prints when it saw that, and when the baseline had all traffic again.
#
#   rival.sh FUNCTION ALIAS BUCKET KEY
set -euo pipefail
function=$1 alias=$2 bucket=$3 key=$4
answer=$(mktemp)
trap 'rm -f "$answer"' EXIT

aws lambda update-function-code --function-name "$function" --s3-bucket "$bucket" --s3-key "$key" >/dev/null
aws lambda wait function-updated --function-name "$function"
candidate=$(aws lambda publish-version --function-name "$function" --query Version --output text)
aws lambda update-alias --function-name "$function" --name "$alias" \
  --routing-config "AdditionalVersionWeights={$candidate=0.1}" >/dev/null
aws lambda invoke --function-name "$function" --qualifier "$candidate" \
  --payload fileb://<(echo '{"source": "tagship", "check": "health"}') "$answer" >/dev/null
if grep -q '"healthy": true' "$answer"; then
  aws lambda update-alias --function-name "$function" --name "$alias" --function-version "$candidate" \
    --routing-config "AdditionalVersionWeights={}" >/dev/null
else
  echo "$EPOCHREALTIME"
  aws lambda update-alias --function-name "$function" --name "$alias" --routing-config "AdditionalVersionWeights={}" >/dev/null
  echo "$EPOCHREALTIME"
fi
