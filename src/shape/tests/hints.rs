//! Error messages become samples.

use super::*;

/// A type that reads another one, and names the valid values in its error message.
macro_rules! wants {
    ($($name:ident($raw:literal as $kind:ty, $rule:expr, $message:expr);)*) => {$(
        #[derive(Deserialize)]
        #[serde(try_from = $raw)]
        struct $name;

        impl TryFrom<$kind> for $name {
            type Error = String;

            fn try_from(raw: $kind) -> Result<Self, String> {
                let (rule, message): (fn(&$kind) -> bool, fn(&$kind) -> String) = ($rule, $message);
                if rule(&raw) { Ok(Self) } else { Err(message(&raw)) }
            }
        }
    )*};
}

/// The type is traced to its end: the part after the hinted one is reached.
#[track_caller]
fn whole<T: DeserializeOwned>() {
    let text = describe::<(T, char)>().unwrap();
    assert!(text.ends_with(",char,)"), "{text}");
}

fn is_sku(text: &str) -> bool {
    let (letters, digits) = text.split_once('-').unwrap_or_default();
    letters.len() == 4
        && letters.bytes().all(|byte| byte.is_ascii_uppercase())
        && digits.len() == 3
        && digits.bytes().all(|byte| byte.is_ascii_digit())
}

wants! {
    Suit("String" as String, |text| text == "clubs", |text| format!("unknown suit `{text}`, expected one of `clubs`, `hearts`"));
    Plain("String" as String, |text| text == "hearts", |_| "the suit must be one of clubs, spades or hearts".into());
    Pipes("String" as String, |text| text == "spades", |_| "valid values: clubs|hearts|spades".into());
    Prefixed("String" as String, |text| text.starts_with("cus_") && text.len() > 4, |_| "a customer begins with 'cus_'".into());
    Suffixed("String" as String, |text| text.ends_with(".parquet"), |_| "no \".parquet\" at the end".into());
    Step("String" as String, |text| text.starts_with("ord_") && text.len() == 17, |text| {
        if text.starts_with("ord_") { format!("`{text}` is not 17 characters long") } else { "no prefix `ord_`".into() }
    });
    Turned("String" as String, |text| text.starts_with("inv_") && text.len() == 19, |text| {
        if text.len() == 19 { "no prefix `inv_`".into() } else { "length must be 19".into() }
    });
    Long("String" as String, |text| text.len() == 100, |_| "expected exactly 100 characters".into());
    Digest("String" as String, |text| text.len() == 96 && text.bytes().all(|byte| byte.is_ascii_hexdigit()), |_| "a digest has 48 bytes".into());
    Sku("String" as String, |text| is_sku(text), |_| "does not match the pattern ^[A-Z]{4}-\\d{3}$".into());
    Dotted("String" as String, |text| text == "2026_01_01", |_| "the format is YYYY_MM_DD".into());
    Between("u32" as u32, |number| (7_001..7_010).contains(number), |_| "not between 7000 and 7010".into());
    Dozen("u64" as u64, |number| *number == 144_000, |number| format!("{number} is not 144000"));
    Half("f64" as f64, |number| (12.0..13.0).contains(number), |_| "must be at least 12".into());
    Piece("char" as char, |piece| *piece == 'q', |piece| format!("`{piece}` is none of 'k', 'q' or 'p'"));
    Longest("Vec<u8>" as Vec<u8>, |bytes| bytes.len() == 77, |_| "expected an array of 77 bytes".into());
    Odd("String" as String, |text| text.len() == 37 && text.bytes().all(|byte| byte.is_ascii_digit()), |_| "no".into());
    Key("Vec<u8>" as Vec<u8>, |bytes| bytes.len() == 57, |_| "no".into());
}

#[test]
fn words_that_a_refusal_names_are_tried() {
    whole::<(Suit, Plain, Pipes, Piece)>();
}

#[test]
fn a_beginning_and_an_end_are_completed() {
    whole::<(Prefixed, Suffixed)>();
}

#[test]
fn one_refusal_leads_to_the_next_one() {
    whole::<(Step, Turned)>();
}

#[test]
fn lengths_are_followed() {
    whole::<(Long, Digest, Longest)>();
}

#[test]
fn every_short_length_is_tried_without_a_word() {
    whole::<(Odd, Key)>();
}

#[test]
fn patterns_are_filled_in() {
    whole::<(Sku, Dotted)>();
}

#[test]
fn numbers_are_tried_with_their_neighbours() {
    whole::<(Between, Dozen, Half)>();
}

#[test]
fn the_expectation_of_a_visitor_becomes_a_sample() {
    struct Metal;
    impl<'de> Deserialize<'de> for Metal {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Visitor;
            impl de::Visitor<'_> for Visitor {
                type Value = Metal;
                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("one of copper, silver, gold")
                }
                fn visit_str<E: de::Error>(self, text: &str) -> Result<Metal, E> {
                    if text == "silver" { Ok(Metal) } else { Err(E::custom("no metal")) }
                }
            }
            deserializer.deserialize_str(Visitor)
        }
    }
    whole::<Metal>();
}

#[test]
fn a_rule_over_several_parts_is_met() {
    #[derive(Deserialize)]
    #[allow(dead_code)]
    struct Parts {
        unit: String,
        amount: u32,
    }
    #[derive(Deserialize)]
    #[serde(try_from = "Parts")]
    struct Amount;
    impl TryFrom<Parts> for Amount {
        type Error = String;
        fn try_from(parts: Parts) -> Result<Self, String> {
            if parts.unit == "furlong" { Ok(Self) } else { Err(format!("`{}` is not `furlong`", parts.unit)) }
        }
    }
    whole::<Amount>();
}

#[test]
fn a_refusal_that_never_says_the_same_stays_bounded() {
    #[derive(Deserialize)]
    #[serde(try_from = "String")]
    struct Talkative;
    impl TryFrom<String> for Talkative {
        type Error = String;
        fn try_from(text: String) -> Result<Self, String> {
            let words: Vec<String> = (0..100).map(|at| format!("`{text}{at}`")).collect();
            Err(format!("expected one of {} with {} characters", words.join(", "), text.len() + 1))
        }
    }
    let mut state = TraceState::new(FormatKind::Positional);
    let _ = search::trace::<(Talkative, u8)>(&mut state);
    let (_, samples) = state.effort();
    assert!(samples <= 2_100, "{samples} samples");
    assert!(refused::<(Talkative, u8)>(ErrorKind::UntraceableType).contains("Talkative"));
}

#[test]
fn the_same_type_is_the_same_text_each_time() {
    assert_eq!(describe::<(Step, Suit, Long)>().unwrap(), describe::<(Step, Suit, Long)>().unwrap());
}
