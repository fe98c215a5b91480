//! Texts that types parse: dates, identifiers, addresses, codes, numbers.
//!
//! The most frequent ones come first. Each is valid in a format that is in use, and check digits are valid. All are
//! published examples or made up.

use std::{collections::HashSet, sync::LazyLock};

/// For texts of a fixed length: digits, hexadecimal digits, small and capital letters.
pub(super) const ALPHABETS: &[&str] = &[
    "1234567890123456789012345678901234567890123456789012345678901234",
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijkl",
    "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJKL",
];
pub(super) const ALPHABET: usize = 64;

/// Texts by increasing length, one in each alphabet.
pub(super) fn of_length(pick: usize) -> Option<&'static str> {
    let length = pick / ALPHABETS.len() + 1;
    ALPHABETS.get(pick % ALPHABETS.len()).and_then(|alphabet| alphabet.get(..length))
}

/// A text of this length in each alphabet.
pub(super) fn texts_of_length(length: usize) -> impl Iterator<Item = String> {
    ALPHABETS.iter().map(move |alphabet| alphabet.chars().cycle().take(length).collect())
}

/// This many hexadecimal digits.
pub(super) fn digits_of_length(length: usize) -> String {
    "0123456789abcdef".chars().cycle().take(length).collect()
}

pub(super) fn is_text(word: &str) -> bool {
    static ALL: LazyLock<HashSet<&str>> = LazyLock::new(|| TEXTS.iter().copied().collect());
    ALL.contains(word)
}

