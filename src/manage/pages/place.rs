//! [`Place`]: the fields of a form that can have mistakes.

use super::texts::PageTexts;

/// A field of the form for a key, or the form as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Form,
    Name,
    Stage,
    Abilities,
    Expiry,
    Grace,
    Limits,
    Addresses,
    Origins,
    Referrers,
    Endpoints,
}

impl Place {
    /// Returns the id of the field.
    pub(super) const fn id(self) -> &'static str {
        match self {
            Self::Form => "form",
            Self::Name => "name",
            Self::Stage => "stage",
            Self::Abilities => "abilities",
            Self::Expiry => "expiry",
            Self::Grace => "grace",
            Self::Limits => "limits",
            Self::Addresses => "addresses",
            Self::Origins => "origins",
            Self::Referrers => "referrers",
            Self::Endpoints => "endpoints",
        }
    }

    /// Returns the label of the field.
    pub(super) fn label(self, texts: &PageTexts) -> Option<&str> {
        Some(match self {
            Self::Form => return None,
            Self::Name => &texts.name,
            Self::Stage => &texts.stage,
            Self::Abilities => &texts.abilities,
            Self::Expiry => &texts.expiry,
            Self::Grace => &texts.grace,
            Self::Limits => &texts.limits,
            Self::Addresses => &texts.addresses,
            Self::Origins => &texts.origins,
            Self::Referrers => &texts.referrers,
            Self::Endpoints => &texts.endpoints,
        })
    }

    /// Returns the text for a mistake. `{error}` is the error of the API.
    pub(super) fn wrong(self, texts: &PageTexts) -> Option<&str> {
        Some(match self {
            Self::Form => return None,
            Self::Name => &texts.wrong_name,
            Self::Stage => &texts.wrong_stage,
            Self::Abilities => &texts.wrong_abilities,
            Self::Expiry => &texts.wrong_expiry,
            Self::Grace => &texts.wrong_grace,
            Self::Limits => &texts.wrong_limits,
            Self::Addresses => &texts.wrong_addresses,
            Self::Origins => &texts.wrong_origins,
            Self::Referrers => &texts.wrong_referrers,
            Self::Endpoints => &texts.wrong_endpoints,
        })
    }

    /// Returns whether the field is in the part of the form that can be folded away.
    pub(super) const fn is_folded(self) -> bool {
        matches!(
            self,
            Self::Limits | Self::Addresses | Self::Origins | Self::Referrers | Self::Endpoints
        )
    }
}
