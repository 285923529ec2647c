//! The OpenAPI schemas of types in answers and bodies.

use utoipa::openapi::schema::{
    AdditionalProperties, ArrayBuilder, ObjectBuilder, SchemaType, Type,
};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::field::MAX_ITEMS;
use crate::key::{Ability, KeyKind, Restrictions, Stage};
use crate::store::KeyState;

fn one_of<const N: usize>(values: [&str; N]) -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(values)).into()
}

impl PartialSchema for KeyState {
    fn schema() -> RefOr<Schema> {
        one_of(Self::ALL.map(Self::as_str))
    }
}

impl ToSchema for KeyState {
    fn name() -> std::borrow::Cow<'static, str> {
        "ApiKeyState".into()
    }
}

impl PartialSchema for KeyKind {
    fn schema() -> RefOr<Schema> {
        one_of(["secret", "public"])
    }
}

impl ToSchema for KeyKind {
    fn name() -> std::borrow::Cow<'static, str> {
        "ApiKeyKind".into()
    }
}

/// Describes a text of at most `length` characters.
fn text(pattern: &str, length: usize, example: &str) -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some(pattern))
        .max_length(Some(length))
        .examples([example])
        .into()
}

impl PartialSchema for Ability {
    fn schema() -> RefOr<Schema> {
        text(r"^([A-Za-z0-9_.-]+:)*(\*|[A-Za-z0-9_.-]+)$", 128, "bots:read")
    }
}

impl ToSchema for Ability {
    fn name() -> std::borrow::Cow<'static, str> {
        "ApiKeyAbility".into()
    }
}

impl PartialSchema for Stage {
    fn schema() -> RefOr<Schema> {
        text("^[A-Za-z0-9_.-]+$", 128, "live")
    }
}

impl ToSchema for Stage {
    fn name() -> std::borrow::Cow<'static, str> {
        "ApiKeyStage".into()
    }
}

impl PartialSchema for Restrictions {
    fn schema() -> RefOr<Schema> {
        let list = |description: &str| {
            ArrayBuilder::new()
                .schema_type(SchemaType::Array(vec![Type::Array, Type::Null]))
                .items(ObjectBuilder::new().schema_type(Type::String).build())
                .max_items(Some(MAX_ITEMS))
                .description(Some(description))
        };
        ObjectBuilder::new()
            .property("addresses", list("Networks and addresses, such as `192.0.2.0/24`"))
            .property("origins", list("Sites, such as `https://*.shop.example`"))
            .property("referrers", list("Pages, such as `https://app.example/*`"))
            .property("endpoints", list("Methods and paths, such as `GET /v1/users/{id}`"))
            .additional_properties(Some(AdditionalProperties::FreeForm(false)))
            .into()
    }
}

impl ToSchema for Restrictions {
    fn name() -> std::borrow::Cow<'static, str> {
        "ApiKeyRestrictions".into()
    }
}
