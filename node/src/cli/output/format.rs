//! Numbers, times and foreign text as people read them.

use std::time::Duration;

use jiggablend_raft::TimestampMs;

/// A text that others wrote, fit for one line of a terminal: control characters (escape
/// sequences, line ends) and marks that turn the reading direction become `\u{fffd}`.
pub fn clean(text: &str) -> String {
    text.chars()
        .map(|character| {
            if is_harmless(character) {
                character
            } else {
                '\u{fffd}'
            }
        })
        .collect()
}

/// False for characters that do something else than to show themselves.
pub fn is_harmless(character: char) -> bool {
    let turns_direction = matches!(character, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let breaks_line = matches!(character, '\u{2028}' | '\u{2029}');
    !character.is_control() && !turns_direction && !breaks_line
}

/// `1.5 MiB`.
pub fn bytes(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}

/// The two largest units: `840 ms`, `12.3 s`, `3 min 5 s`, `2 h 10 min`, `3 d 4 h`.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{} ms", duration.as_millis()),
        1..60 => format!("{:.1} s", duration.as_millis() as f64 / 1_000.0),
        60..3_600 => two_units(seconds, 60, "min", 1, "s"),
        3_600..86_400 => two_units(seconds, 3_600, "h", 60, "min"),
        _ => two_units(seconds, 86_400, "d", 3_600, "h"),
    }
}

/// The largest unit alone, for tables: `12 s`, `3 min`, `2 h`, `3 d`.
pub fn short_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// A time that was estimated: no smaller unit than whole seconds, rounded up.
pub fn about(time: Duration) -> String {
    let seconds = Duration::from_secs(time.as_millis().div_ceil(1_000) as u64);
    match seconds.as_secs() {
        0..60 => short_duration(seconds),
        _ => duration(seconds),
    }
}

fn two_units(seconds: u64, large: u64, large_name: &str, small: u64, small_name: &str) -> String {
    let rest = seconds % large / small;
    if rest == 0 {
        format!("{} {large_name}", seconds / large)
    } else {
        format!("{} {large_name} {rest} {small_name}", seconds / large)
    }
}

/// From `then` to `now`; zero where the clocks say that `then` is still to come.
pub fn since(then: TimestampMs, now: TimestampMs) -> Duration {
    Duration::from_millis(now.0.saturating_sub(then.0))
}

/// `2026-11-24 19:30:16 UTC`.
pub fn utc_time(at: TimestampMs) -> String {
    let Ok(time) = time::OffsetDateTime::from_unix_timestamp((at.0 / 1_000) as i64) else {
        return format!("{} ms after 1970", at.0);
    };
    let (date, clock) = (time.date(), time.time());
    format!(
        "{date} {:02}:{:02}:{:02} UTC",
        clock.hour(),
        clock.minute(),
        clock.second()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_cannot_steer_the_terminal() {
        assert_eq!(
            clean("a\x1b[2Jb\nc\u{202e}d"),
            "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d"
        );
        assert_eq!(clean("Würfel, 猫"), "Würfel, 猫");
    }

    #[test]
    fn durations_have_two_units() {
        let shown = |ms| duration(Duration::from_millis(ms));
        assert_eq!(shown(840), "840 ms");
        assert_eq!(shown(12_340), "12.3 s");
        assert_eq!(shown(185_000), "3 min 5 s");
        assert_eq!(shown(180_000), "3 min");
        assert_eq!(shown(7_800_000), "2 h 10 min");
        assert_eq!(shown(273_600_000), "3 d 4 h");
    }

    #[test]
    fn an_estimate_has_no_milliseconds() {
        assert_eq!(about(Duration::from_millis(359)), "1 s");
        assert_eq!(about(Duration::from_millis(12_001)), "13 s");
        assert_eq!(about(Duration::from_millis(59_900)), "1 min");
    }

    #[test]
    fn times_are_shown_in_utc() {
        assert_eq!(utc_time(TimestampMs(0)), "1970-01-01 00:00:00 UTC");
        assert_eq!(
            utc_time(TimestampMs(1_795_548_616_000)),
            "2026-11-24 19:30:16 UTC"
        );
    }
}
