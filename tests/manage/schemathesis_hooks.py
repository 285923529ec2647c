"""What schemathesis cannot know of the routes for keys from their document."""

import re
import uuid
from datetime import datetime, timedelta, timezone

import schemathesis
from jsonschema_rs import Draft202012Validator

# What is valid, in fields of which the document cannot say it in full.
VALID = {
    "name": "Production Key",
    "prefix": "sk_live_",
    "expires_at": "2999-12-31T23:59:59Z",
    "limits": ["1000 per hour, burst 50", "export: 5 per 10 minutes"],
    "restrictions": {
        "addresses": ["192.0.2.0/24", "2001:db8::1"],
        "origins": ["https://*.shop.example"],
        "referrers": ["https://app.example/*"],
        "endpoints": ["GET /v1/users/{id}"],
    },
}

CURSOR = re.compile(r"\d+\.key_\w+")
NOW = datetime.now(timezone.utc).replace(microsecond=0)
TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ][\d:.]+([Zz]|[+-]\d\d:\d\d)")
PARAMETERS = [
    ("created_by", re.compile(r"name:.{1,256}"), "name:alice"),
    ("unused_since", TIME, "2000-01-01T00:00:00Z"),
    ("rotation_due_by", TIME, "2000-01-01T00:00:00Z"),
    # Not later than the end, and not too many hours before it.
    ("from", TIME, (NOW - timedelta(days=5)).isoformat()),
    ("to", TIME, NOW.isoformat()),
]
NAME = re.compile(r'"[ !#-\[\]-~]+"|[!#-+\--:<-\[\]-~]+')
SECRET = re.compile(r"sk_live_\w{8,}")


@schemathesis.hook
def before_call(context, case, **kwargs):
    """Puts what is valid in place of what the document allows, so that a request that is to be
    accepted can be, and another is refused for nothing but what is wrong by the document."""
    if isinstance(case.body, dict):
        document = case.operation.schema.raw_schema
        for field in VALID.keys() & case.body.keys():
            if case.body[field] is not None and is_allowed(document, field, case.body[field]):
                case.body[field] = VALID[field]
    # The same name with another body would be refused for what came before.
    name = (case.headers or {}).get("idempotency-key")
    if isinstance(name, str) and NAME.fullmatch(name) and len(name) <= 255:
        case.headers["idempotency-key"] = f'"{uuid.uuid4()}"'
    # Only a page says what a cursor is.
    if case.query and not CURSOR.fullmatch(str(case.query.get("cursor", ""))):
        case.query.pop("cursor", None)
    # A name that can be seen, and a time since 1970, as far as the document asks for one.
    for parameter, form, valid in PARAMETERS:
        if case.query and form.fullmatch(str(case.query.get(parameter, ""))):
            case.query[parameter] = valid


def is_allowed(document, field, value):
    schema = document["components"]["schemas"]["NewApiKey"]["properties"][field]
    schema = {**schema, "components": document["components"]}
    return Draft202012Validator(schema, validate_formats=True).is_valid(value)


@schemathesis.check
def no_answer_may_be_kept_by_a_cache(context, response, case):
    assert response.headers.get("cache-control") == ["no-store"], response.headers


@schemathesis.check
def only_new_keys_have_a_secret(context, response, case):
    secrets = len(SECRET.findall(response.text))
    assert secrets == (response.status_code == 201), f"{secrets} secrets"
