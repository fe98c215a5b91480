//! Claims about the parts of a type, by the text that is hashed.

mod effort;
mod hints;
mod readers;
mod reads;
mod refusals;

use std::marker::PhantomData;

use serde::{Deserialize, Deserializer, de};

use super::*;

#[track_caller]
fn traced<V: DeserializeOwned>(expected: &str) {
    assert_eq!(describe::<V>().unwrap(), expected);
}

#[track_caller]
fn apart<A: DeserializeOwned, B: DeserializeOwned>() {
    let (one, other) = (Shape::of::<A>().unwrap(), Shape::of::<B>().unwrap());
    assert_ne!(one, other, "{}", describe::<A>().unwrap());
}

/// The message of the error, after a check of its kind.
#[track_caller]
fn refused<V: DeserializeOwned>(kind: ErrorKind) -> String {
    let error = Shape::of::<V>().unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(type_name::<V>()), "{error}");
    error.to_string()
}

/// A type that reads a string, and accepts only the strings that its rule allows.
macro_rules! text {
    ($($name:ident($rule:expr);)*) => {$(
        #[derive(Clone, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
        #[serde(try_from = "String")]
        struct $name;

        impl TryFrom<String> for $name {
            type Error = &'static str;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                let rule: fn(&str) -> bool = $rule;
                if rule(&text) { Ok(Self) } else { Err("bad text") }
            }
        }
    )*};
}

text! {
    Email(|text| text.contains('@'));
    NonEmpty(|text| !text.is_empty());
    Unheard(|text| text == "xyzzy");
    Panics(|text| text.len() > 1_000 || panic!("out of {}", "luck"));
}

#[derive(Deserialize)]
#[serde(try_from = "u32")]
struct Even;

impl TryFrom<u32> for Even {
    type Error = String;

    fn try_from(number: u32) -> Result<Self, String> {
        if number.is_multiple_of(2) { Ok(Self) } else { Err(format!("{number} is odd")) }
    }
}

#[derive(Deserialize)]
#[allow(dead_code)]
struct Pair<T> {
    left: T,
    right: T,
}
