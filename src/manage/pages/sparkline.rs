//! Sparklines: a line of bars beside each key of the list, for the requests of the last days.

use std::collections::BTreeMap;

use maud::{Markup, PreEscaped, html};

use super::chart::in_words;
use super::texts::PageTexts;
use super::time::seconds;
use crate::key::KeyId;
use crate::store::UsageSums;

/// The height of a line, in pixels.
const HEIGHT: usize = 24;

/// The distance between bars, in pixels. The stylesheet sets the width of a bar.
const STEP: usize = 3;

/// The lines of a list, which have the same days.
pub(super) struct Sparklines<'a> {
    bounds: Vec<u64>,
    sums: BTreeMap<KeyId, Vec<UsageSums>>,
    texts: &'a PageTexts,
    /// Where the strokes of each bar begin.
    columns: Vec<String>,
    /// The rest of a stroke, by its lower end and its length: a list has thousands of strokes, and a few forms.
    strokes: Vec<[String; HEIGHT + 1]>,
}

impl<'a> Sparklines<'a> {
    pub(super) fn new(
        bounds: Vec<u64>,
        sums: BTreeMap<KeyId, Vec<UsageSums>>,
        texts: &'a PageTexts,
    ) -> Self {
        let bars = bounds.len().saturating_sub(1);
        let column = |index| format!("M{} ", index * STEP + STEP / 2);
        let stroke = |y, length| match length {
            0 => String::new(),
            _ => format!("{y}v-{length}"),
        };
        Self {
            bounds,
            sums,
            texts,
            columns: (0..bars).map(column).collect(),
            strokes: (0..=HEIGHT)
                .map(|y| std::array::from_fn(|length| stroke(y, length)))
                .collect(),
        }
    }

    /// Draws a line of bars without axes, with the total in words.
    pub(super) fn of(&self, id: &KeyId) -> Markup {
        self.draw(self.sums.get(id).map(Vec::as_slice).unwrap_or_default())
    }

    fn draw(&self, sums: &[UsageSums]) -> Markup {
        let line = self.line(sums);
        let (all, refused) = line.sums();
        if all == 0 {
            return html! { span.ak-quiet { (self.texts.no_requests) } };
        }
        let width = STEP * line.0.len();
        // Not to be escaped: letters and numbers.
        let [accepted, refusals] = self.paths(&line).map(PreEscaped);
        html! {
            svg.ak-spark viewBox={ "0 0 " (width) " " (HEIGHT) } width=(width) height=(HEIGHT)
                aria-hidden="true" {
                path.ak-accepted d=(accepted) {}
                path.ak-refused d=(refusals) {}
            }
            " " span.ak-spark-says { (in_words(all, refused, self.texts)) }
        }
    }

    fn line(&self, sums: &[UsageSums]) -> Line {
        let mut line = Line(vec![(0, 0); self.columns.len()]);
        // Days come in order, mostly each in the bar after the previous one.
        let mut next = 0;
        for day in sums {
            let start = seconds(day.start);
            if next > 0 && self.bounds[next - 1] > start {
                next = 0;
            }
            while self.bounds.get(next).is_some_and(|bound| *bound <= start) {
                next += 1;
            }
            line.add(next, day);
        }
        line
    }

    /// Returns the strokes of accepted requests, and the strokes of refused requests above them.
    fn paths(&self, line: &Line) -> [String; 2] {
        let scale = HEIGHT as f64 / line.most().max(1) as f64;
        // A small number stays visible.
        let scaled = |count: u64| match count {
            0 => 0,
            _ => ((count as f64 * scale + 0.5) as usize).clamp(1, HEIGHT),
        };
        let mut paths = [0, 1].map(|_| String::with_capacity(12 * line.0.len()));
        for (column, bar) in self.columns.iter().zip(&line.0) {
            let (of_all, refused) = (scaled(total(bar)), scaled(bar.1));
            let accepted = of_all.saturating_sub(refused);
            let strokes = [(HEIGHT, accepted), (HEIGHT - accepted, refused)];
            for (path, (y, length)) in paths.iter_mut().zip(strokes) {
                if length > 0 {
                    path.push_str(column);
                    path.push_str(&self.strokes[y][length]);
                }
            }
        }
        paths
    }
}

/// The accepted and refused requests of each bar.
struct Line(Vec<(u64, u64)>);

impl Line {
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
        self.0.iter().fold((0_u64, 0_u64), |(all, refusals), bar| {
            (all.saturating_add(total(bar)), refusals.saturating_add(bar.1))
        })
    }

    fn most(&self) -> u64 {
        self.0.iter().map(total).max().unwrap_or_default()
    }
}

fn total((accepted, refused): &(u64, u64)) -> u64 {
    accepted.saturating_add(*refused)
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
        let texts = PageTexts::english();
        let lines = Sparklines::new(vec![1, 10, 20, 30], BTreeMap::new(), &texts);
        let drawn = lines.draw(&sums[..2]).into_string();
        let paths = r#"<path class="ak-accepted" d="M4 24v-12"></path><path class="ak-refused" d="M4 12v-12"></path>"#;
        assert!(drawn.contains(paths), "{drawn}");
        assert!(drawn.contains(r#"viewBox="0 0 9 24" width="9" height="24""#), "{drawn}");
        assert!(drawn.contains("100 requests, 50\u{a0}% refused"), "{drawn}");
        assert_eq!(lines.draw(&sums).into_string(), drawn);
        let backwards = [sums[3], sums[1], sums[2], sums[0]];
        assert_eq!(lines.draw(&backwards).into_string(), drawn);
    }

    #[test]
    fn what_is_little_beside_the_rest_can_be_seen() {
        let (bounds, texts): (Vec<_>, _) = ((0..=102).collect(), PageTexts::english());
        let lines = Sparklines::new(bounds, BTreeMap::new(), &texts);
        let line = lines.line(&[day(0, 1, 0), day(1, 999_998, 1), day(101, 0, 1)]);
        assert_eq!(
            lines.paths(&line),
            ["M1 24v-1M4 24v-23".to_owned(), "M4 1v-1M304 24v-1".to_owned()]
        );
        assert_eq!(line.sums(), (1_000_001, 2));
    }

    #[test]
    fn counts_without_bounds_are_drawn() {
        let texts = PageTexts::english();
        let lines = Sparklines::new(vec![0, 1, 2], BTreeMap::new(), &texts);
        let line = lines.line(&[day(0, u64::MAX, u64::MAX), day(1, u64::MAX, 0)]);
        assert_eq!(line.sums(), (u64::MAX, u64::MAX));
        assert_eq!(lines.paths(&line), ["M4 24v-24".to_owned(), "M1 24v-24".to_owned()]);
    }

    #[test]
    fn without_requests_it_is_said_in_words() {
        for bounds in [&[1, 10][..], &[1], &[]] {
            let texts = PageTexts::english();
            let id: KeyId = "key_1".parse().unwrap();
            let sums = BTreeMap::from([(id.clone(), Vec::new())]);
            let lines = Sparklines::new(bounds.to_vec(), sums, &texts);
            let drawn = lines.of(&id).into_string();
            assert_eq!(lines.of(&"key_2".parse().unwrap()).into_string(), drawn);
            assert_eq!(drawn, r#"<span class="ak-quiet">No requests</span>"#);
        }
    }
}
