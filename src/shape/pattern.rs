//! Makes a text that matches a pattern: a regular expression, or a form such as `YYYY-MM-DD`.

use std::{iter::Peekable, str::Chars};

/// Maximum length of an example.
const LONGEST: usize = 256;
/// Maximum nesting of groups.
const DEPTH: usize = 16;

/// A text that matches the token, if it is a pattern.
pub(super) fn example(token: &str) -> Option<String> {
    let is_expression = token.starts_with('^') || token.ends_with('$') || token.contains(['[', '\\', '{']);
    if is_expression { expression(token) } else { form(token) }
}

/// Dates by letters or by `%`, and other forms in which `X`, `#` or `9` means a digit.
fn form(token: &str) -> Option<String> {
    const PARTS: &[(&str, &str)] = &[
        ("YYYY", "2026"),
        ("yyyy", "2026"),
        ("%Y", "2026"),
        ("%F", "2026-01-01"),
        ("%T", "00:00:00"),
        ("%m", "01"),
        ("%d", "01"),
        ("%H", "00"),
        ("%M", "00"),
        ("%S", "00"),
        ("%y", "26"),
        ("%j", "001"),
        ("%z", "+0000"),
        ("%b", "Jan"),
        ("%B", "January"),
        ("%a", "Thu"),
        ("%A", "Thursday"),
        ("%p", "AM"),
        ("%I", "12"),
        ("MM", "01"),
        ("DD", "01"),
        ("dd", "01"),
        ("HH", "00"),
        ("hh", "00"),
        ("mm", "00"),
        ("SS", "00"),
        ("ss", "00"),
        ("YY", "26"),
    ];
    let dated = PARTS.iter().fold(token.to_owned(), |text, (part, value)| text.replace(part, value));
    if dated != token {
        return Some(dated);
    }
    let is_placeholder = |c: char| matches!(c, 'X' | 'x' | '#' | '9' | 'N' | 'n');
    let is_form = token.len() > 2
        && token.contains(is_placeholder)
        && token.chars().all(|c| is_placeholder(c) || !c.is_alphanumeric());
    is_form.then(|| token.replace(is_placeholder, "1"))
}

fn expression(token: &str) -> Option<String> {
    let mut pattern = Pattern { rest: token.chars().peekable(), depth: 0 };
    let text = pattern.alternatives()?;
    (pattern.rest.next().is_none() && text != token).then_some(text)
}

/// Parses a regular expression, and makes a simple text that matches it.
struct Pattern<'p> {
    rest: Peekable<Chars<'p>>,
    /// Number of open groups. At most `DEPTH`.
    depth: usize,
}

impl Pattern<'_> {
    /// The first of the alternatives. The others are parsed to find their end.
    fn alternatives(&mut self) -> Option<String> {
        let first = self.row()?;
        while self.rest.next_if_eq(&'|').is_some() {
            self.row()?;
        }
        Some(first)
    }

    fn row(&mut self) -> Option<String> {
        let mut text = String::new();
        while let Some(c) = self.rest.next_if(|c| !matches!(c, '|' | ')')) {
            let atom = self.atom(c)?;
            let times = self.times()?;
            if text.len() + atom.len() * times > LONGEST {
                return None;
            }
            text.push_str(&atom.repeat(times));
        }
        Some(text)
    }

    fn atom(&mut self, c: char) -> Option<String> {
        match c {
            '^' | '$' => Some(String::new()),
            '.' => Some("a".into()),
            '(' => self.group(),
            '[' => self.class().map(String::from),
            '\\' => Some(self.rest.next().and_then(escaped).map(String::from).unwrap_or_default()),
            '*' | '+' | '?' | '{' => None,
            _ => Some(c.into()),
        }
    }

    fn group(&mut self) -> Option<String> {
        self.depth += 1;
        if self.depth > DEPTH {
            return None;
        }
        if self.rest.next_if_eq(&'?').is_some() {
            // Flags, or a name.
            self.rest.by_ref().find(|c| matches!(c, ':' | '>'))?;
        }
        let text = self.alternatives()?;
        self.depth -= 1;
        self.rest.next_if_eq(&')').map(|_| text)
    }

    /// Number of repetitions of the preceding atom.
    fn times(&mut self) -> Option<usize> {
        let times = match self.rest.next_if(|c| matches!(c, '*' | '+' | '?' | '{')) {
            None => return Some(1),
            Some('*' | '+') => 1,
            Some('?') => 0,
            Some(_) => self.least()?,
        };
        self.rest.next_if(|c| matches!(c, '?' | '+'));
        Some(times)
    }

    /// The rest of `{2}`, `{2,}` or `{2,3}`.
    fn least(&mut self) -> Option<usize> {
        let inside: String = self.rest.by_ref().take_while(|c| *c != '}').collect();
        inside.split(',').next()?.trim().parse().ok().filter(|times| *times <= LONGEST)
    }

    /// The rest of `[a-z0-9_]`: one character that matches it.
    fn class(&mut self) -> Option<char> {
        let negated = self.rest.next_if_eq(&'^').is_some();
        let mut ranges = Vec::new();
        loop {
            let first = match self.rest.next()? {
                ']' if !ranges.is_empty() => break,
                '\\' => self.rest.next().and_then(escaped)?,
                c => c,
            };
            let mut last = first;
            if self.rest.next_if_eq(&'-').is_some() {
                match self.rest.next_if(|c| *c != ']') {
                    Some(c) => last = c,
                    None => ranges.push('-'..='-'),
                }
            }
            ranges.push(first..=last);
        }
        let is_inside = |c: &char| ranges.iter().any(|range| range.contains(c)) != negated;
        "a1A-_ .@#".chars().find(is_inside).or_else(|| ranges.first().map(|range| *range.start()))
    }
}

fn escaped(c: char) -> Option<char> {
    match c {
        'd' => Some('1'),
        'w' | 'D' | 'S' => Some('a'),
        's' => Some(' '),
        'W' => Some('-'),
        'A' | 'z' | 'Z' | 'b' | 'B' => None,
        't' => Some('\t'),
        'n' => Some('\n'),
        _ => Some(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn gives(token: &str, expected: &str) {
        assert_eq!(example(token).as_deref(), Some(expected), "{token}");
    }

    #[test]
    fn a_regular_expression_gives_a_text_that_it_matches() {
        gives(r"^[A-Z]{3}-\d{4}$", "AAA-1111");
        gives(r"^(?:usr|org)_[a-z0-9]{8,12}$", "usr_aaaaaaaa");
        gives(r"(?P<year>\d{4})-(?P<week>W\d\d)?", "1111-");
        gives(r"^[^a-z]+@(a|b(c))\.com$", "1@a.com");
        gives(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}", "aa:aa:aa:aa:aa:aa");
        gives(r"\A[\w.-]+?\z", "a");
    }

    #[test]
    fn a_form_is_filled_in() {
        gives("DD.MM.YYYY", "01.01.2026");
        gives("%Y-%m-%d", "2026-01-01");
        gives("XXX-XXXX", "111-1111");
    }

    #[test]
    fn what_is_no_pattern_gives_nothing() {
        for token in ["", "hello", "12", "[", "[a", "(((", "a{", "a{999}", "^[^", "{}", r"\"] {
            assert_eq!(example(token).filter(|text| !text.is_empty()), None, "{token}");
        }
        let deep = format!("^{}", "(".repeat(100_000));
        assert_eq!(example(&deep), None);
    }
}
