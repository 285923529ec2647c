//! Sparklines: a line of bars beside each key of the list, for the requests of the last days.

use maud::{Markup, html};

use super::chart::in_words;
use super::texts::PageTexts;
use super::time::seconds;
use crate::store::UsageSums;

/// The height of a line, in pixels.
const HEIGHT: u64 = 24;

/// The distance between bars, in pixels. The stylesheet sets the width of a bar.
const STEP: u64 = 3;

/// Draws a line of bars without axes, with the total in words.
pub(super) fn sparkline(bounds: &[u64], sums: &[UsageSums], texts: &PageTexts) -> Markup {
    let mut line = Line::new(bounds.len().saturating_sub(1));
    for day in sums {
        let next = bounds.partition_point(|bound| *bound <= seconds(day.start));
        line.add(next, day);
    }
    let (all, refused) = line.sums();
    if all == 0 {
        return html! { span.ak-quiet { (texts.no_requests) } };
    }
    let width = STEP * line.0.len() as u64;
    let [accepted, refusals] = line.paths();
    html! {
        svg.ak-spark viewBox={ "0 0 " (width) " " (HEIGHT) } width=(width) height=(HEIGHT)
            aria-hidden="true" {
            path.ak-accepted d=(accepted) {}
            path.ak-refused d=(refusals) {}
        }
        " " span.ak-spark-says { (in_words(all, refused, texts)) }
    }
}

/// The accepted and refused requests of each bar.
struct Line(Vec<(u64, u64)>);

impl Line {
    fn new(bars: usize) -> Self {
        Self(vec![(0, 0); bars])
    }

    /// Adds to the bar before `next`, if there is such a bar.
    fn add(&mut self, next: usize, sums: &UsageSums) {
        if let Some((accepted, refused)) =
            next.checked_sub(1).and_then(|index| self.0.get_mut(index))
        {
            *accepted = accepted.saturating_add(sums.accepted);
            *refused = refused.saturating_add(sums.refused);
        }
    }

    /// Returns the number of requests, and how many of them were refused.
    fn sums(&self) -> (u64, u64) {
        self.0.iter().fold((0_u64, 0_u64), |(all, refusals), (accepted, refused)| {
            let all = all.saturating_add(*accepted).saturating_add(*refused);
            (all, refusals.saturating_add(*refused))
        })
    }

    /// Returns the strokes of accepted requests, and the strokes of refused requests above them.
    ///
    /// Without `format!`, because a list has thousands of strokes.
    fn paths(&self) -> [String; 2] {
        let total = |(accepted, refused): &(u64, u64)| accepted.saturating_add(*refused);
        let most = self.0.iter().map(total).max().unwrap_or_default().max(1);
        // A small number stays visible.
        let scaled = |count: u64| match count {
            0 => 0,
            _ => ((count as f64 / most as f64 * HEIGHT as f64).round() as u64).max(1),
        };
        let mut paths = [0, 1].map(|_| String::with_capacity(12 * self.0.len()));
        for (index, bar) in (0_u64..).zip(&self.0) {
            let (of_all, refused) = (scaled(total(bar)), scaled(bar.1));
            let accepted = of_all.saturating_sub(refused);
            let x = index * STEP + STEP / 2;
            let [strokes, refusals] = &mut paths;
            push_stroke(strokes, x, HEIGHT, accepted);
            push_stroke(refusals, x, HEIGHT - accepted, refused);
        }
        paths
    }
}

/// Draws from `y` upwards.
fn push_stroke(path: &mut String, x: u64, y: u64, length: u64) {
    if length > 0 {
        path.push('M');
        push_number(path, x);
        path.push(' ');
        push_number(path, y);
        path.push_str("v-");
        push_number(path, length);
    }
}

fn push_number(path: &mut String, number: u64) {
    if number >= 10 {
        push_number(path, number / 10);
    }
    path.push(char::from(b'0' + (number % 10) as u8));
}

#[cfg(test)]
mod tests {
    use super::super::time::from_seconds;
    use super::*;

    fn day(start: u64, accepted: u64, refused: u64) -> UsageSums {
        UsageSums::new(from_seconds(start), accepted, refused)
    }

    #[test]
    fn a_bar_stands_for_each_day_with_refusals_above_what_was_accepted() {
        let sums = [day(0, 500, 0), day(10, 50, 50), day(30, 1, 9999), day(35, 0, 1)];
        // The first is before the first bar, and the last two after the last.
        let drawn = sparkline(&[1, 10, 20, 30], &sums[..2], &PageTexts::english()).into_string();
        let paths = r#"<path class="ak-accepted" d="M4 24v-12"></path><path class="ak-refused" d="M4 12v-12"></path>"#;
        assert!(drawn.contains(paths), "{drawn}");
        assert!(drawn.contains(r#"viewBox="0 0 9 24" width="9" height="24""#), "{drawn}");
        assert!(drawn.contains("100 requests, 50\u{a0}% refused"), "{drawn}");
        assert_eq!(sparkline(&[1, 10, 20, 30], &sums, &PageTexts::english()).into_string(), drawn);
    }

    #[test]
    fn what_is_little_beside_the_rest_can_be_seen() {
        let mut line = Line::new(102);
        line.add(1, &day(0, 1, 0));
        line.add(2, &day(0, 999_998, 1));
        line.add(102, &day(0, 0, 1));
        assert_eq!(line.paths(), ["M1 24v-1M4 24v-23".to_owned(), "M4 1v-1M304 24v-1".to_owned()]);
        assert_eq!(line.sums(), (1_000_001, 2));
    }

    #[test]
    fn counts_without_bounds_are_drawn() {
        let mut line = Line::new(2);
        line.add(1, &day(0, u64::MAX, u64::MAX));
        line.add(2, &day(0, u64::MAX, 0));
        assert_eq!(line.sums(), (u64::MAX, u64::MAX));
        assert_eq!(line.paths(), ["M4 24v-24".to_owned(), "M1 24v-24".to_owned()]);
    }

    #[test]
    fn without_requests_it_is_said_in_words() {
        for bounds in [&[1, 10][..], &[1], &[]] {
            let drawn = sparkline(bounds, &[], &PageTexts::english()).into_string();
            assert_eq!(drawn, r#"<span class="ak-quiet">No requests</span>"#);
        }
    }
}
