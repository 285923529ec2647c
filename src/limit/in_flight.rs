//! [`InFlight`]: the running look-ups of each address.

use std::collections::{BTreeMap, HashMap};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::neighbours::Neighbours;

/// Gives places to look-ups. If an address has no place left, its look-ups wait in order.
#[derive(Default)]
pub(super) struct InFlight {
    // An address is in the map as long as it has a running or waiting look-up.
    addresses: Mutex<HashMap<Neighbours, Attempts>>,
}

#[derive(Default)]
struct Attempts {
    places: u32,
    /// By ascending numbers: the first has waited longest.
    waiting: BTreeMap<u64, Waker>,
    last_number: u64,
}

/// The place of one look-up. Dropping it frees the place.
pub(crate) struct Place {
    of: Arc<InFlight>,
    address: Neighbours,
}

/// A look-up without a place. Dropping it removes it from the queue.
struct Waiter {
    of: Arc<InFlight>,
    address: Neighbours,
    number: Option<u64>,
}

impl InFlight {
    /// Waits for a place. `left` says how many there are; once it says zero, the wait ends.
    ///
    /// A look-up that changes `left` has to do so before it drops its place.
    pub(super) async fn place(
        self: Arc<Self>,
        address: Neighbours,
        left: impl Fn() -> u32,
    ) -> Option<Place> {
        let mut waiter = Waiter { of: self, address, number: None };
        let granted = poll_fn(|cx| waiter.poll(&left, cx)).await;
        granted.then(|| Place { of: Arc::clone(&waiter.of), address })
    }

    /// Changes the attempts of an address, and wakes the waiter that `change` returns.
    fn with<T>(
        &self,
        address: Neighbours,
        change: impl FnOnce(&mut Attempts) -> (T, Option<Waker>),
    ) -> T {
        // If a clock panicked and poisoned the lock, the data is unchanged.
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let attempts = addresses.entry(address).or_default();
        let (answer, next) = change(attempts);
        if attempts.places == 0 && attempts.waiting.is_empty() {
            addresses.remove(&address);
        }
        // A waker is foreign code.
        drop(addresses);
        if let Some(next) = next {
            next.wake();
        }
        answer
    }
}

impl Attempts {
    fn first(&self) -> Option<(u64, &Waker)> {
        self.waiting.first_key_value().map(|(number, waker)| (*number, waker))
    }

    fn first_waker(&self) -> Option<Waker> {
        self.first().map(|(_, waker)| waker.clone())
    }
}

