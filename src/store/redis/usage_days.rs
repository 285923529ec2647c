//! The sums of days in Redis: texts of numbers, which expire.
//!
//! A text has a block of days of a key. For each tenant on whose behalf the key acts it has a part: the length of the
//! tenant's id as one byte, the id, which is empty for no tenant, and for each day in turn how many requests were
//! accepted and refused, as numbers of 64 bits. The script that adds to them finds the parts in the same way.

use std::collections::BTreeMap;
use std::time::SystemTime;

use super::RedisStore;
use crate::key::{KeyId, TenantId};
use crate::redis::Call;
use crate::store::usage::{Block, DAYS, additions, put_in_order};
use crate::store::{
    KeyUsage, StoreError, TenantFilter, UsageByKeyQuery, UsageRetention, UsageSums,
};

const PART: usize = DAYS * 16;

impl RedisStore {
    /// Adds the days of rows to the arguments of a script.
    pub(super) fn add_days(
        &self,
        rows: &[KeyUsage],
        retention: UsageRetention,
        call: &mut Call<'_>,
    ) {
        for ((block, id, tenant), days) in additions(rows) {
            let end = block.end().start().duration_since(SystemTime::UNIX_EPOCH);
            let expires_at = end.unwrap_or_default().saturating_add(retention.days);
            call.key(self.block(id, block)).arg(expires_at.as_secs());
            call.arg(tenant.map_or("", TenantId::as_str)).arg(days.len());
            for (place, (accepted, refused)) in days {
                call.arg(place);
                for count in [accepted, refused] {
                    call.arg(count.min(i64::MAX as u64));
                }
            }
        }
    }

    pub(super) async fn days_by_key(
        &self,
        query: &UsageByKeyQuery,
    ) -> Result<BTreeMap<KeyId, Vec<UsageSums>>, StoreError> {
        let blocks: Vec<_> = Block::within(query.from, query.to).collect();
        let of_key = |id| blocks.iter().map(move |block| self.block(id, *block));
        let names: Vec<_> = query.ids.iter().flat_map(of_key).collect();
        let mut texts = self.texts(&names).await?.into_iter();
        let mut keys = BTreeMap::new();
        for id in &query.ids {
            let mut sums = Vec::new();
            for (block, text) in blocks.iter().zip(texts.by_ref()) {
                if let Some(text) = text {
                    read(*block, &text, query, &mut sums)?;
                }
            }
            put_in_order(&mut sums);
            if !sums.is_empty() {
                keys.insert(id.clone(), sums);
            }
        }
        Ok(keys)
    }

    fn block(&self, id: &KeyId, Block(number): Block) -> String {
        self.name(&format!("usage:key:{id}:sums:{number}"))
    }
}

/// Reads the parts of a block that a query asks for.
fn read(
    block: Block,
    mut text: &[u8],
    query: &UsageByKeyQuery,
    sums: &mut Vec<UsageSums>,
) -> Result<(), StoreError> {
    let range = query.from..query.to;
    while !text.is_empty() {
        let part = split(text).ok_or_else(|| StoreError::new("a block of usage cannot be read"));
        let (tenant, numbers, rest) = part?;
        let is_asked = match &query.tenant {
            TenantFilter::Any => true,
            TenantFilter::Of(asked) => asked.as_str().as_bytes() == tenant,
            TenantFilter::Nobody => tenant.is_empty(),
        };
        if is_asked {
            let count = |number: [u8; 8]| u64::from_be_bytes(number);
            let (numbers, _) = numbers.as_chunks::<8>();
            let counts = numbers.as_chunks::<2>().0.iter();
            block.push_days(counts.map(|[a, r]| (count(*a), count(*r))), &range, sums);
        }
        text = rest;
    }
    Ok(())
}

/// Returns the tenant of the first part, its numbers, and the other parts.
fn split(text: &[u8]) -> Option<(&[u8], &[u8; PART], &[u8])> {
    let (length, rest) = text.split_first()?;
    let (tenant, rest) = rest.split_at_checked(usize::from(*length))?;
    let (numbers, rest) = rest.split_first_chunk()?;
    Some((tenant, numbers, rest))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::store::UsageStep;

    fn part(tenant: &str, first_day: (u64, u64)) -> Vec<u8> {
        let mut part = vec![u8::try_from(tenant.len()).unwrap()];
        part.extend(tenant.as_bytes());
        part.extend(first_day.0.to_be_bytes());
        part.extend(first_day.1.to_be_bytes());
        part.resize(1 + tenant.len() + PART, 0);
        part
    }

    fn query(tenant: TenantFilter) -> UsageByKeyQuery {
        let range = SystemTime::UNIX_EPOCH..SystemTime::UNIX_EPOCH + Duration::from_secs(86_400);
        UsageByKeyQuery::new([], &range, UsageStep::Day).of_tenant(tenant)
    }

    #[test]
    fn the_parts_of_other_tenants_are_left_out() {
        let text = [part("", (1, 20)), part("acme", (300, 4000)), part("acme2", (5, 5))].concat();
        let sums = |tenant| {
            let mut sums = Vec::new();
            read(Block(0), &text, &query(tenant), &mut sums).unwrap();
            put_in_order(&mut sums);
            sums.iter().map(|sums| (sums.accepted, sums.refused)).collect::<Vec<_>>()
        };
        assert_eq!(sums(TenantFilter::Any), [(306, 4025)]);
        assert_eq!(sums(TenantFilter::Nobody), [(1, 20)]);
        assert_eq!(sums(TenantFilter::Of("acme".parse().unwrap())), [(300, 4000)]);
        assert_eq!(sums(TenantFilter::Of("other".parse().unwrap())), []);
    }

    #[test]
    fn a_text_that_is_cut_off_is_an_error() {
        let text = part("acme", (1, 1));
        for end in [1, 4, 5, text.len() - 1] {
            let query = query(TenantFilter::Any);
            assert!(read(Block(0), &text[..end], &query, &mut Vec::new()).is_err(), "{end}");
        }
    }
}
