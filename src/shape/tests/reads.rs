//! The parts of a type, and the changes that change its shape.

use std::{
    borrow::Cow,
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    fmt::Debug,
    hash::Hash,
    net::{IpAddr, SocketAddr},
    num::{NonZeroI8, NonZeroU32, NonZeroU128},
    ops::{Bound, Range, RangeInclusive},
    path::PathBuf,
    rc::Rc,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use super::*;

mod one {
    #[derive(serde::Deserialize)]
    #[allow(dead_code)]
    pub(super) enum Twin {
        Here(u8),
        There,
    }
}

mod other {
    #[derive(serde::Deserialize)]
    #[allow(dead_code)]
    pub(super) enum Twin {
        Here(String),
        There,
    }
}

#[test]
fn primitives_are_told_by_name() {
    traced::<(bool, char, ())>("(bool,char,unit,)");
    traced::<(i8, i16, i32, i64, i128, isize)>("(i8,i16,i32,i64,i128,i64,)");
    traced::<(u8, u16, u32, u64, u128, usize)>("(u8,u16,u32,u64,u128,u64,)");
    traced::<(f32, f64)>("(f32,f64,)");
    traced::<(NonZeroU32, NonZeroI8, NonZeroU128)>("(u32,i8,u128,)");
}

#[test]
fn text_is_text_in_every_wrapping() {
    traced::<(String, Box<str>, Arc<str>, Cow<'static, str>, PathBuf)>("(str,str,str,str,str,)");
    traced::<(Box<u8>, Arc<u8>, Rc<u8>, Cell<u8>, RefCell<u8>, Mutex<u8>)>("(u8,u8,u8,u8,u8,u8,)");
}

#[test]
fn collections_show_their_entries() {
    traced::<(Vec<u8>, VecDeque<u8>, BTreeSet<u8>, Box<[u8]>)>("(seq<u8>,seq<u8>,seq<u8>,seq<u8>,)");
    traced::<HashMap<String, Vec<Option<f32>>>>("map<str,seq<option<f32>>>");
    traced::<BTreeMap<(u8, u8), i64>>("map<(u8,u8,),i64>");
    traced::<[u16; 3]>("(u16,u16,u16,)");
    traced::<Option<Option<u8>>>("option<option<u8>>");
}

#[test]
fn types_of_the_standard_library_are_traced() {
    traced::<Duration>("struct Duration{secs:u64,nanos:u32}");
    traced::<SystemTime>("struct SystemTime{secs_since_epoch:u64,nanos_since_epoch:u32}");
    traced::<Range<u8>>("struct Range{start:u8,end:u8}");
    traced::<RangeInclusive<i8>>("struct RangeInclusive{start:i8,end:i8}");
    traced::<Bound<u8>>("enum Bound{Unbounded,Included(u8),Excluded(u8)}");
    traced::<Result<u8, String>>("enum Result{Ok(u8),Err(str)}");
    traced::<PhantomData<String>>("struct PhantomData");
    let address = describe::<IpAddr>().unwrap();
    assert!(address.starts_with("enum IpAddr{V4((u8,u8,u8,u8,)),V6((u8,u8,"), "{address}");
    let socket = describe::<SocketAddr>().unwrap();
    assert!(socket.starts_with("enum SocketAddr{V4(((u8,u8,u8,u8,),u16,)),V6("), "{socket}");
}

#[test]
fn a_variant_that_this_platform_refuses_stops_nothing() {
    let text = describe::<(std::ffi::OsString, Email)>().unwrap();
    assert!(text.contains("Unix") && text.contains('!') && text.ends_with(",Email=str,)"), "{text}");
}

#[test]
fn types_that_validate_are_offered_samples_until_they_accept() {
    use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, Utc};

    traced::<(DateTime<Utc>, DateTime<FixedOffset>, NaiveDate, u8)>(
        "(DateTime<Utc>=DateTimeVisitor=str,DateTimeVisitor=str,NaiveDateVisitor=str,u8,)",
    );
    traced::<(NaiveTime, NaiveDateTime, Option<NaiveDate>, u8)>(
        "(NaiveTimeVisitor=str,NaiveDateTimeVisitor=str,option<NaiveDateVisitor=str>,u8,)",
    );
    traced::<(uuid::Uuid, url::Url, Vec<url::Url>, u8)>(
        "(UuidBytesVisitor<Uuid>=bytes,Url::UrlVisitor=str,seq<Url::UrlVisitor=str>,u8,)",
    );
    traced::<(Email, NonEmpty, Even, u8)>("(Email=str,NonEmpty=str,Even=u32,u8,)");
    traced::<(BTreeMap<Email, Vec<Even>>, u8)>("(map<Email=str,seq<Even=u32>>,u8,)");
    traced::<(Vec<Pair<Email>>, Pair<Even>)>(
        "(seq<struct Pair{left:Email=str,right:Email=str}>,struct Pair{left:Even=u32,right:Even=u32},)",
    );
}

#[test]
fn a_self_describing_format_leaves_open_the_types_that_depend_on_the_bytes() {
    let text = trace::<Pair<serde_json::Value>>(FormatKind::SelfDescribing).unwrap();
    assert_eq!(
        text,
        r#"struct Pair{left:any "serde_json::value::Value",right:any "serde_json::value::Value"}"#
    );
    assert_eq!(Shape::self_describing::<Pair<u8>>(), Shape::self_describing::<Pair<u8>>());
    assert_ne!(Shape::self_describing::<Pair<u8>>(), Shape::self_describing::<Pair<u16>>());
    // Neither can be traced: their names tell them apart.
    assert_ne!(Shape::self_describing::<(Unheard, u8)>(), Shape::self_describing::<(Unheard, u16)>());
}

#[test]
fn each_format_is_read_as_its_codec_reads_it() {
    assert_eq!(describe::<uuid::Uuid>().unwrap(), "UuidBytesVisitor<Uuid>=bytes");
    assert_eq!(trace::<uuid::Uuid>(FormatKind::SelfDescribing).unwrap(), "UuidReadableVisitor<Uuid>=str");
    assert_eq!(trace::<IpAddr>(FormatKind::SelfDescribing).unwrap(), "str");
}

#[test]
fn every_variant_is_described_however_deep() {
    #[derive(Deserialize)]
    #[allow(dead_code)]
    enum Inner {
        Unit,
        Newtype(Option<Deep>),
        Tuple(u8, String),
        Struct { at: u64, deep: Vec<Deep> },
    }
    #[derive(Deserialize)]
    #[allow(dead_code)]
    enum Deep {
        Left,
        Right(Result<Email, Even>),
    }
    traced::<Result<Inner, Deep>>(
        "enum Result{Ok(enum Inner{Unit,Newtype(option<enum Deep{Left,Right(enum Result{Ok(Email=str),Err(Even=u32)})}>),\
         Tuple(u8,str,),Struct{at:u64,deep:seq<^Deep#3>}}),Err(^Deep#3)}",
    );
}

#[test]
fn a_generic_and_a_name_may_be_used_twice() {
    traced::<(Pair<u8>, Pair<String>, Pair<u8>)>(
        "(struct Pair{left:u8,right:u8},struct Pair{left:str,right:str},^Pair#1,)",
    );
    traced::<(one::Twin, other::Twin)>("(enum Twin{Here(u8),There},enum Twin{Here(str),There},)");
    apart::<one::Twin, other::Twin>();
}

#[test]
fn recursion_ends() {
    #[derive(Deserialize)]
    #[allow(dead_code)]
    struct Chain {
        next: Option<Box<Chain>>,
        id: u8,
    }
    #[derive(Deserialize)]
    #[allow(dead_code)]
    struct Forest(Vec<Forest>, Vec<Forest>);
    #[derive(Deserialize)]
    #[serde(transparent)]
    #[allow(dead_code)]
    struct Bare(Vec<Bare>);

    traced::<Chain>("struct Chain{next:option<^Chain#0>,id:u8}");
    traced::<Forest>("struct Forest(seq<^Forest#0>,seq<^Forest#0>)");
    traced::<Bare>("Bare=seq<Bare=^seq#0>");
}

#[derive(Deserialize)]
#[allow(dead_code)]
enum Expression {
    Sum(Box<Expression>, Box<Expression>),
    Call { name: NonEmpty, arguments: Vec<Expression> },
    Block(Block),
    Number(f64),
}

#[derive(Deserialize)]
#[allow(dead_code)]
enum Block {
    Only(Box<Expression>),
    Many(Box<Block>, Box<Expression>, char),
}

#[test]
fn mutual_recursion_through_enums_hides_no_part() {
    traced::<Expression>(
        "enum Expression{Sum(^Expression#0,^Expression#0,),Call{name:NonEmpty=str,arguments:seq<^Expression#0>},\
         Block(enum Block{Only(^Expression#0),Many(^Block#2,^Expression#0,char,)}),Number(f64)}",
    );
    assert!(describe::<Block>().unwrap().ends_with(",char,)}"));
}

#[test]
fn attributes_of_serde_are_followed() {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    #[allow(dead_code)]
    struct Attributed {
        #[serde(default)]
        first_field: u8,
        #[serde(rename = "a:u8,b")]
        second: u8,
        #[serde(skip)]
        third: u8,
        #[serde(with = "chrono::serde::ts_seconds")]
        fourth: chrono::DateTime<chrono::Utc>,
        #[serde(deserialize_with = "bytes")]
        fifth: usize,
    }
    fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
        struct Length;
        impl de::Visitor<'_> for Length {
            type Value = usize;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<usize, E> {
                if bytes.len() == 32 { Ok(32) } else { Err(E::invalid_length(bytes.len(), &self)) }
            }
        }
        deserializer.deserialize_byte_buf(Length)
    }
    traced::<(Attributed, u8)>(
        "(struct Attributed{firstField:u8,\"a:u8,b\":u8,fourth:with=SecondsTimestampVisitor=i64,fifth:with=Length=bytes},u8,)",
    );
}

