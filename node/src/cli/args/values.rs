//! Times, sizes and limits as people write them.

use std::time::Duration;

/// A limit that can be taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit<T> {
    At(T),
    Unlimited,
}

impl<T> Limit<T> {
    pub fn value(self) -> Option<T> {
        match self {
            Self::At(value) => Some(value),
            Self::Unlimited => None,
        }
    }
}

/// Reads `90s`, `15m`, `2h`, `1d`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let hint = "write for example 90s, 15m, 2h or 1d";
    let unit_seconds = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3_600,
        Some('d') => 86_400,
        _ => return Err(format!("the time has no unit; {hint}")),
    };
    let number: u64 = text[..text.len() - 1]
        .parse()
        .map_err(|_| format!("not a whole number before the unit; {hint}"))?;
    match number.checked_mul(unit_seconds) {
        Some(0) => Err(format!("the time must be more than nothing; {hint}")),
        Some(seconds) => Ok(Duration::from_secs(seconds)),
        None => Err(format!("too long; {hint}")),
    }
}

/// Reads `500GB`, `2TiB`, a number of bytes, or `none`.
pub fn parse_byte_limit(text: &str) -> Result<Limit<u64>, String> {
    match text {
        "none" => Ok(Limit::Unlimited),
        text => parse_bytes(text).map(Limit::At),
    }
}

/// Reads a whole number or `none`.
pub fn parse_count_limit(text: &str) -> Result<Limit<u32>, String> {
    match text {
        "none" => Ok(Limit::Unlimited),
        text => text
            .parse()
            .map(Limit::At)
            .map_err(|_| "not a whole number; write for example 20, or none".to_owned()),
    }
}

fn parse_bytes(text: &str) -> Result<u64, String> {
    let hint = "write for example 500GB, 2TiB, or none";
    let unit_start = text
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_start);
    let unit_bytes: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return Err(format!("not a size; {hint}")),
    };
    let number: u64 = number.parse().map_err(|_| format!("not a size; {hint}"))?;
    number
        .checked_mul(unit_bytes)
        .ok_or_else(|| format!("too large; {hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_to_live_needs_its_unit() {
        assert_eq!(parse_duration("15m"), Ok(Duration::from_secs(900)));
        assert_eq!(parse_duration("2h"), Ok(Duration::from_secs(7_200)));
        for wrong in [
            "15",
            "",
            "m",
            "-1m",
            "0s",
            "1.5h",
            "99999999999999999999d",
            "5é",
        ] {
            assert!(parse_duration(wrong).is_err(), "{wrong} was taken");
        }
    }

    #[test]
    fn sizes_have_decimal_and_binary_units() {
        assert_eq!(parse_byte_limit("0"), Ok(Limit::At(0)));
        assert_eq!(parse_byte_limit("3GB"), Ok(Limit::At(3_000_000_000)));
        assert_eq!(parse_byte_limit("3 gib"), Ok(Limit::At(3 << 30)));
        assert_eq!(parse_byte_limit("none"), Ok(Limit::Unlimited));
        for wrong in ["", "GB", "-1", "1.5GB", "3XB", "20000000TiB", "5é"] {
            assert!(parse_byte_limit(wrong).is_err(), "{wrong} was taken");
        }
    }

    #[test]
    fn a_count_is_whole_or_none() {
        assert_eq!(parse_count_limit("20"), Ok(Limit::At(20)));
        assert_eq!(parse_count_limit("none"), Ok(Limit::Unlimited));
        assert!(parse_count_limit("-1").is_err());
        assert!(parse_count_limit("many").is_err());
    }
}
