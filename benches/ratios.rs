//! Prints the ratios of the last run of `cargo bench --bench request`, and what streams that are open need.

mod support;

use std::error::Error;

use self::support::{idle, median};

/// How many streams are open.
const STREAMS: usize = 50_000;

fn main() -> Result<(), Box<dyn Error>> {
    println!("{:<28} {:>10}", "benchmark", "median");
    for id in [
        "floor/sha256_49B",
        "floor/extension_insert",
        "tower/bare",
        "tower/accept_header",
        "tower/accept_bearer",
        "tower/accept_async_store",
        "tower/guarded",
        "tower/reject_missing",
        "tower/reject_malformed",
        "tower/reject_unknown",
        "guard/none",
        "guard/rate_limit",
        "guard/ip",
        "guard/origin",
        "guard/endpoint",
        "guard/policy_100_routes",
        "axum/bare",
        "axum/accept",
        "axum/hand_rolled",
        "peer/tower_http_static",
        "store/memory_1",
        "store/memory_1k",
        "store/memory_1m",
        "limiter/1m_keys",
        "stream/bare_frame",
        "stream/watched_frame",
    ] {
        println!("{id:<28} {:>7.0} ns", median(id)?);
    }
    let floor = median("floor/sha256_49B")? + median("floor/extension_insert")?;
    let bare = median("tower/bare")?;
    let accept = median("tower/accept_header")?;
    let by_hand = median("axum/hand_rolled")? - median("axum/bare")?;
    let dearest = ["missing", "malformed", "unknown"]
        .map(|kind| median(&format!("tower/reject_{kind}")))
        .into_iter()
        .collect::<Result<Vec<_>, _>>()?
        .into_iter()
        .fold(0.0, f64::max);
    println!();
    for (what, ratio, goal) in [
        ("accept over bare, by sha256 + insert", (accept - bare) / floor, 1.6),
        (
            "axum accept over bare, by hand-rolled over bare",
            (median("axum/accept")? - median("axum/bare")?) / by_hand,
            0.55,
        ),
        ("guard over accept, by sha256 + insert", (median("tower/guarded")? - accept) / floor, 0.6),
        ("dearest rejection, by accept", dearest / accept, 1.0),
    ] {
        let verdict = if ratio <= goal { "reached" } else { "missed" };
        println!("{what:<48} {ratio:>5.2} (at most {goal:.2}: {verdict})");
    }
    println!();
    let plain = median("guard/none")?;
    for (id, goal) in [
        ("guard/rate_limit", 100.0),
        ("guard/ip", 100.0),
        ("guard/origin", 100.0),
        ("guard/endpoint", 100.0),
        ("guard/policy_100_routes", 250.0),
    ] {
        let cost = median(id)? - plain;
        let verdict = if cost <= goal { "reached" } else { "missed" };
        println!("{id:<44} adds {cost:>4.0} ns (at most {goal:.0}: {verdict})");
    }
    println!();
    let (frame, goal) = (median("stream/watched_frame")? - median("stream/bare_frame")?, 15.0);
    let verdict = if frame <= goal { "reached" } else { "missed" };
    println!("{:<44} adds {frame:>4.1} ns (at most {goal:.0}: {verdict})", "stream/watched_frame");
    let (bytes, goal) = (idle::bytes_of_each(STREAMS), 200);
    let verdict = if bytes <= goal { "reached" } else { "missed" };
    println!("each of {STREAMS} idle streams takes {bytes} bytes (at most {goal}: {verdict})");
    Ok(())
}
