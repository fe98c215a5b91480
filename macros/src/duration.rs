//! Durations: `"1h"`, `"90s"`, `"1d2h34m"`.

/// The units, from large to small, in milliseconds.
const UNITS: [(&str, u64); 6] = [
    ("w", 7 * 24 * 3_600_000),
    ("d", 24 * 3_600_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// The milliseconds of `text`, or an error message.
///
/// Each unit occurs at most once, and larger units come first, so that `"1m 1h"` is an error.
pub(crate) fn milliseconds(text: &str) -> Result<u64, String> {
    let mut rest = text.trim_start();
    let (mut total, mut smallest) = (0_u64, u64::MAX);
    while !rest.is_empty() {
        let (number, after) = split(rest, |character| character.is_ascii_digit());
        let (unit, after) = split(after, char::is_alphabetic);
        let Some((_, scale)) = UNITS.iter().find(|(name, _)| *name == unit) else { return Err(wrong(text)) };
        let count: u64 = number.parse().map_err(|_| wrong(text))?;
        if *scale >= smallest {
            return Err(format!("`{text}` does not go from large units to small ones, each at most once"));
        }
        smallest = *scale;
        let part = count.checked_mul(*scale);
        total =
            part.and_then(|part| total.checked_add(part)).ok_or_else(|| format!("`{text}` is too long"))?;
        rest = after.trim_start();
    }
    match total {
        0 => Err(format!("`{text}` is no time at all: nothing would ever be a hit")),
        _ => Ok(total),
    }
}

/// The longest prefix of `text` whose characters are all `wanted`, and the rest.
fn split(text: &str, wanted: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|character| !wanted(character)).unwrap_or(text.len()))
}

fn wrong(text: &str) -> String {
    format!(
        "`{text}` is no duration: write whole numbers with w, d, h, m, s or ms, as in \"90s\" or \"1d2h34m\""
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_with_units_add_up() {
        for (text, expected) in [
            ("1h", 3_600_000),
            ("90s", 90_000),
            ("1d2h34m", (24 * 60 + 2 * 60 + 34) * 60_000),
            ("1w 500ms", 7 * 24 * 3_600_000 + 500),
            (" 2m  3s ", 123_000),
        ] {
            assert_eq!(milliseconds(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_told() {
        for (text, told) in [
            ("1x", "is no duration"),
            ("h", "is no duration"),
            ("1", "is no duration"),
            ("1.5h", "is no duration"),
            ("-1h", "is no duration"),
            ("1M", "is no duration"),
            ("99999999999999999999s", "is no duration"),
            ("99999999999999999w", "too long"),
            ("1s1h", "from large units to small"),
            ("1h1h", "at most once"),
            ("0s", "no time at all"),
            ("", "no time at all"),
        ] {
            assert!(
                milliseconds(text).is_err_and(|message| message.contains(told)),
                "{text:?}: {:?}",
                milliseconds(text)
            );
        }
    }
}