/// In the order of trials.
#[rustfmt::skip]
pub(super) const TEXTS: &[&str] = &[
    "", "2026-01-01", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00", "2026-01-01 00:00:00", "00:00:00",
    "01234567-89ab-4cde-8f01-23456789abcd", "http://example.com/", "127.0.0.1", "::1", "127.0.0.1:80", "[::1]:80",
    "127.0.0.0/8", "1", "a", "A", "someone@example.com", "example.com", "1.0", "1.0.0", "-1", "true", "UTC", "+00:00",
    "Europe/Berlin", "1s", "PT1S", "en", "en-US", "US", "USD", "GET", "text/plain", "/", "/a", "#000000", "+14155550100",
    "01:23:45:67:89:ab", "deadbeef", "0123456789abcdef0123456789abcdef", "0123456789abcdef0123456789abcdef01234567",
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "AAAA", "{}", "[]",
    "0123456789abcdef01234567", "0x01", "Mon", "Jan", "0",

    // Dates, times, zones.
    "2026-01-01T00:00:00+00:00", "2026-01-01T00:00:00.000Z", "2026-01-01T00:00:00+00:00[UTC]", "2026-01-01 00:00:00 UTC",
    "2026-01-01 00:00:00 +00:00", "2026-01-01 00:00:00.0 +00:00:00", "2026-01-01 00:00:00.0", "2026-01-01T00:00",
    "2026-01-01 00:00", "2026-01-01+00:00", "20260101", "20260101T000000Z", "20260101T000000", "20260101000000",
    "2026/01/01", "01/01/2026", "01.01.2026", "01-01-2026", "1 Jan 2026", "01 Jan 2026", "Jan 1, 2026", "01-Jan-2026",
    "January 1, 2026", "Thu, 01 Jan 2026 00:00:00 +0000", "Thu, 01 Jan 2026 00:00:00 GMT", "Thu Jan  1 00:00:00 2026",
    "01/Jan/2026:00:00:00 +0000", "1767225600", "1767225600000", "1767225600.0", "@1767225600",
    "2026", "2026-01", "2026-W01", "2026-W01-4", "2026-001", "2026-Q1", "2026Q1", "Q1", "202601", "01/26", "01/2026", "01-01",
    "--01-01", "00:00", "12:30", "12:30 PM", "12:30:00 PM", "12:30PM", "12pm", "00:00:00.0", "000000", "00:00:00Z", "0000",
    "T00:00:00", "noon", "now", "today", "2026-01-01/2026-01-02", "2026-01-01T00:00:00Z/2026-01-02T00:00:00Z",
    "2026-01-01..2026-01-02", "+0000", "Z", "+00", "+01:00", "+01", "GMT", "Etc/UTC", "America/New_York", "CET", "EST", "UTC+1",
    "Monday", "monday", "mon", "MON", "MONDAY", "January", "january", "jan", "JAN", "JANUARY", "AM", "CE", "summer",

    // Durations, rates, sizes, units.
    "P1D", "P1Y", "P1M", "P1W", "P1DT1H", "1h 30min", "1h30m", "1 day", "1d", "1m", "1h", "10ms", "1 second", "1 hour", "1w", "01:00:00",
    "1:00", "0:01", "00:00:01.000", "every day", "daily", "1/s", "60/min", "1KB", "1 KB", "1 KiB", "1B", "1MB", "1G", "1.0 GiB", "1 Mbps",
    "1 m", "1m/s", "1 kg", "1 km", "20 °C", "1%", "50%", "0.5", "0.01", "100", "10", "12", "42", "1px", "1em", "16:9", "640x480", "1x1",

    // Numbers.
    "1/2", "1.5", "1e3", "1_000", "1,000", "1.00", "+1", "0x0", "0b1", "0o7", "0x1p0", "1+1i", "1+0i", "i", "I", "inf", "NaN", "-1.0",
    "1-2", "1..2", "1..=2", "1:2", "1,2", "1;2", "[1,2]", "(1,2)", "0,0", "1 2", "1.2", "1d6", "[0, 1)", "[0,1]", ">1", "0001",

    // Hexadecimal, base 64, 58, 32, 85; hashes and keys.
    "0x", "0x00", "0xdeadbeef", "0x0123456789abcdef0123456789abcdef01234567", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0x0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", "0x0123456789abcdef0123456789abcdef",
    "0x0123456789abcdef", "DEADBEEF", "0123456789ABCDEF0123456789ABCDEF", "00", "FF", "de:ad:be:ef", "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "AA==", "AQ==", "AQ", "AAAAAAAAAAAAAAAAAAAAAA==", "AAAAAAAAAAAAAAAAAAAAAA",
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==", "WDAKi4s=",
    "AE======", "AAAAAAAA", "11111111111111111111111111111111", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
    "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWKPBDG",
    "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi", "eyJhbGciOiJub25lIn0.e30.", "data:,", "data:text/plain;base64,AA==",
    "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$RdescudvJCsgt3ub+b4dWRWJTmaaJObG",

    // Identifiers.
    "00000000-0000-0000-0000-000000000000", "018f0000-0000-7000-8000-000000000000", "{01234567-89ab-4cde-8f01-23456789abcd}",
    "urn:uuid:01234567-89ab-4cde-8f01-23456789abcd", "0ujtsYcgvSTl8PAuAdqWYSMnLOv", "9m4e2mr0ui3e8a215n4g", "V1StGXR8_Z5jdHi6B-myT",
    "cjld2cjxh0000qzrmn831i7rn", "175928847299117063", "user_01h455vb4pex5vsknk084sn02q", "0AWJGB4AJNFH0", "urn:isbn:0451450523",
    "9780306406157", "978-0-306-40615-7", "0306406152", "0-306-40615-2", "4006381333931", "0378-5955", "0000-0002-1825-0097", "10.1000/182",
    "1.2.840.113549", "1.2.3.4", "arn:aws:s3:::a", "a1", "A1", "AB1", "ABC123", "AB-123", "A-1", "a-b", "a_b", "a.b", "a.b.c", "a::b", "a:b", "a/b",
    "A_B", "aB", "Ab", "AB", "ABC", "abc", "#a", "@a", "$a", "a:1", "a=1", "a@1", "a-1", "a#1", "id-1", "v1", "v1.0.0", "r1", "rev-1", "tt0000001", "refs/heads/main", "main",

    // Versions, requirements, licences, packages.
    "^1.0", ">=1.0.0", "=1.0.0", "*", "1.0.0-alpha.1", "1.0.0.0", "1.0-1", "1", "MIT", "Apache-2.0", "MIT OR Apache-2.0", "a:latest", "a@1.0.0",
    "a==1.0", "pkg:cargo/a@1.0.0", "x86_64-unknown-linux-gnu", "stable", "2021",

    // Addresses of the net.
    "https://example.com/", "ftp://example.com/", "file:///a", "mailto:someone@example.com", "ws://example.com/", "postgres://a:b@localhost/c",
    "redis://127.0.0.1/", "s3://a/b", "git@github.com:a/b.git", "https://github.com/a/b", "localhost", "localhost:80", "example.com:80", "www.example.com",
    "example.com.", "someone", "Someone <someone@example.com>", "\"Someone\" <someone@example.com>", "10.0.0.0/8", "0.0.0.0/0", "::/0", "fe80::1%1",
    "127.0.0.1-127.0.0.2", "01-23-45-67-89-ab", "01-23-45-67-89-AB", "0123.4567.89ab", "0123456789ab", "01:23:45:67:89:AB", "01:23:45:67:89:ab:cd:ef",
    "01-23-45-67-89-AB-CD-EF", "AS1", "80", "80/tcp", "8000-8080", "tcp", "/ip4/127.0.0.1/tcp/80", "unix:///a", "did:web:example.com", "at://a.b", "@a:example.com",

    // HTTP and mail.
    "HTTP/1.1", "200", "200 OK", "POST", "get", "content-type", "application/json", "image/png", "text/html; charset=utf-8", "text/*", "*/*", "a=1; b=2",
    "a=1&b=2", "?a=1", "Bearer a", "Basic YTpi", "bytes=0-1", "bytes", "\"a\"", "W/\"a\"", "max-age=1", "gzip", "utf-8", "en-US,en;q=0.5", "Mozilla/5.0",

    // Languages, countries, currencies, places, people.
    "eng", "en_US", "en-us", "en_US.UTF-8", "English", "Latn", "de", "DE", "USA", "840", "United States", "usd", "EUR", "EUR/USD", "BTC-USD", "BTC", "1.00 USD", "USD 1.00", "1 USD",
    "$1.00", "€1.00", "EUR 1,00", "BER", "EDDB", "DEBER", "US-CA", "DE-BE", "12345", "10115", "SW1A 1AA", "123-45-6789", "+1 415-555-0100", "+49 30 123456", "(415) 555-0100", "4155550100",
    "+493012345678", "DE89370400440532013000", "DE89 3704 0044 0532 0130 00", "GB82WEST12345698765432", "DEUTDEFF", "DEUTDEFF500", "4111111111111111", "4111 1111 1111 1111", "4111-1111-1111-1111", "US0378331005",
    "037833100", "5493001KJTIIGC8Y1R12", "1HGCM82633A004352", "490154203237518", "DE136695976", "AAPL", "male", "M", "F", "he", "Ms", "John Doe", "Doe, John",
    "51.5,-0.1", "51.5 -0.1", "52.5,13.4", "51°30'N 0°7'W", "POINT(0 0)", "POINT (0 0)", "u09", "9C3W9QCJ+2V", "N", "NW", "north",

    // Colors, paths, files, expressions, documents.
    "#000", "#00000000", "000000", "rgb(0,0,0)", "rgb(0, 0, 0)", "rgba(0,0,0,1)", "hsl(0,0%,0%)", "black", "red", "Red", "RED", "a.txt", "a/b", "/a/b", "./a", "../a", "~/a", "C:\\a", "*.txt", "**/*",
    ".txt", "txt", "^a$", ".*", "[a-z]+", "/a/i", "* * * * *", "0 0 * * *", "0 0 * * * *", "0 0 0 * * * *", "0 0 0 ? * *", "@daily", "a > 1", "a == 1", "a && b", "a and b", "SELECT 1", "SELECT 1;", "a b", "a,b", "a, b", "a;b", "a|b", "a + b", "1 + 1", "(a)",
    "null", "1\n", "a = 1", "a: 1", "[a]", "- a", "<a/>", "<a></a>", "<!DOCTYPE html><a></a>", "# a", "{\"a\":1}", "[1]", "{{a}}", "{a}", "${a}", "%a", "$.a", "/a/0", "a[0]", "fn", "M0 0", "e4", "Nf3", "C4", "C#", "Am",
    "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1", "H2O", "ACGT", "A♠", "♠", "😀", "é", "ä", "漢",

    // Words.
    "false", "yes", "no", "on", "off", "Y", "N", "T", "True", "none", "None", "auto", "any", "all", "info", "INFO", "Info", "debug", "error", "+", "-", "ok", "low", "medium", "high", "open", "active", "new", "small", "left", "user", "admin", "read", "rw", "rwxr-xr-x", "0644",
    "asc", "dev", "test", "prod", "json", "csv", "x", "X", "Aa1!aaaa", "Aa1!Aa1!Aa1!Aa1!", "correct horse battery staple", "hello", "Hello", "hello world", "Hello, world!", " ", "\n",
];
