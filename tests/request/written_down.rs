//! Values that programmers write down, and that are not valid.

use std::panic::{self, catch_unwind};
use std::sync::{Arc, Mutex};
use std::thread;

use tower_api_key::extract::Header;
use tower_api_key::guard::BindSession;
use tower_api_key::key::AbilityCatalogue;
use tower_api_key::{
    Alphabet, FailureThrottle, KeyFormat, RateLimit, RequireAbility, RequireStage, RequireTenant,
    TrustedProxies,
};

/// Drops what a function returns.
fn dropped<T>(make: impl Fn() -> T) -> impl Fn() {
    move || drop(make())
}

#[test]
fn a_panic_names_the_file_of_the_program_that_wrote_a_wrong_value() {
    let wrong: [&dyn Fn(); 17] = [
        &dropped(|| RequireAbility::new("bots read")),
        &dropped(|| RequireAbility::new("bots:*")),
        &dropped(|| RequireAbility::any_of(["bots:read", "bots read"])),
        &dropped(|| RequireAbility::all_of(["bots:read", "bots read"])),
        &dropped(|| RequireAbility::all_of(Vec::<&str>::new())),
        &dropped(|| RequireAbility::by_method("bots read")),
        &dropped(|| RequireStage::fixed("a b")),
        &dropped(|| RequireTenant::fixed("a b")),
        &dropped(|| TrustedProxies::networks(["nginx"])),
        &dropped(|| FailureThrottle::new("20/min")),
        &dropped(|| KeyFormat::new("_sk")),
        &dropped(|| KeyFormat::new("sk_").body(Alphabet::Hex, 8)),
        &dropped(|| KeyFormat::new("sk_").stage("a b")),
        &dropped(|| RateLimit::per_hour(0)),
        &dropped(|| Header::new("a b")),
        &dropped(|| BindSession::new("a b")),
        &dropped(|| AbilityCatalogue::new().preset("All", "everything", ["bots:read"])),
    ];

    let (this_thread, seen) = (thread::current().id(), Arc::new(Mutex::new(Vec::new())));
    let (others, files) = (panic::take_hook(), Arc::clone(&seen));
    panic::set_hook(Box::new(move |info| match info.location() {
        Some(place) if thread::current().id() == this_thread => {
            files.lock().unwrap().push(place.file().to_owned());
        }
        _ => others(info),
    }));
    for make in wrong {
        assert!(catch_unwind(panic::AssertUnwindSafe(make)).is_err());
    }
    let _ = panic::take_hook();
    assert_eq!(*seen.lock().unwrap(), [file!(); 17]);
}
