#!/bin/sh
# Removes what deploy.sh made: examples/todo/delete.sh node|python [name]
set -eu

runtime=${1:?"usage: delete.sh node|python [name]"}
name=${2:-todo-$runtime}
endpoint=${AWS_ENDPOINT_URL:-http://127.0.0.1:4566}
export AWS_ACCESS_KEY_ID="${AWS_ACCESS_KEY_ID:-test}"
export AWS_SECRET_ACCESS_KEY="${AWS_SECRET_ACCESS_KEY:-test}"
export AWS_DEFAULT_REGION="${AWS_DEFAULT_REGION:-us-east-1}"
export AWS_PAGER=

cirrus() { aws --endpoint-url "$endpoint" --output text "$@"; }

for api in $(cirrus apigatewayv2 get-apis --query "Items[?Name=='$name'].ApiId"); do
	cirrus apigatewayv2 delete-api --api-id "$api"
done
cirrus lambda delete-function --function-name "$name"
cirrus iam delete-role-policy --role-name "$name" --policy-name table
cirrus iam delete-role --role-name "$name"
cirrus dynamodb delete-table --table-name "$name" >/dev/null
