//! Charts of usage, drawn by the server.

use std::fmt::Write as _;
use std::ops::Range;
use std::time::SystemTime;

use maud::{Markup, PreEscaped, html};

use super::texts::{PageTexts, fill};
use super::time::{Civil, DAY, from_seconds, seconds};
use crate::manage::UsagePeriod;
use crate::store::{UsageBucket, UsageCounts, UsageKind};

/// The periods of a chart, with their counts.
pub(super) struct Series {
    period: UsagePeriod,
    /// The starts of the periods, and the end of the last period.
    bounds: Vec<u64>,
    counts: Vec<UsageCounts>,
}

/// Returns the bounds of the last `count` periods. The last period contains `now`.
pub(super) fn last(period: UsagePeriod, count: usize, now: SystemTime) -> Vec<u64> {
    let now = seconds(now);
    let count = count as u64;
    match period {
        UsagePeriod::Hour | UsagePeriod::Day => {
            let length = if period == UsagePeriod::Hour { 3600 } else { DAY };
            let end = now / length * length + length;
            let start = end.saturating_sub(count * length);
            (0..=count).map(|index| start + index * length).collect()
        }
        UsagePeriod::Month => {
            // The first day of the next month is at most 31 days away.
            let first =
                |time: u64| time / DAY * DAY - (Civil::of(from_seconds(time)).day - 1) * DAY;
            let mut bounds = vec![first(first(now) + 31 * DAY)];
            while bounds.len() <= count as usize {
                let earliest = bounds[bounds.len() - 1];
                bounds.push(first(earliest.saturating_sub(DAY)));
            }
            bounds.reverse();
            bounds
        }
    }
}

/// Returns the range of all periods.
pub(super) fn range(bounds: &[u64]) -> Range<SystemTime> {
    let at = |bound: Option<&u64>| from_seconds(bound.copied().unwrap_or_default());
    at(bounds.first())..at(bounds.last())
}

impl Series {
    /// Assigns counts to their periods.
    pub(super) fn new(period: UsagePeriod, bounds: &[u64], buckets: &[UsageBucket]) -> Self {
        let mut counts = vec![UsageCounts::default(); bounds.len().saturating_sub(1)];
        for UsageBucket { start, counts: counted } in buckets {
            let next = bounds.partition_point(|bound| *bound <= seconds(*start));
            if let Some(counts) = next.checked_sub(1).and_then(|index| counts.get_mut(index)) {
                counts.add_all(counted);
            }
        }
        Self { period, bounds: bounds.to_vec(), counts }
    }

    /// Returns the number of requests, and how many of them were refused.
    pub(super) fn sums(&self) -> (u64, u64) {
        let mut sum = UsageCounts::default();
        self.counts.iter().for_each(|counts| sum.add_all(counts));
        (sum.total(), sum.refused())
    }

    /// Draws a chart with axes. A table beside it has the same numbers.
    pub(super) fn chart(&self, texts: &PageTexts) -> Markup {
        const WIDTH: usize = 720;
        const HEIGHT: usize = 160;
        let count = self.counts.len().max(1);
        let step = WIDTH / count;
        let bars = self.bars(step, step.saturating_sub(step / 4).max(1), HEIGHT);
        let (all, refused) = self.sums();
        html! {
            div.ak-legend {
                span.ak-legend-accepted { (texts.accepted) }
                span.ak-legend-refused { (texts.refused) }
                span { (in_words(all, refused, texts)) }
            }
            svg.ak-chart viewBox={ "-60 -16 " (WIDTH + 72) " " (HEIGHT + 52) } role="img"
                aria-label=(in_words(all, refused, texts)) {
                line.ak-axis x1="0" y1=(HEIGHT) x2=(WIDTH) y2=(HEIGHT) {}
                line.ak-grid x1="0" y1="0" x2=(WIDTH) y2="0" {}
                line.ak-grid x1="0" y1=(HEIGHT / 2) x2=(WIDTH) y2=(HEIGHT / 2) {}
                text x="-8" y="4" text-anchor="end" { (short(bars.most)) }
                text x="-8" y=(HEIGHT / 2 + 4) text-anchor="end" { (half(bars.most)) }
                text x="-8" y=(HEIGHT + 4) text-anchor="end" { "0" }
                path.ak-accepted d=(bars.accepted) {}
                path.ak-refused d=(bars.refused) {}
                @for index in (0..self.counts.len()).filter(|index| self.has_label(*index)) {
                    text x=(index * step + step / 2) y=(HEIGHT + 26) text-anchor="middle" {
                        (self.label(index, texts))
                    }
                }
            }
        }
    }

