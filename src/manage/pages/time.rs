//! Times on pages: as `<time>` elements, which the script converts to the zone of the reader.

use std::time::{Duration, SystemTime};

use maud::{Markup, html};

use super::texts::{PageTexts, fill};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
pub(super) const DAY: u64 = 24 * HOUR;

/// A moment, in UTC.
pub(super) struct Civil {
    pub(super) year: u64,
    pub(super) month: usize,
    pub(super) day: u64,
    pub(super) hour: u64,
    minute: u64,
}

impl Civil {
    pub(super) fn of(time: SystemTime) -> Self {
        let seconds = seconds(time);
        let (days, rest) = (seconds / DAY, seconds % DAY);
        // Counts years from March, so that the leap day is the last day (Howard Hinnant, days_from_civil).
        let days = days + 719_468;
        let (era, of_era) = (days / 146_097, days % 146_097);
        let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year + year / 4 - year / 100);
        let month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month + 2) / 5 + 1;
        let (year, month) = match month {
            0..=9 => (year + era * 400, month as usize + 2),
            _ => (year + era * 400 + 1, month as usize - 10),
        };
        Self { year, month, day, hour: rest / HOUR, minute: rest % HOUR / MINUTE }
    }

    fn instant(&self) -> String {
        let Self { year, month, day, hour, minute } = self;
        format!("{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}Z", month + 1)
    }

    fn in_words(&self, texts: &PageTexts) -> String {
        let Self { hour, minute, .. } = self;
        format!("{}, {hour:02}:{minute:02} UTC", self.date_in_words(texts))
    }

    pub(super) fn date_in_words(&self, texts: &PageTexts) -> String {
        format!("{} {} {}", self.day, texts.months[self.month], self.year)
    }

    /// Writes a date in the format of date fields.
    pub(super) fn date(&self) -> String {
        format!("{:04}-{:02}-{:02}", self.year, self.month + 1, self.day)
    }
}

pub(super) fn seconds(time: SystemTime) -> u64 {
    // The end of the year 9999, the latest time of date fields and texts.
    const LAST: u64 = 253_402_300_799;
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs().min(LAST))
}

pub(super) fn from_seconds(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// Shows a moment.
pub(super) fn moment(time: SystemTime, texts: &PageTexts) -> Markup {
    let civil = Civil::of(time);
    html! { time datetime=(civil.instant()) data-ak-local { (civil.in_words(texts)) } }
}

/// Shows the day of a moment.
pub(super) fn day(time: SystemTime, texts: &PageTexts) -> Markup {
    let civil = Civil::of(time);
    html! { time datetime=(civil.instant()) data-ak-local="day" { (civil.date_in_words(texts)) } }
}

/// Shows how long ago, or ahead, a moment is, and the moment.
pub(super) fn relative(time: SystemTime, now: SystemTime, texts: &PageTexts) -> Markup {
    html! {
        span.ak-ago { (distance(time, now, texts)) }
        " " span.ak-moment { (moment(time, texts)) }
    }
}

/// Describes how long ago, or ahead, a moment is.
pub(super) fn distance(time: SystemTime, now: SystemTime, texts: &PageTexts) -> String {
    let (form, distance) = match now.duration_since(time) {
        Ok(since) => (&texts.ago, since),
        Err(ahead) => (&texts.ahead, ahead.duration()),
    };
    let seconds = distance.as_secs();
    if seconds < MINUTE && time <= now {
        return texts.just_now.to_string();
    }
    let (count, [one, more]) = match seconds {
        0..HOUR => ((seconds / MINUTE).max(1), &texts.minutes),
        HOUR..DAY => (seconds / HOUR, &texts.hours),
        DAY.. if seconds < 60 * DAY => (seconds / DAY, &texts.days),
        DAY.. if seconds < 730 * DAY => (seconds / (30 * DAY), &texts.many_months),
        _ => (seconds / (365 * DAY), &texts.years),
    };
    let span = match count {
        1 => one.to_string(),
        _ => fill(more, &[("n", &count.to_string())]),
    };
    fill(form, &[("time", &span)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SystemTime {
        crate::rfc3339::parse_time(text).unwrap()
    }

    #[test]
    fn a_moment_is_that_of_the_calendar() {
        let texts = PageTexts::english();
        for (text, words) in [
            ("1970-01-01T00:00:00Z", "1 Jan 1970, 00:00 UTC"),
            ("2000-02-29T23:59:59Z", "29 Feb 2000, 23:59 UTC"),
            ("2026-11-29T07:05:00Z", "29 Nov 2026, 07:05 UTC"),
            ("2027-03-01T12:00:00Z", "1 Mar 2027, 12:00 UTC"),
            ("9999-12-31T23:59:59Z", "31 Dec 9999, 23:59 UTC"),
        ] {
            let civil = Civil::of(at(text));
            assert_eq!(civil.in_words(&texts), words);
            assert_eq!(civil.instant(), format!("{}Z", &text[..16]));
            assert_eq!(civil.date(), text[..10]);
        }
    }

    #[test]
    fn a_distance_is_said_in_the_largest_unit_that_fits() {
        let (texts, now) = (PageTexts::english(), at("2026-11-29T12:00:00Z"));
        for (text, words) in [
            ("2026-11-29T11:59:30Z", "just now"),
            ("2026-11-29T11:59:00Z", "1 minute ago"),
            ("2026-11-29T10:00:00Z", "2 hours ago"),
            ("2026-11-26T12:00:00Z", "3 days ago"),
            ("2026-08-01T12:00:00Z", "4 months ago"),
            ("2020-11-29T12:00:00Z", "6 years ago"),
            ("2026-11-29T12:00:30Z", "in 1 minute"),
            ("2026-12-06T12:00:00Z", "in 7 days"),
        ] {
            assert_eq!(distance(at(text), now, &texts), words);
        }
    }
}