#[test]
fn borrowed_text_is_handed_out_as_postcard_hands_it_out() {
    struct Interned;
    impl<'de> Deserialize<'de> for Interned {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            <&str>::deserialize(deserializer).map(|_| Self)
        }
    }
    traced::<(Interned, u8)>("(Interned=str,u8,)");
}

#[test]
fn every_change_of_the_layout_changes_the_shape() {
    macro_rules! versions {
        ($($name:ident { $($body:tt)* })*) => {$(
            mod $name {
                #[derive(serde::Deserialize)]
                #[allow(dead_code)]
                $($body)*
            }
        )*};
    }
    versions! {
        first { pub(super) struct Row { id: u32, name: String } }
        same { pub(super) struct Row { id: u32, name: Box<str> } }
        added { pub(super) struct Row { id: u32, name: String, at: u8 } }
        removed { pub(super) struct Row { id: u32 } }
        renamed { pub(super) struct Row { key: u32, name: String } }
        moved { pub(super) struct Row { name: String, id: u32 } }
        wider { pub(super) struct Row { id: u64, name: String } }
        optional { pub(super) struct Row { id: u32, name: Option<String> } }
        another { pub(super) struct Line { id: u32, name: String } }
        choice { pub(super) enum Row { A, B(u8) } }
        choice_added { pub(super) enum Row { A, B(u8), C } }
        choice_renamed { pub(super) enum Row { A, D(u8) } }
        choice_moved { pub(super) enum Row { B(u8), A } }
        choice_filled { pub(super) enum Row { A(()), B(u8) } }
    }
    assert_eq!(Shape::of::<first::Row>().unwrap(), Shape::of::<same::Row>().unwrap());
    apart::<first::Row, added::Row>();
    apart::<first::Row, removed::Row>();
    apart::<first::Row, renamed::Row>();
    apart::<first::Row, moved::Row>();
    apart::<first::Row, wider::Row>();
    apart::<first::Row, optional::Row>();
    apart::<first::Row, another::Line>();
    apart::<choice::Row, choice_added::Row>();
    apart::<choice::Row, choice_renamed::Row>();
    apart::<choice::Row, choice_moved::Row>();
    apart::<choice::Row, choice_filled::Row>();
    apart::<[u8; 20], [u8; 21]>();
    apart::<Vec<u8>, Option<u8>>();
}

#[test]
fn a_seq_that_demands_a_length_gets_it() {
    #[derive(Deserialize)]
    #[serde(try_from = "Vec<u8>")]
    struct Colour;
    impl TryFrom<Vec<u8>> for Colour {
        type Error = String;
        fn try_from(bytes: Vec<u8>) -> Result<Self, String> {
            if bytes.len() == 3 { Ok(Self) } else { Err(format!("{} channels", bytes.len())) }
        }
    }
    traced::<(Colour, u16)>("(Colour=seq<u8>,u16,)");
}

#[test]
fn a_shape_prints_as_hex() {
    let text = format!("{:?}", Shape::named("arrow"));
    assert!(text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit()), "{text}");
    assert_ne!(Shape::named("arrow"), Shape::untraced());
    assert_eq!(Shape::untraced().as_bytes(), &[0; 16]);
}

fn _shapes_are_small_values(shape: Shape) -> impl Copy + Eq + Hash + Debug + Send + Sync {
    shape
}
