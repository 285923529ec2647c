//! [`Asked`]: the filters, the order and the page of the list.

use std::cmp::Reverse;

use http::StatusCode;

use super::form::Form;
use super::site::Site;
use super::time::{DAY, from_seconds, seconds};
use crate::key::Stage;
use crate::manage::api::ApiError;
use crate::store::{KeyQuery, KeyState, StoredKey};

/// The most keys that are sorted. The store has only one order.
const SORTED: usize = 1000;

/// The number of days without use after which a key is listed as unused.
const UNUSED_DAYS: u64 = 90;

/// The order of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Newest,
    Oldest,
    Name,
    NameDown,
    Used,
    Unused,
}

impl Sort {
    const ALL: [Self; 6] =
        [Self::Newest, Self::Oldest, Self::Name, Self::NameDown, Self::Used, Self::Unused];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Newest => "newest",
            Self::Oldest => "oldest",
            Self::Name => "name",
            Self::NameDown => "name-down",
            Self::Used => "used",
            Self::Unused => "unused",
        }
    }

    pub(super) fn sort(self, keys: &mut [StoredKey]) {
        let folded = |key: &StoredKey| key.record.name().to_lowercase();
        match self {
            Self::Newest => {}
            Self::Oldest => keys.reverse(),
            Self::Name => keys.sort_by_cached_key(folded),
            Self::NameDown => keys.sort_by_cached_key(|key| Reverse(folded(key))),
            Self::Used => keys.sort_by_key(|key| Reverse(key.last_used_at)),
            Self::Unused => keys.sort_by_key(|key| key.last_used_at),
        }
    }
}

/// The filters, the order and the page of the list.
pub(super) struct Asked {
    pub(super) name: String,
    pub(super) state: Option<KeyState>,
    pub(super) stage: String,
    pub(super) unused: bool,
    pub(super) sort: Sort,
    pub(super) after: String,
}

impl Asked {
    pub(super) fn read(form: &Form) -> Result<Self, ApiError> {
        let wrong = |field| {
            let message = "There is no such filter: start with the whole list";
            ApiError::field_is(StatusCode::BAD_REQUEST, field, message)
        };
        let state = match form.get("state") {
            "" => None,
            text => Some(
                KeyState::ALL
                    .into_iter()
                    .find(|state| state.as_str() == text)
                    .ok_or_else(|| wrong("state"))?,
            ),
        };
        let sort = match form.get("sort") {
            "" => Sort::Newest,
            text => {
                let known = Sort::ALL.into_iter().find(|sort| sort.as_str() == text);
                known.ok_or_else(|| wrong("sort"))?
            }
        };
        Ok(Self {
            name: form.get("name").chars().take(100).collect(),
            state,
            stage: form.get("stage").to_owned(),
            unused: form.has("unused"),
            sort,
            after: form.get("after").to_owned(),
        })
    }

    pub(super) fn is_filtered(&self) -> bool {
        !self.name.is_empty() || self.state.is_some() || !self.stage.is_empty() || self.unused
    }

    pub(super) fn query(&self, site: &Site<'_>) -> Result<KeyQuery, ApiError> {
        let wrong =
            |field: &str, error: String| ApiError::field_is(StatusCode::BAD_REQUEST, field, error);
        let mut query = KeyQuery::new();
        query.name = (!self.name.is_empty()).then(|| self.name.clone());
        query.state = self.state;
        if !self.stage.is_empty() {
            let stage = self.stage.parse::<Stage>();
            query = query.stage(stage.map_err(|error| wrong("stage", error.to_string()))?);
        }
        if self.unused {
            let since = seconds(site.now).saturating_sub(UNUSED_DAYS * DAY);
            query = query.unused_since(from_seconds(since));
        }
        if self.sort != Sort::Newest {
            return Ok(query.limit(SORTED));
        }
        let after = (!self.after.is_empty()).then(|| self.after.parse()).transpose();
        let after = after
            .map_err(|error: crate::store::ParseCursorError| wrong("after", error.to_string()))?;
        Ok(query.after(after).limit(site.settings.page_size))
    }

    /// Returns the link to the list in another order, or to another page.
    pub(super) fn link(&self, site: &Site<'_>, sort: Sort, after: &str) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (name, value) in [
            ("name", &*self.name),
            ("state", self.state.map_or("", KeyState::as_str)),
            ("stage", &self.stage),
            ("unused", if self.unused { "1" } else { "" }),
            ("sort", if sort == Sort::Newest { "" } else { sort.as_str() }),
            ("after", after),
        ] {
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        match query.finish() {
            query if query.is_empty() => site.list(),
            query => format!("{}?{query}", site.list()),
        }
    }
}
