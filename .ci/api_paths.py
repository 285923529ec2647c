"""Checks rustdoc's JSON: each public item has one path, and each pattern of foreign types is used."""

import json
import re
import sys

document, manifest = sys.argv[1:]
with open(document) as file:
    crate = json.load(file)
items, paths = crate["index"], {}


def walk(module, path, seen):
    """Collects the paths by which what is in a module can be named. Hidden items are not in the document."""
    for number in module["inner"]["module"]["items"]:
        item = items.get(str(number))
        if item is None or item["visibility"] not in ("public", "default"):
            continue
        if use := item["inner"].get("use"):
            target = items.get(str(use["id"]))
            if target is None or target["crate_id"] != module["crate_id"]:
                continue
            if use["is_glob"]:
                walk(target, path, seen)
                continue
            item, name = target, use["name"]
        else:
            name = item["name"]
        if name is None or "impl" in item["inner"]:
            continue
        named = f"{path}::{name}"
        paths.setdefault(str(item["id"]), set()).add(named)
        if "module" in item["inner"] and item["id"] not in seen:
            walk(item, named, seen | {item["id"]})


root = items[str(crate["root"])]
walk(root, root["name"], {root["id"]})
twice = sorted(sorted(found) for found in paths.values() if len(found) > 1)
for found in twice:
    print("two paths:", *found)

# Which foreign items the document names, wherever.
used = set()


def collect(value):
    if isinstance(value, dict):
        if "path" in value and isinstance(value.get("id"), int):
            known = crate["paths"].get(str(value["id"]))
            if known and known["crate_id"] != root["crate_id"]:
                used.add("::".join(known["path"]))
        for part in value.values():
            collect(part)
    elif isinstance(value, list):
        for part in value:
            collect(part)


collect([item["inner"] for item in items.values()])
with open(manifest) as file:
    section = re.search(r"allowed_external_types = \[(.*?)\n\]", file.read(), re.S)
allowed = re.findall(r'"([^"]+)"', section[1])
named = used | {use["source"] for item in items.values() if (use := item["inner"].get("use"))}
unused = [pattern for pattern in allowed if pattern not in named]
for pattern in unused:
    print("no public signature has it:", pattern)

print(len(paths), "items,", len(allowed), "patterns")
sys.exit(1 if twice or unused or len(paths) < 200 else 0)
