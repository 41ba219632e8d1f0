"""The page of touchpoint types."""

from __future__ import annotations

from typing import Any, get_args

from tools.reference.text import code, page, paragraphs, table
from touchbook.schemas.catalogue import CATALOGUE
from touchbook.schemas.details import Details, Family

INTRODUCTION = """
What a touchpoint's `type` may be, with the fields of its `data`. A running server answers the same as JSON Schema at
`GET /v1/schemas/{type}`. Every type counts as a signal under its own name; what else it can give stands beside it, and
`interest:`, `via:`, `spend:` and `refund:` are followed by a category, a channel or a currency. Other types than these
are welcome too: they are kept as plain cards that count under their own name.

The fields of [every touchpoint](#fields-of-every-touchpoint) may stand in any of them, and fields that a type does not
know are kept.
"""


def touchpoints_page() -> str:
    families = [family for family in get_args(Family) if _types_of(family)]
    overview = ((f"[{family}](#{family})", ", ".join(map(_linked, _types_of(family)))) for family in families)
    common = "\n".join(["## Fields of every touchpoint\n", _fields(Details, frozenset())])
    return page(
        "Touchpoint types",
        INTRODUCTION,
        table(("family", "types"), overview),
        common,
        *(part for family in families for part in _family(family)),
    )


def _types_of(family: str) -> list[type[Details]]:
    return [model for model in CATALOGUE.values() if model.family == family]


def _linked(model: type[Details]) -> str:
    return f"[`{model.type}`](#{model.type})"


def _family(family: str) -> list[str]:
    return [f"## {family}\n", *(_section(model) for model in _types_of(family))]


def _section(model: type[Details]) -> str:
    gives = ", ".join(map(code, model.gives))
    facts = [
        f"Version {model.version}",
        f"direction `{model.default_direction}` unless it says otherwise",
        "the customer may see it" if model.for_customer else "not for the customer's eyes",
        *(["a public key may publish it"] if model.from_public_key else []),
        *([f"also gives {gives}"] if gives else []),
    ]
    fields = _fields(model, frozenset(Details.model_fields))
    return "\n".join(
        [f"### {model.type}\n", f"{paragraphs(model.__doc__)}\n", f"{'; '.join(facts)}.\n", fields]
    )


def _fields(model: type[Details], known: frozenset[str]) -> str:
    schema = model.model_json_schema()
    required = schema.get("required", [])
    rows = [
        (
            code(name),
            _kind(said, schema) + (", required" if name in required else ""),
            said.get("description", ""),
        )
        for name, said in schema["properties"].items()
        if name not in known
    ]
    return table(("field", "value", "meaning"), rows) if rows else "No fields of its own.\n"


def _kind(said: dict[str, Any], whole: dict[str, Any]) -> str:
    """What a field takes, in a few words: its JSON type, or the values it may have."""
    if reference := said.get("$ref"):
        return _kind(whole["$defs"][reference.rpartition("/")[2]], whole)
    if choices := said.get("anyOf"):
        kinds = [_kind(choice, whole) for choice in choices if choice.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if "enum" in said:
        return ", ".join(code(str(value)) for value in said["enum"])
    if "const" in said:
        return code(str(said["const"]))
    if said.get("type") == "array":
        items = said.get("items") or (said.get("prefixItems") or [{}])[0]
        return f"list of {_kind(items, whole)}"
    if said.get("format") == "date-time":
        return "time, RFC 3339"
    words = {"string": "text", "object": "object", "boolean": "true or false"}
    kind = str(said.get("type", "any"))
    return words.get(kind, kind)
