//! Types that hold others behind the attributes of serde.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, SystemTime},
};

use chrono::{DateTime, Utc};
use memolith::codec::Shape;
use serde::{Deserialize, Serialize};
use serde_with::{
    DisplayFromStr, DurationMilliSeconds, DurationSeconds, DurationSecondsWithFrac, StringWithSeparator,
    base64::Base64, formats::CommaSeparator, hex::Hex, serde_as,
};
use time::{OffsetDateTime, macros::datetime};

/// A struct of fields that are each read and written by functions of a module.
macro_rules! with {
    ($($name:ident { $($field:ident: $kind:ty = $value:expr, $module:literal;)* })*) => {$(
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        pub(crate) struct $name { $(#[serde(with = $module)] $field: $kind),* }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $value),* }
            }
        }
    )*};
}

with! {
    Stamps {
        seconds: DateTime<Utc> = DateTime::UNIX_EPOCH, "chrono::serde::ts_seconds";
        millis: DateTime<Utc> = DateTime::UNIX_EPOCH, "chrono::serde::ts_milliseconds";
        maybe: Option<DateTime<Utc>> = None, "chrono::serde::ts_nanoseconds_option";
    }
    Moments {
        rfc3339: OffsetDateTime = datetime!(2024-02-29 12:00 UTC), "time::serde::rfc3339";
        iso8601: OffsetDateTime = datetime!(2024-02-29 12:00 UTC), "time::serde::iso8601";
        rfc2822: OffsetDateTime = datetime!(2024-02-29 12:00 UTC), "time::serde::rfc2822";
        number: OffsetDateTime = datetime!(2024-02-29 12:00 UTC), "time::serde::timestamp";
    }
    Humane {
        pause: Duration = Duration::from_millis(90_500), "humantime_serde";
        at: SystemTime = SystemTime::UNIX_EPOCH, "humantime_serde";
    }
    Price { amount: rust_decimal::Decimal = rust_decimal::Decimal::new(1_999, 2), "rust_decimal::serde::str"; }
    Digests {
        short: [u8; 4] = [7; 4], "hex";
        sha: [u8; 32] = [7; 32], "hex";
        any: Vec<u8> = vec![7; 3], "hex";
        plain: Vec<u8> = vec![7; 3], "serde_bytes";
    }
    Request {
        method: http::Method = http::Method::PATCH, "http_serde::method";
        uri: http::Uri = http::Uri::from_static("/a?b=c"), "http_serde::uri";
        status: http::StatusCode = http::StatusCode::IM_A_TEAPOT, "http_serde::status_code";
        version: http::Version = http::Version::HTTP_2, "http_serde::version";
        authority: http::uri::Authority = http::uri::Authority::from_static("example.com:80"), "http_serde::authority";
    }
}

#[derive(Deserialize)]
pub(crate) struct Headers {
    #[serde(with = "http_serde::header_map")]
    _headers: http::HeaderMap,
}

#[derive(Deserialize)]
pub(crate) struct Pattern {
    #[serde(with = "serde_regex")]
    _pattern: regex::Regex,
}

#[serde_as]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Encoded {
    #[serde_as(as = "Base64")]
    any: Vec<u8>,
    #[serde_as(as = "Base64")]
    key: [u8; 32],
    #[serde_as(as = "Hex")]
    sha: [u8; 20],
}

#[serde_as]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Adapted {
    #[serde_as(as = "DisplayFromStr")]
    address: IpAddr,
    #[serde_as(as = "Vec<DisplayFromStr>")]
    numbers: Vec<u64>,
    #[serde_as(as = "DurationSeconds<u64>")]
    seconds: Duration,
    #[serde_as(as = "DurationSecondsWithFrac<f64>")]
    fraction: Duration,
    #[serde_as(as = "StringWithSeparator<CommaSeparator, u8>")]
    list: Vec<u8>,
    #[serde_as(as = "Vec<(DisplayFromStr, _)>")]
    map: BTreeMap<u8, u8>,
}

impl Default for Adapted {
    fn default() -> Self {
        let duration = Duration::from_secs(90);
        Self {
            address: IpAddr::from([127, 0, 0, 1]),
            numbers: vec![1, 2],
            seconds: duration,
            fraction: duration,
            list: vec![1, 2],
            map: BTreeMap::from([(1, 2)]),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, serde_repr::Serialize_repr, serde_repr::Deserialize_repr)]
#[repr(u8)]
pub(crate) enum Priority {
    Low = 17,
    High = 99,
}

bitflags::bitflags! {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    pub(crate) struct Rights: u32 {
        const READ = 1;
        const WRITE = 2;
    }
}

#[derive(Debug, enumset::EnumSetType)]
pub(crate) enum Day {
    Sat,
    Sun,
}

#[derive(Debug, enumset::EnumSetType, Serialize, Deserialize)]
#[enumset(serialize_repr = "list")]
pub(crate) enum Side {
    Left,
    Right,
}

/// A long text. Its last two digits are the sum of the bytes before them.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Checked;

impl TryFrom<String> for Checked {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let (body, sum) = text.split_at_checked(30).ok_or("too short")?;
        let expected =
            format!("{:08x}", body.bytes().fold(7_u32, |sum, byte| sum.wrapping_mul(31) ^ u32::from(byte)));
        if sum == expected { Ok(Self) } else { Err("the check sum is wrong") }
    }
}

/// One field, read in three ways.
pub(crate) fn adapters() -> [Shape; 3] {
    mod seconds {
        use super::{Deserialize, Duration, DurationSeconds, serde_as};
        #[serde_as]
        #[derive(Deserialize)]
        pub(super) struct Row {
            #[serde_as(as = "Vec<DurationSeconds<u64>>")]
            _pauses: Vec<Duration>,
        }
    }
    mod millis {
        use super::{Deserialize, Duration, DurationMilliSeconds, serde_as};
        #[serde_as]
        #[derive(Deserialize)]
        pub(super) struct Row {
            #[serde_as(as = "Vec<DurationMilliSeconds<u64>>")]
            _pauses: Vec<Duration>,
        }
    }
    mod plain {
        use super::{Deserialize, Duration};
        #[derive(Deserialize)]
        pub(super) struct Row {
            _pauses: Vec<Duration>,
        }
    }
    [Shape::of::<seconds::Row>(), Shape::of::<millis::Row>(), Shape::of::<plain::Row>()].map(Result::unwrap)
}
