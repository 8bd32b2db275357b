"""A to-do API on API Gateway (HTTP API), Lambda and DynamoDB: the routes of ../node/index.mjs.

Uses only what the runtime has: the request to DynamoDB is signed in dynamodb.py.
"""
import base64
import json
import logging
import os
import time
import uuid

from dynamodb import DynamoDBError, dynamodb

TABLE = os.environ["TABLE_NAME"]
log = logging.getLogger()
log.setLevel(logging.INFO)


def answer(status, body):
    return {
        "statusCode": status,
        "headers": {"content-type": "application/json"},
        "body": json.dumps(body),
    }


def to_todo(item):
    return {
        "id": item["id"]["S"],
        "title": item["title"]["S"],
        "done": item["done"]["BOOL"],
        "created": int(item["created"]["N"]),
    }


def create(event):
    text = event.get("body") or "{}"
    if event.get("isBase64Encoded"):
        text = base64.b64decode(text).decode()
    try:
        title = json.loads(text).get("title")
    except (ValueError, AttributeError):
        return answer(400, {"message": "the body is not JSON"})
    if not isinstance(title, str) or not title:
        return answer(400, {"message": "title is missing"})
    item = {
        "id": {"S": str(uuid.uuid4())},
        "title": {"S": title},
        "done": {"BOOL": False},
        "created": {"N": str(time.time_ns() // 1_000_000)},
    }
    dynamodb("PutItem", TableName=TABLE, Item=item,
             ConditionExpression="attribute_not_exists(id)")
    log.info("created %s", item["id"]["S"])
    return answer(201, to_todo(item))


def list_all(event):
    query = event.get("queryStringParameters") or {}
    more = {}
    if "limit" in query:
        more["Limit"] = int(query["limit"])
    if "next" in query:
        more["ExclusiveStartKey"] = {"id": {"S": query["next"]}}
    page = dynamodb("Scan", TableName=TABLE, **more)
    todos = sorted(map(to_todo, page["Items"]), key=lambda todo: todo["created"])
    last = page.get("LastEvaluatedKey")
    return answer(200, {"todos": todos, "next": last["id"]["S"] if last else None})


def get(event):
    page = dynamodb("GetItem", TableName=TABLE, ConsistentRead=True,
                    Key={"id": {"S": event["pathParameters"]["id"]}})
    if "Item" not in page:
        return answer(404, {"message": "no such to-do"})
    return answer(200, to_todo(page["Item"]))


def complete(event):
    try:
        page = dynamodb("UpdateItem", TableName=TABLE,
                        Key={"id": {"S": event["pathParameters"]["id"]}},
                        UpdateExpression="SET done = :yes",
                        ConditionExpression="attribute_exists(id)",
                        ExpressionAttributeValues={":yes": {"BOOL": True}},
                        ReturnValues="ALL_NEW")
    except DynamoDBError as error:
        if error.code != "ConditionalCheckFailedException":
            raise
        return answer(404, {"message": "no such to-do"})
    return answer(200, to_todo(page["Attributes"]))


def remove(event):
    page = dynamodb("DeleteItem", TableName=TABLE, ReturnValues="ALL_OLD",
                    Key={"id": {"S": event["pathParameters"]["id"]}})
    if "Attributes" not in page:
        return answer(404, {"message": "no such to-do"})
    return answer(200, to_todo(page["Attributes"]))


ROUTES = {
    "POST /todos": create,
    "GET /todos": list_all,
    "GET /todos/{id}": get,
    "POST /todos/{id}/done": complete,
    "DELETE /todos/{id}": remove,
}


def handler(event, context):
    route = ROUTES.get(event["routeKey"])
    if not route:
        return answer(404, {"message": f"no route {event['routeKey']}"})
    return route(event)
