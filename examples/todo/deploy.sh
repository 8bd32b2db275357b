#!/bin/sh
# Deploys the to-do API to cirrus with plain AWS CLI calls and prints its address.
#
#   examples/todo/deploy.sh node|python [name]
#
# AWS_ENDPOINT_URL says where cirrus is (default http://127.0.0.1:4566); any credentials do while it
# is bound to loopback. Running it again under the same name is an error: delete.sh removes it.
set -eu

runtime=${1:?"usage: deploy.sh node|python [name]"}
name=${2:-todo-$runtime}
here=$(cd "$(dirname "$0")" && pwd)
endpoint=${AWS_ENDPOINT_URL:-http://127.0.0.1:4566}
export AWS_ACCESS_KEY_ID="${AWS_ACCESS_KEY_ID:-test}"
export AWS_SECRET_ACCESS_KEY="${AWS_SECRET_ACCESS_KEY:-test}"
export AWS_DEFAULT_REGION="${AWS_DEFAULT_REGION:-us-east-1}"
export AWS_PAGER=

case $runtime in
node) identifier=nodejs20.x handler=index.handler ;;
python) identifier=python3.11 handler=todo.handler ;;
*) echo "deploy.sh: unknown runtime '$runtime' (node or python)" >&2; exit 2 ;;
esac

cirrus() { aws --endpoint-url "$endpoint" --output text "$@"; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$here/$runtime" && zip -q -X "$work/code.zip" -- *)

cirrus dynamodb create-table --table-name "$name" --billing-mode PAY_PER_REQUEST \
	--attribute-definitions AttributeName=id,AttributeType=S \
	--key-schema AttributeName=id,KeyType=HASH >/dev/null
cirrus dynamodb wait table-exists --table-name "$name"

role=$(cirrus iam create-role --role-name "$name" --query Role.Arn --assume-role-policy-document \
	'{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}')
cirrus iam put-role-policy --role-name "$name" --policy-name table --policy-document \
	'{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["dynamodb:PutItem","dynamodb:GetItem","dynamodb:UpdateItem","dynamodb:DeleteItem","dynamodb:Scan"],"Resource":"arn:aws:dynamodb:*:*:table/'"$name"'"}]}'

function=$(cirrus lambda create-function --function-name "$name" --runtime "$identifier" \
	--handler "$handler" --role "$role" --zip-file "fileb://$work/code.zip" --timeout 10 \
	--environment "Variables={TABLE_NAME=$name}" --query FunctionArn)
cirrus lambda wait function-active-v2 --function-name "$name"

api=$(cirrus apigatewayv2 create-api --name "$name" --protocol-type HTTP --query ApiId)
integration=$(cirrus apigatewayv2 create-integration --api-id "$api" --integration-type AWS_PROXY \
	--integration-uri "$function" --payload-format-version 2.0 --query IntegrationId)
for route in "POST /todos" "GET /todos" "GET /todos/{id}" "POST /todos/{id}/done" "DELETE /todos/{id}"; do
	cirrus apigatewayv2 create-route --api-id "$api" --route-key "$route" \
		--target "integrations/$integration" >/dev/null
done
cirrus apigatewayv2 create-stage --api-id "$api" --stage-name '$default' --auto-deploy >/dev/null

echo "$endpoint/_aws/execute-api/$api/\$default"
