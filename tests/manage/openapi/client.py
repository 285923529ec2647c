"""A client by what openapi-python-client makes of the document: client.py URL KEY"""

import json
import sys

from keys_client import AuthenticatedClient
from keys_client.api.api_keys import (
    create_api_key,
    get_api_key,
    list_api_keys,
    revoke_api_key,
    rotate_api_key,
)
from keys_client.models import (
    ApiKeyProblem,
    ApiKeyRotation,
    ListApiKeysState,
    NewApiKey,
)

url, key = sys.argv[1:]
client = AuthenticatedClient(base_url=url, token=key)

body = NewApiKey(name="Production Key", abilities=["bots:read"])
issued = create_api_key.sync(client=client, body=body).data
listed = list_api_keys.sync(client=client, limit=10, state=ListApiKeysState.ACTIVE)
rotation = ApiKeyRotation(grace_seconds=60)
successor = rotate_api_key.sync(issued.id, client=client, body=rotation).data
revoked = revoke_api_key.sync(successor.id, client=client)
shown = get_api_key.sync(successor.id, client=client)
wrong = create_api_key.sync_detailed(client=client, body=NewApiKey(name=""))
assert isinstance(wrong.parsed, ApiKeyProblem), wrong
stranger = AuthenticatedClient(base_url=url, token="wrong")
stranger = list_api_keys.sync_detailed(client=stranger)

print(
    json.dumps(
        {
            "issued": {
                "name": issued.name,
                "abilities": issued.abilities,
                "begins": issued.secret[:8],
            },
            "listed": issued.id in [key.id for key in listed.data],
            "is_another": successor.id != issued.id and successor.secret != issued.secret,
            "revoked": revoked.success,
            "state": shown.data.state.value,
            "wrong": [
                wrong.status_code,
                wrong.parsed.field,
                [error.field for error in wrong.parsed.errors],
            ],
            "stranger": stranger.status_code,
        }
    )
)
