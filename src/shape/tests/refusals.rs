//! Types that cannot be traced, and their errors.

use super::*;

#[test]
fn a_type_that_refuses_everything_is_known_once_all_of_it_was_handed_out() {
    traced::<Unheard>("Unheard=str");
    traced::<(u8, Vec<Option<Unheard>>)>("(u8,seq<option<Unheard=str>>,)");
    traced::<Result<Unheard, Unheard>>("enum Result{Ok(Unheard=str),Err(Unheard=str)}");
}

#[test]
fn what_stands_behind_a_refused_part_is_untraceable_and_the_message_says_why() {
    let message = refused::<(Unheard, u8)>(ErrorKind::UntraceableType);
    for word in ["Unheard", "bad text", ".version(n)"] {
        assert!(message.contains(word), "{message}");
    }
}

#[test]
fn a_refused_part_that_may_be_absent_hides_nothing_behind_it() {
    traced::<(Option<Unheard>, Vec<Unheard>, u8)>("(option<Unheard=str>,seq<Unheard=str>,u8,)");
}

#[test]
fn a_panic_on_a_sample_is_contained() {
    let message = refused::<(u8, Panics)>(ErrorKind::UntraceableType);
    assert!(message.contains("panicked: out of luck"), "{message}");
}

#[test]
fn what_asks_the_format_is_unsupported_and_the_message_names_the_remedy() {
    #[derive(Deserialize)]
    #[serde(untagged)]
    #[allow(dead_code)]
    enum Untagged {
        Number(u8),
        Text(String),
    }
    #[derive(Deserialize)]
    #[serde(tag = "type")]
    #[allow(dead_code)]
    enum Tagged {
        Number { number: u8 },
    }
    #[derive(Deserialize)]
    #[allow(dead_code)]
    struct Flat {
        id: u8,
        #[serde(flatten)]
        pair: Pair<u8>,
    }
    refused::<Untagged>(ErrorKind::UnsupportedType);
    refused::<Tagged>(ErrorKind::UnsupportedType);
    refused::<Flat>(ErrorKind::UnsupportedType);
    refused::<de::IgnoredAny>(ErrorKind::UnsupportedType);
    let message = refused::<Pair<Option<serde_json::Value>>>(ErrorKind::UnsupportedType);
    for word in ["serde_json::value::Value", "memolith::codec::Json", "`json`", "externally tagged"] {
        assert!(message.contains(word), "{message}");
    }
}

#[test]
fn a_value_without_end_is_refused() {
    #[derive(Deserialize)]
    #[allow(dead_code)]
    struct Endless {
        again: Box<Endless>,
        id: u8,
    }
    refused::<Endless>(ErrorKind::UntraceableType);
}

#[test]
fn a_type_that_reads_by_earlier_values_is_untraceable() {
    struct Inconsistent;
    impl<'de> Deserialize<'de> for Inconsistent {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Tagged;
            impl<'de> de::Visitor<'de> for Tagged {
                type Value = Inconsistent;
                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("a tag and its contents")
                }
                fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Inconsistent, A::Error> {
                    match seq.next_element::<u8>()? {
                        Some(1) => seq.next_element::<Unheard>().map(|_| Inconsistent),
                        _ => seq.next_element::<u64>().map(|_| Inconsistent),
                    }
                }
            }
            deserializer.deserialize_tuple(2, Tagged)
        }
    }
    let message = refused::<(Inconsistent, u8)>(ErrorKind::UntraceableType);
    assert!(message.contains("different things"), "{message}");
}

#[test]
fn a_type_that_reads_maps_alone_is_unsupported() {
    struct Named;
    impl<'de> Deserialize<'de> for Named {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Fields;
            impl<'de> de::Visitor<'de> for Fields {
                type Value = Named;
                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("a map of fields")
                }
                fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Named, A::Error> {
                    while map.next_entry::<String, u8>()?.is_some() {}
                    Ok(Named)
                }
            }
            deserializer.deserialize_struct("Named", &["id"], Fields)
        }
    }
    let message = refused::<(u8, Named)>(ErrorKind::UnsupportedType);
    assert!(
        message.contains("Named` inside") && message.contains("by their names") && message.contains("`json`"),
        "{message}"
    );
}
