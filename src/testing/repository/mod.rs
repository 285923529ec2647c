//! [`check_key_repository`]: a conformance suite for [`KeyRepository`].

mod bounds;
mod changes;
mod lists;
mod many;
mod required;
mod suite;
mod suspended;
mod usage;
mod usage_days;
mod uses;
mod writers;

use self::suite::Suite;
pub use self::usage::check_usage_store;
use super::conformance::check_key_store_without;
use crate::store::{KeyRepository, RecordField, RecordUses};

/// Checks a repository against the contract of [`KeyRepository`], which includes
/// [`KeyStore`](crate::KeyStore): a conformance suite for tests.
///
/// A repository need not support suspended tenants: if it answers [`CommitError::Unsupported`](crate::store::CommitError::Unsupported), the
/// suite skips them. The repository may hold other records; the suite uses ids and tenants of its own.
///
/// # Panics
///
/// Panics with a description of the fault.
///
/// # Examples
///
/// ```
/// use tower_api_key::MemoryStore;
/// use tower_api_key::testing::check_key_repository;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// check_key_repository(&MemoryStore::new()).await;
/// # }
/// ```
pub async fn check_key_repository<R>(repository: &R)
where
    R: KeyRepository + ?Sized,
{
    check_key_repository_without(repository, &[]).await;
}

/// Checks a repository over a table without columns for some fields, like [`check_key_repository`].
///
/// The records of the suite leave these fields empty. The suite also checks that the repository
/// [refuses](RecordField) a record with one of them.
///
/// # Panics
///
/// Panics with a description of the fault.
///
/// # Examples
///
/// ```
/// use tower_api_key::MemoryStore;
/// use tower_api_key::store::RecordField;
/// use tower_api_key::testing::check_key_repository_without;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// // As over a table with a column for each field.
/// check_key_repository_without(&MemoryStore::new(), &[] as &[RecordField]).await;
/// # }
/// ```
pub async fn check_key_repository_without<R>(repository: &R, fields: &[RecordField])
where
    R: KeyRepository + ?Sized,
{
    let suite = Suite { repository, without: fields };
    check_key_store_without(repository, fields, async |record| suite.put(record).await).await;
    suite.what_is_not_kept_is_refused().await;
    suite.a_key_is_got_by_its_id().await;
    suite.ids_and_digests_are_unique().await;
    suite.a_change_is_made_to_its_revision_only().await;
    suite.all_changes_are_made_or_none().await;
    suite.a_revocation_is_never_taken_back().await;
    suite.of_two_writers_one_wins().await;
    suite.no_revocation_is_lost().await;
    suite.a_removed_key_is_gone().await;
    suite.what_is_removed_can_be_inserted_in_one_commit().await;
    suite.what_is_required_is_compared_and_not_changed().await;
    suite.without_what_is_required_nothing_is_changed().await;
    suite.a_requirement_finds_what_the_changes_before_it_left().await;
    suite.nothing_is_made_for_what_was_revoked().await;
    suite.a_kind_of_change_that_is_not_known_is_refused().await;
    suite.many_changes_are_made_or_none().await;
    suite.pages_follow_one_another().await;
    suite.keys_that_ended_are_found().await;
    suite.lists_are_filtered().await;
    suite.every_filter_lists_what_the_query_matches().await;
    suite.a_query_that_is_not_valid_lists_nothing().await;
    suite.a_list_goes_on_where_a_page_has_visited_enough().await;
    suite.those_keys_are_counted_that_work_or_may_work_again().await;
    suite.those_who_insert_at_once_keep_to_the_bound().await;
    suite.a_dropped_commit_is_whole().await;
    if suite.can_suspend().await {
        suite.keys_of_a_suspended_tenant_are_found_as_such().await;
        suite.keys_of_a_suspended_tenant_can_only_be_taken_out_of_use().await;
        suite.nothing_is_inserted_once_a_tenant_is_suspended().await;
    }
}

/// Checks a repository against the contract of [`RecordUses`].
///
/// # Panics
///
/// Panics with a description of the fault.
///
/// # Examples
///
/// ```
/// use tower_api_key::MemoryStore;
/// use tower_api_key::testing::check_record_uses;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// check_record_uses(&MemoryStore::new()).await;
/// # }
/// ```
pub async fn check_record_uses<R>(repository: &R)
where
    R: KeyRepository + RecordUses + ?Sized,
{
    check_record_uses_without(repository, &[]).await;
}

/// Checks a repository over a table without columns for some fields, like [`check_record_uses`].
///
/// # Panics
///
/// Panics with a description of the fault.
///
/// # Examples
///
/// ```
/// use tower_api_key::MemoryStore;
/// use tower_api_key::store::RecordField;
/// use tower_api_key::testing::check_record_uses_without;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// // As over a table with a column for each field.
/// check_record_uses_without(&MemoryStore::new(), &[] as &[RecordField]).await;
/// # }
/// ```
pub async fn check_record_uses_without<R>(repository: &R, fields: &[RecordField])
where
    R: KeyRepository + RecordUses + ?Sized,
{
    let suite = Suite { repository, without: fields };
    suite.uses_only_go_forward().await;
    suite.a_use_changes_no_record().await;
    suite.a_removed_key_leaves_no_uses().await;
    suite.lists_are_filtered_by_uses().await;
}
