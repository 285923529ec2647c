//! [`list_ended`]: the keys that ended, in repositories without an index of their ends.

use super::{
    EndedCursor, EndedPage, EndedQuery, KeyCursor, KeyPage, KeyQuery, KeyState, ParseCursorError,
    StoreError,
};

/// The states of keys that ended. A key that is disabled may have expired, too.
const STATES: [KeyState; 3] = [KeyState::Revoked, KeyState::Expired, KeyState::Disabled];

/// Reads a page of a list of the keys in one state, and returns those that the query matches.
///
/// A cursor is the number of a state, and the place to continue.
pub(super) async fn list_ended(
    query: &EndedQuery,
    list: impl AsyncFnOnce(&KeyQuery) -> Result<KeyPage, StoreError>,
) -> Result<EndedPage, StoreError> {
    let (number, after) = match &query.after {
        Some(after) => place(after).map_err(StoreError::answered)?,
        None => (0, None),
    };
    let Some(state) = STATES.get(number) else { return Ok(EndedPage::new(Vec::new(), None)) };
    let mut listed = KeyQuery::new().state(*state).after(after).limit(query.page_size());
    (listed.tenant, listed.at) = (query.tenant.clone(), query.before);
    let page = list(&listed).await?;
    let records = page.keys.into_iter().map(|key| key.record);
    let keys = records.filter(|record| query.matches(record)).collect();
    let next = match page.next {
        Some(next) => Some(format!("{number}:{next}")),
        None => STATES.get(number + 1).map(|_| format!("{}:", number + 1)),
    };
    Ok(EndedPage::new(keys, next.map(EndedCursor::new)))
}

fn place(cursor: &EndedCursor) -> Result<(usize, Option<KeyCursor>), ParseCursorError> {
    let (number, after) = cursor.as_str().split_once(':').ok_or(ParseCursorError)?;
    let after = (!after.is_empty()).then(|| after.parse()).transpose()?;
    Ok((number.parse().map_err(|_| ParseCursorError)?, after))
}
