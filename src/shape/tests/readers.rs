//! The code that reads a field: the parts of its name that count, and those that must not count.

use std::{borrow::Cow, sync::Arc};

use chrono::{DateTime, NaiveDate, Utc};

use super::*;

/// A struct `Row` in a module of its own.
macro_rules! rows {
    ($($name:ident { $($field:tt)* })*) => {$(
        mod $name {
            #[allow(unused_imports)]
            use super::*;
            #[derive(Deserialize)]
            #[allow(dead_code)]
            pub(super) struct Row { $($field)* }
        }
    )*};
}

mod cents {
    use super::*;
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        f64::deserialize(deserializer).map(|cents| cents / 100.0)
    }
}

mod mills {
    use super::*;
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        f64::deserialize(deserializer).map(|mills| mills / 1000.0)
    }
}

/// Two modules of functions, each with a visitor of one name.
macro_rules! visiting {
    ($($name:ident)*) => {$(
        mod $name {
            use super::*;
            pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
                struct V;
                impl de::Visitor<'_> for V {
                    type Value = f64;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("a length")
                    }
                    fn visit_f64<E>(self, length: f64) -> Result<f64, E> {
                        Ok(length)
                    }
                }
                deserializer.deserialize_f64(V)
            }
        }
    )*};
}

visiting!(metres feet);

rows! {
    plain { value: f64 }
    in_cents { #[serde(with = "cents")] value: f64 }
    in_metres { #[serde(with = "metres")] value: f64 }
    in_feet { #[serde(with = "feet")] value: f64 }
    by_function { #[serde(deserialize_with = "feet::deserialize")] value: f64 }
    seconds { #[serde(with = "chrono::serde::ts_seconds")] at: DateTime<Utc> }
    millis { #[serde(with = "chrono::serde::ts_milliseconds")] at: DateTime<Utc> }
    maybe { #[serde(with = "chrono::serde::ts_seconds_option")] at: Option<DateTime<Utc>> }
    maybe_millis { #[serde(with = "chrono::serde::ts_milliseconds_option")] at: Option<DateTime<Utc>> }
}

#[test]
fn a_field_that_is_read_by_a_function_is_another_field() {
    traced::<plain::Row>("struct Row{value:f64}");
    traced::<in_cents::Row>("struct Row{value:with=f64}");
    apart::<plain::Row, in_cents::Row>();
}

#[test]
fn functions_are_told_apart_by_their_visitors() {
    traced::<in_metres::Row>("struct Row{value:with=metres::V=f64}");
    traced::<in_feet::Row>("struct Row{value:with=feet::V=f64}");
    apart::<in_metres::Row, in_cents::Row>();
    assert_eq!(Shape::of::<in_feet::Row>().unwrap(), Shape::of::<by_function::Row>().unwrap());
    traced::<seconds::Row>("struct Row{at:with=SecondsTimestampVisitor=i64}");
    traced::<millis::Row>("struct Row{at:with=MilliSecondsTimestampVisitor=i64}");
    apart::<maybe::Row, maybe_millis::Row>();
}

#[test]
fn a_variant_and_a_tuple_show_their_functions() {
    #[derive(Deserialize)]
    #[allow(dead_code)]
    enum Price {
        Plain(f64),
        Cents(#[serde(with = "cents")] f64),
        Feet {
            #[serde(with = "feet")]
            length: f64,
        },
    }
    #[derive(Deserialize)]
    #[allow(dead_code)]
    struct Two(#[serde(with = "cents")] f64, f64);
    traced::<Price>("enum Price{Plain(f64),Cents(with=f64),Feet{length:with=feet::V=f64}}");
    traced::<Two>("struct Two(with=f64,f64)");
}

/// Types that are made of another one, in two modules.
macro_rules! made {
    ($($name:ident)*) => {$(
        mod $name {
            use super::*;
            #[derive(Deserialize)]
            #[serde(from = "f64")]
            pub(super) struct Celsius;
            impl From<f64> for Celsius {
                fn from(_: f64) -> Self {
                    Self
                }
            }
            #[derive(Deserialize)]
            #[serde(from = "f64")]
            pub(super) struct Fahrenheit;
            impl From<f64> for Fahrenheit {
                fn from(_: f64) -> Self {
                    Self
                }
            }
            #[derive(Deserialize)]
            #[allow(dead_code)]
            pub(super) struct Kelvin(f64);
            #[derive(Deserialize)]
            #[allow(dead_code)]
            pub(super) struct Weather<T> {
                day: NaiveDate,
                at: T,
                all: Vec<T>,
                best: Option<Box<T>>,
                name: Cow<'static, str>,
                kelvin: Kelvin,
            }
        }
    )*};
}

made!(before after);

#[test]
fn a_type_that_is_made_from_another_one_is_not_that_one() {
    traced::<before::Celsius>("Celsius=f64");
    traced::<(Arc<before::Celsius>, Option<Box<before::Celsius>>)>("(Celsius=f64,option<Celsius=f64>,)");
    apart::<before::Celsius, f64>();
    apart::<before::Celsius, before::Fahrenheit>();
    apart::<Vec<before::Celsius>, Vec<after::Fahrenheit>>();
}

#[test]
fn a_module_is_not_seen_in_any_name() {
    type Before = before::Weather<before::Celsius>;
    type After = after::Weather<after::Celsius>;
    traced::<Before>(
        "struct Weather{day:NaiveDateVisitor=str,at:Celsius=f64,all:seq<Celsius=f64>,best:option<Celsius=f64>,\
         name:str,kelvin:struct Kelvin(f64)}",
    );
    assert_eq!(Shape::of::<Before>().unwrap(), Shape::of::<After>().unwrap());
    apart::<Before, before::Weather<before::Fahrenheit>>();
}

#[test]
fn types_without_readers_of_their_own_are_described_as_ever() {
    assert_eq!(format!("{:?}", Shape::of::<plain::Row>().unwrap()), "16821230a0c37c813c2aba83032f66aa");
    assert_eq!(
        format!("{:?}", Shape::of::<Pair<Vec<Option<(u8, String)>>>>().unwrap()),
        "f554d9b6bea6a9f1dbd67e337f5bbb81"
    );
}

/// Changes that are not detected, as the docs say.
#[test]
fn functions_without_a_visitor_of_their_own_and_numbers_of_variants_are_not_told_apart() {
    mod other {
        use serde::Deserialize;

        use super::mills;

        #[derive(Deserialize)]
        #[allow(dead_code)]
        pub(super) struct Row {
            #[serde(with = "mills")]
            value: f64,
        }
        #[derive(Deserialize)]
        #[allow(dead_code)]
        pub(super) struct Price(#[serde(with = "mills")] f64);
    }
    #[derive(Deserialize)]
    #[allow(dead_code)]
    struct Price(f64);
    assert_eq!(Shape::of::<in_cents::Row>().unwrap(), Shape::of::<other::Row>().unwrap());
    assert_eq!(Shape::of::<Price>().unwrap(), Shape::of::<other::Price>().unwrap());
}