    /// Shows the numbers of the chart as a table.
    pub(super) fn table(&self, texts: &PageTexts) -> Markup {
        let is_refusal = |kind: &UsageKind| *kind != UsageKind::Accepted;
        let is_there = |kind: &UsageKind| self.counts.iter().any(|counts| counts.of(*kind) > 0);
        let reasons: Vec<_> =
            UsageKind::ALL.into_iter().filter(is_refusal).filter(is_there).collect();
        html! {
            div.ak-scroll tabindex="0" role="region" aria-label=(texts.usage_caption) {
                table.ak-numbers {
                    caption { (texts.usage_caption) }
                    thead {
                        tr {
                            th scope="col" { (texts.period) }
                            th scope="col" { (texts.accepted) }
                            @for reason in &reasons { th scope="col" { (texts.refused_for(*reason)) } }
                        }
                    }
                    tbody {
                        @for (index, count) in self.counts.iter().enumerate().rev() {
                            tr {
                                th scope="row" { (self.full_label(index, texts)) }
                                td { (grouped(count.accepted())) }
                                @for reason in &reasons {
                                    td { (grouped(count.of(*reason))) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    fn has_label(&self, index: usize) -> bool {
        let every = match self.period {
            UsagePeriod::Hour => 4,
            UsagePeriod::Day => 5,
            UsagePeriod::Month => 2,
        };
        (self.counts.len() - 1 - index).is_multiple_of(every)
    }

    fn label(&self, index: usize, texts: &PageTexts) -> String {
        let civil = Civil::of(from_seconds(self.bounds[index]));
        match self.period {
            UsagePeriod::Hour => format!("{:02}:00", civil.hour),
            UsagePeriod::Day => format!("{} {}", civil.day, texts.months[civil.month]),
            UsagePeriod::Month => format!("{} {}", texts.months[civil.month], civil.year),
        }
    }

    fn full_label(&self, index: usize, texts: &PageTexts) -> Markup {
        let start = from_seconds(self.bounds[index]);
        match self.period {
            UsagePeriod::Hour => super::time::moment(start, texts),
            UsagePeriod::Day => html! { (Civil::of(start).date_in_words(texts)) },
            UsagePeriod::Month => html! { (self.label(index, texts)) },
        }
    }

    fn bars(&self, step: usize, width: usize, height: usize) -> Bars {
        let most = self.counts.iter().map(UsageCounts::total).max().unwrap_or_default().max(1);
        // A small number stays visible.
        let scaled = |count: u64| match count {
            0 => 0,
            _ => ((count as f64 / most as f64 * height as f64).round() as usize).max(1),
        };
        let (mut accepted, mut refused) = (String::new(), String::new());
        for (index, count) in self.counts.iter().enumerate() {
            let x = index * step;
            // Together they may be one higher than the chart.
            let (of_accepted, of_refused) = (scaled(count.accepted()), scaled(count.refused()));
            // Writing to a `String` cannot fail.
            let bar = |path: &mut String, from: usize, size: usize| {
                if size > 0 {
                    let bottom = height.saturating_sub(from);
                    let _ = write!(path, "M{x} {bottom}v-{size}h{width}v{size}z");
                }
            };
            bar(&mut accepted, 0, of_accepted);
            bar(&mut refused, of_accepted, of_refused);
        }
        Bars { accepted, refused, most }
    }
}

struct Bars {
    accepted: String,
    refused: String,
    most: u64,
}

/// Describes the number of requests and the share of refused ones.
pub(super) fn in_words(all: u64, refused: u64, texts: &PageTexts) -> String {
    let share = (refused as f64 / all.max(1) as f64) * 100.0;
    let share = match share {
        0.0 => "0".to_owned(),
        share if share < 1.0 => "<1".to_owned(),
        share => format!("{share:.0}"),
    };
    let form = if all == 1 { &texts.one_request } else { &texts.requests };
    fill(form, &[("n", &short(all)), ("share", &share)])
}

/// Writes a number in a few characters.
fn short(number: u64) -> String {
    let number_of = |unit: f64| {
        let number = number as f64 / unit;
        match number < 10.0 {
            true => format!("{number:.1}").trim_end_matches(".0").to_owned(),
            false => format!("{number:.0}"),
        }
    };
    match number {
        0..1000 => number.to_string(),
        1000..1_000_000 => number_of(1e3) + "k",
        1_000_000..1_000_000_000 => number_of(1e6) + "M",
        _ => number_of(1e9) + "G",
    }
}

fn half(number: u64) -> Markup {
    match number {
        1 => html! {},
        number if number < 1000 && number % 2 == 1 => html! { (format!("{}.5", number / 2)) },
        number => html! { (short(number / 2)) },
    }
}

/// Writes a number with separated thousands.
fn grouped(number: u64) -> PreEscaped<String> {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    PreEscaped(grouped)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SystemTime {
        crate::rfc3339::parse_time(text).unwrap()
    }

    #[test]
    fn the_last_period_is_that_of_now() {
        let now = at("2026-03-15T10:30:00Z");
        for (period, count, first, end) in [
            (UsagePeriod::Hour, 24, "2026-03-14T11:00:00Z", "2026-03-15T11:00:00Z"),
            (UsagePeriod::Day, 30, "2026-02-14T00:00:00Z", "2026-03-16T00:00:00Z"),
            (UsagePeriod::Month, 12, "2025-04-01T00:00:00Z", "2026-04-01T00:00:00Z"),
        ] {
            let bounds = last(period, count, now);
            assert_eq!(bounds.len(), count + 1);
            assert_eq!(range(&bounds), at(first)..at(end));
        }
    }

    #[test]
    fn counts_are_put_into_their_periods_and_others_left_out() {
        let bounds = last(UsagePeriod::Month, 3, at("2026-03-15T10:30:00Z"));
        let bucket = |start, accepted, expired| {
            let mut counts = UsageCounts::default();
            counts.add(UsageKind::Accepted, accepted);
            counts.add(UsageKind::Expired, expired);
            UsageBucket::new(at(start), counts)
        };
        let series = Series::new(
            UsagePeriod::Month,
            &bounds,
            &[
                bucket("2025-12-31T23:59:59Z", 1000, 0),
                bucket("2026-01-01T00:00:00Z", 5, 0),
                bucket("2026-03-01T00:00:00Z", 7, 3),
                bucket("2026-03-31T23:59:59Z", 1, 1),
                bucket("2026-04-01T00:00:00Z", 1000, 0),
            ],
        );
        assert_eq!(series.sums(), (17, 4));
        let counts: Vec<_> =
            series.counts.iter().map(|count| (count.accepted(), count.refused())).collect();
        assert_eq!(counts, [(5, 0), (0, 0), (8, 4)]);
    }

    #[test]
    fn a_small_number_is_visible_beside_a_large_one() {
        let bounds = [0, 3600];
        let of = |accepted, refused| {
            let mut counts = UsageCounts::default();
            counts.add(UsageKind::Accepted, accepted);
            counts.add(UsageKind::Expired, refused);
            let buckets = [UsageBucket::new(from_seconds(0), counts)];
            Series::new(UsagePeriod::Hour, &bounds, &buckets).bars(24, 18, 160)
        };
        let bars = of(1, 100_000);
        assert_eq!((&*bars.accepted, bars.refused.is_empty()), ("M0 160v-1h18v1z", false));
        let bars = of(100_000, 1);
        assert_eq!((bars.accepted.is_empty(), &*bars.refused), (false, "M0 0v-1h18v1z"));
        assert!(of(1, 0).refused.is_empty() && of(0, 1).accepted.is_empty());
    }

    #[test]
    fn numbers_are_short_or_have_their_thousands_apart() {
        let shorts = [0, 999, 1000, 1204, 12_040, 1_500_000].map(short);
        assert_eq!(shorts, ["0", "999", "1k", "1.2k", "12k", "1.5M"]);
        assert_eq!(grouped(1_234_567).into_string(), "1\u{202f}234\u{202f}567");
        assert_eq!(in_words(1000, 3, &PageTexts::english()), "1k requests, <1\u{a0}% refused");
    }
}
