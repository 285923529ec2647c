//! [`And`] and [`Or`]: guards made of guards.

use super::Guard;
use crate::head::RequestHead;
use crate::reject::Rejection;
use crate::verify::VerifiedKey;

/// Accepts what both guards accept. See [`Guard::and`].
#[derive(Clone, Debug)]
pub struct And<A, B> {
    first: A,
    second: B,
}

impl<A, B> And<A, B> {
    pub(super) const fn new(first: A, second: B) -> Self {
        Self { first, second }
    }
}

impl<A: Guard, B: Guard> Guard for And<A, B> {
    fn check(&self, key: &VerifiedKey, head: &RequestHead<'_>) -> Result<(), Rejection> {
        self.first.check(key, head)?;
        self.second.check(key, head)
    }

    fn lets_pass_without_key(&self, head: &RequestHead<'_>) -> bool {
        self.first.lets_pass_without_key(head) && self.second.lets_pass_without_key(head)
    }
}

/// Accepts what one of the guards accepts. See [`Guard::or`].
#[derive(Clone, Debug)]
pub struct Or<A, B> {
    first: A,
    second: B,
}

impl<A, B> Or<A, B> {
    pub(super) const fn new(first: A, second: B) -> Self {
        Self { first, second }
    }
}

impl<A: Guard, B: Guard> Guard for Or<A, B> {
    fn check(&self, key: &VerifiedKey, head: &RequestHead<'_>) -> Result<(), Rejection> {
        self.first.check(key, head).or_else(|first| match self.second.check(key, head) {
            Ok(()) => Ok(()),
            Err(_) => Err(first),
        })
    }

    fn lets_pass_without_key(&self, head: &RequestHead<'_>) -> bool {
        self.first.lets_pass_without_key(head) || self.second.lets_pass_without_key(head)
    }
}