impl Waiter {
    fn poll(&mut self, left: impl Fn() -> u32, cx: &mut Context<'_>) -> Poll<bool> {
        let Self { of, address, number } = self;
        of.with(*address, |attempts| {
            // Asked while no place can become free, because a failure is counted before that.
            let left = left();
            let is_next = attempts.first().is_none_or(|(first, _)| Some(first) == *number);
            let answer = match left {
                0 => Poll::Ready(false),
                _ if is_next && attempts.places < left => {
                    attempts.places += 1;
                    Poll::Ready(true)
                }
                _ => {
                    let number = *number.get_or_insert_with(|| {
                        attempts.last_number += 1;
                        attempts.last_number
                    });
                    attempts.waiting.insert(number, cx.waker().clone());
                    Poll::Pending
                }
            };
            if answer.is_ready()
                && let Some(number) = number.take()
            {
                attempts.waiting.remove(&number);
            }
            // The next waiter may have a place as well, or is refused as well.
            let wakes = left == 0 || attempts.places < left;
            (answer, wakes.then(|| attempts.first_waker()).flatten())
        })
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        self.of.with(self.address, |attempts| {
            attempts.waiting.remove(&number);
            // It may have been woken for a place that it no longer takes.
            ((), attempts.first_waker())
        });
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.of.with(self.address, |attempts| {
            attempts.places -= 1;
            ((), attempts.first_waker())
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
    use std::task::Wake;
    use std::thread;
    use std::time::Duration;

    use futures_util::FutureExt as _;
    use futures_util::future::{BoxFuture, join_all};

    use super::*;

    const HERE: Neighbours = Neighbours::V4([192, 0, 2, 1]);

    /// Counts how often it is woken.
    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// A look-up that waits for its place.
    struct Asking(BoxFuture<'static, Option<Place>>, Arc<Woken>);

    impl Asking {
        fn new(of: &Arc<InFlight>, left: &Arc<AtomicU32>) -> Self {
            let left = Arc::clone(left);
            let place = Arc::clone(of).place(HERE, move || left.load(Ordering::SeqCst));
            Self(place.boxed(), Arc::default())
        }

        fn poll(&mut self) -> Poll<Option<Place>> {
            self.1.0.store(0, Ordering::SeqCst);
            self.0.poll_unpin(&mut Context::from_waker(&Arc::clone(&self.1).into()))
        }

        fn is_woken(&self) -> bool {
            self.1.0.load(Ordering::SeqCst) > 0
        }

        fn taken(&mut self) -> Place {
            match self.poll() {
                Poll::Ready(Some(place)) => place,
                Poll::Ready(None) => panic!("it is refused"),
                Poll::Pending => panic!("it waits"),
            }
        }
    }

    fn asking<const N: usize>(left: u32) -> (Arc<InFlight>, Arc<AtomicU32>, [Asking; N]) {
        let (of, left) = (Arc::default(), Arc::new(AtomicU32::new(left)));
        let asking = [(); N].map(|()| Asking::new(&of, &left));
        (of, left, asking)
    }

    fn is_empty(of: &InFlight) -> bool {
        of.addresses.lock().unwrap().is_empty()
    }

    #[test]
    fn what_waits_longest_comes_first() {
        let (of, _, [mut one, mut two, mut three]) = asking(1);
        let place = one.taken();
        assert!(two.poll().is_pending() && three.poll().is_pending());
        drop(place);
        assert!(two.is_woken() && !three.is_woken());
        assert!(three.poll().is_pending(), "it is not its turn");
        assert!(Asking::new(&of, &Arc::new(AtomicU32::new(1))).poll().is_pending());
        drop(two.taken());
        assert!(three.is_woken());
        drop(three.taken());
        assert!(is_empty(&of));
    }

    #[test]
    fn a_place_is_not_lost_with_the_one_that_was_woken_for_it() {
        let (of, _, [mut one, mut two, mut three]) = asking(1);
        let place = one.taken();
        assert!(two.poll().is_pending() && three.poll().is_pending());
        drop(place);
        assert!(two.is_woken());
        drop(two);
        assert!(three.is_woken());
        drop(three.taken());
        assert!(is_empty(&of));
    }

    #[test]
    fn all_that_wait_are_refused_one_after_the_other_when_nothing_is_left() {
        let (of, left, [mut one, mut two, mut three]) = asking(1);
        let place = one.taken();
        assert!(two.poll().is_pending() && three.poll().is_pending());
        left.store(0, Ordering::SeqCst);
        drop(place);
        assert!(matches!(two.poll(), Poll::Ready(None)));
        assert!(three.is_woken());
        assert!(matches!(three.poll(), Poll::Ready(None)));
        assert!(is_empty(&of));
    }

    #[test]
    fn places_that_come_with_time_go_to_those_that_wait() {
        let (of, left, [mut one, mut two, mut three, mut four]) = asking(1);
        let place = one.taken();
        assert!(two.poll().is_pending() && three.poll().is_pending());
        left.store(3, Ordering::SeqCst);
        assert!(four.poll().is_pending(), "others came before");
        assert!(two.is_woken());
        let second = two.taken();
        assert!(three.is_woken(), "there is one more");
        let third = three.taken();
        assert!(!four.is_woken() && four.poll().is_pending());
        drop((place, second, third));
        assert!(four.is_woken());
        drop(four);
        assert!(is_empty(&of));
    }

    #[test]
    fn one_that_is_dropped_before_it_was_polled_leaves_nothing() {
        let (of, _, [one, mut two]) = asking(1);
        drop(one);
        assert!(is_empty(&of));
        drop(two.taken());
        assert!(is_empty(&of));
    }

    #[test]
    fn with_many_threads_no_place_is_given_twice_and_none_is_lost() {
        const LEFT: u32 = 3;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(4)
            .enable_time()
            .build()
            .unwrap();
        let (of, now) = (Arc::<InFlight>::default(), Arc::new(AtomicU32::new(0)));
        let tasks: Vec<_> = (0..2000_u32)
            .map(|number| {
                let (of, now) = (Arc::clone(&of), Arc::clone(&now));
                runtime.spawn(async move {
                    let place = of.place(HERE, || LEFT);
                    let place = if number % 3 == 0 {
                        // Mostly dropped while it waits, or just when its turn comes.
                        tokio::time::timeout(Duration::from_millis(1), place).await.ok()
                    } else {
                        Some(place.await)
                    };
                    let Some(_place) = place.map(Option::unwrap) else { return };
                    assert!(now.fetch_add(1, Ordering::SeqCst) < LEFT);
                    if number % 5 == 0 {
                        thread::yield_now();
                    }
                    tokio::task::yield_now().await;
                    now.fetch_sub(1, Ordering::SeqCst);
                })
            })
            .collect();
        let all = async { tokio::time::timeout(Duration::from_secs(60), join_all(tasks)).await };
        let all = runtime.block_on(all).expect("a place was lost");
        assert!(all.into_iter().all(|attempt| attempt.is_ok()));
        assert!(is_empty(&of));
    }
}
