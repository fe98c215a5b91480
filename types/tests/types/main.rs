//! Types of other crates that validate, as values of a memo.
//!
//! Each case is a line: `traced` for a type of which whole samples can be made, `kept` for a value of it that comes back
//! after a restart, `refused` for a type that postcard cannot read, `unknown` for one that no sample satisfies.

mod fields;

use std::fmt::Debug;

use memolith::{Error, Memo, Store, codec::Shape};
use serde::{Serialize, de::DeserializeOwned};

/// Whole samples are made of it. The parts after one that refuses every sample are never reached.
#[track_caller]
fn traced<T: DeserializeOwned>(name: &str) {
    let shapes = [Shape::of::<T>(), Shape::of::<(T, u8)>()];
    shapes.into_iter().for_each(|shape| assert!(shape.is_ok(), "{name}: {}", shape.unwrap_err()));
    // The other codec must accept it as well.
    assert_eq!(Shape::self_describing::<T>(), Shape::self_describing::<T>(), "{name}");
}

/// It is traced, and the value is a hit after a restart.
#[track_caller]
fn kept<T>(name: &str, value: T)
where
    T: Serialize + DeserializeOwned + Clone + PartialEq + Debug + Send + Sync + 'static,
{
    traced::<T>(name);
    let folder = tempfile::tempdir().unwrap();
    let memo = || -> Memo<str, T> {
        Memo::builder("types")
            .open(&Store::open(folder.path()).unwrap())
            .unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    assert_eq!(memo().get_or_insert_with("key", || value.clone()), value, "{name}");
    let memo = memo();
    let found = memo.get_or_insert_with("key", || panic!("{name} is not kept: {:?}", memo.last_failure()));
    assert_eq!(found, value, "{name}");
}

/// The type asks the format for the next part, or for more than postcard has.
#[track_caller]
fn refused<T: DeserializeOwned>(name: &str) {
    let error = Shape::of::<T>().map(drop).unwrap_err();
    assert!(
        error.is_unsupported_type() && error.to_string().contains("memolith::codec::Json"),
        "{name}: {error}"
    );
}

/// No sample satisfies the type, so the parts after it are unknown.
#[track_caller]
fn unknown<T: DeserializeOwned>(name: &str) {
    let error: Error = Shape::of::<(T, u8)>().map(drop).unwrap_err();
    assert!(error.to_string().contains("give the memo a `.version(n)`"), "{name}: {error}");
}

fn parsed<T: std::str::FromStr<Err: Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

#[test]
fn dates_times_and_zones() {
    kept("chrono: DateTime<Utc>", parsed::<chrono::DateTime<chrono::Utc>>("2026-03-29T01:30:00Z"));
    kept(
        "chrono: DateTime<FixedOffset>",
        parsed::<chrono::DateTime<chrono::FixedOffset>>("2026-03-29T01:30:00+02:00"),
    );
    kept("chrono: DateTime<Local>", parsed::<chrono::DateTime<chrono::Local>>("2026-03-29T01:30:00Z"));
    kept("chrono: NaiveDate", parsed::<chrono::NaiveDate>("2024-02-29"));
    kept("chrono: NaiveTime", parsed::<chrono::NaiveTime>("23:59:59.5"));
    kept("chrono: NaiveDateTime", parsed::<chrono::NaiveDateTime>("2024-02-29T12:00:00"));
    kept("chrono: Weekday", chrono::Weekday::Sun);
    kept("chrono: Month", chrono::Month::December);
    kept("chrono: TimeDelta", chrono::TimeDelta::milliseconds(-1_500));
    kept("chrono: ts_seconds, ts_milliseconds", fields::Stamps::default());
    kept("chrono-tz: Tz", chrono_tz::Europe::Berlin);
    kept("jiff: Timestamp", parsed::<jiff::Timestamp>("2026-03-29T01:30:00Z"));
    kept("jiff: Zoned", parsed::<jiff::Zoned>("2026-03-29T12:30:00+00:00[UTC]"));
    kept("jiff: Date", jiff::civil::date(2024, 2, 29));
    kept("jiff: Time", jiff::civil::time(23, 59, 59, 5));
    kept("jiff: DateTime", jiff::civil::datetime(2024, 2, 29, 12, 0, 0, 0));
    kept("jiff: ISOWeekDate", jiff::civil::date(2024, 2, 29).iso_week_date());
    kept("jiff: SignedDuration", jiff::SignedDuration::from_secs(-90));
    traced::<jiff::Span>("jiff: Span");
    kept("time: Date", time::macros::date!(2024 - 02 - 29));
    kept("time: Time", time::macros::time!(23:59:59));
    kept("time: PrimitiveDateTime", time::macros::datetime!(2024-02-29 12:00));
    kept("time: OffsetDateTime", time::macros::datetime!(2024-02-29 12:00 +2));
    kept("time: UtcDateTime", time::macros::utc_datetime!(2024-02-29 12:00));
    kept("time: UtcOffset", time::macros::offset!(-3:30));
    kept("time: Weekday", time::Weekday::Sunday);
    kept("time: Month", time::Month::December);
    kept("time: Duration", time::Duration::milliseconds(-1_500));
    kept("time: rfc3339, iso8601, rfc2822, timestamp", fields::Moments::default());
    kept("humantime-serde: Duration, SystemTime", fields::Humane::default());
    kept("cron: Schedule", parsed::<cron::Schedule>("0 30 9 * * Mon-Fri *"));
}

#[test]
fn numbers() {
    kept("num-bigint: BigInt", parsed::<num_bigint::BigInt>("-123456789012345678901234567890"));
    kept("num-bigint: BigUint", parsed::<num_bigint::BigUint>("123456789012345678901234567890"));
    kept("num-rational: Ratio", num_rational::Ratio::new(-3_i64, 4));
    kept("num-rational: BigRational", parsed::<num_rational::BigRational>("3/4"));
    kept("num-complex: Complex", num_complex::Complex::new(1.5, -2.0));
    kept("ordered-float: OrderedFloat", ordered_float::OrderedFloat(2.5));
    kept("ordered-float: NotNan", ordered_float::NotNan::new(2.5).unwrap());
    kept("half: f16", half::f16::from_f32(2.5));
    kept("primitive-types: U256", primitive_types::U256::from(7_u64));
    kept("primitive-types: U128", primitive_types::U128::from(7_u64));
    kept("primitive-types: H160", primitive_types::H160::repeat_byte(7));
    kept("primitive-types: H256", primitive_types::H256::repeat_byte(7));
    kept("rust_decimal: serde::str", fields::Price::default());
    kept("uom: Length", uom::si::f64::Length::new::<uom::si::length::kilometer>(1.5));
    kept("bytesize: ByteSize", bytesize::ByteSize::mib(3));
    kept("serde_repr: an enum by number", fields::Priority::High);
}

#[test]
fn identifiers_and_bytes() {
    kept("uuid: Uuid", uuid::Uuid::from_u128(7));
    kept("uuid: NonNilUuid", uuid::NonNilUuid::new(uuid::Uuid::from_u128(7)).unwrap());
    kept("uuid: fmt::Hyphenated", uuid::Uuid::from_u128(7).hyphenated());
    kept("ulid: Ulid", ulid::Ulid::from_parts(7, 7));
    kept("svix-ksuid: Ksuid", <svix_ksuid::Ksuid as svix_ksuid::KsuidLike>::from_bytes([7; 20]));
    kept("iban_validate: Iban", parsed::<iban::Iban>("DE89370400440532013000"));
    kept("hex: array, Vec", fields::Digests::default());
    kept("serde_with: Base64, Hex", fields::Encoded::default());
    kept("bytes: Bytes", bytes::Bytes::from_static(b"abc"));
    kept("bytes: BytesMut", bytes::BytesMut::from(&b"abc"[..]));
    kept("bstr: BString", bstr::BString::from("abc"));
    kept("serde_bytes: ByteBuf", serde_bytes::ByteBuf::from([1, 2, 3]));
    kept("serde_bytes: ByteArray", serde_bytes::ByteArray::new([7; 57]));
    traced::<secrecy::SecretString>("secrecy: SecretString");
}

#[test]
fn addresses_and_protocols() {
    kept("url: Url", parsed::<url::Url>("https://example.com/a?b=c"));
    kept(
        "iri-string: UriString",
        iri_string::types::UriString::try_from("https://example.com/".to_owned()).unwrap(),
    );
    kept(
        "iri-string: IriReferenceString",
        iri_string::types::IriReferenceString::try_from("../é".to_owned()).unwrap(),
    );
    kept("email_address: EmailAddress", parsed::<email_address::EmailAddress>("someone@example.com"));
    kept("ipnet: IpNet", parsed::<ipnet::IpNet>("10.0.0.0/8"));
    kept("ipnet: Ipv6Net", parsed::<ipnet::Ipv6Net>("fe80::/10"));
    kept("ipnetwork: IpNetwork", parsed::<ipnetwork::IpNetwork>("10.0.0.0/8"));
    kept("ipnetwork: Ipv6Network", parsed::<ipnetwork::Ipv6Network>("fe80::/10"));
    kept("cidr: Ipv4Cidr", parsed::<cidr::Ipv4Cidr>("10.0.0.0/8"));
    kept("macaddr: MacAddr6", macaddr::MacAddr6::new(1, 2, 3, 4, 5, 6));
    kept("macaddr: MacAddr8", macaddr::MacAddr8::new(1, 2, 3, 4, 5, 6, 7, 8));
    kept("http-serde: method, uri, status_code, version, authority", fields::Request::default());
    traced::<fields::Headers>("http-serde: header_map");
    kept("mediatype: MediaTypeBuf", parsed::<mediatype::MediaTypeBuf>("image/svg+xml; charset=UTF-8"));
    kept("phonenumber: PhoneNumber", phonenumber::parse(None, "+493012345678").unwrap());
}

#[test]
fn versions_languages_countries_colors() {
    kept("semver: Version", parsed::<semver::Version>("1.2.3-rc.1+build"));
    kept("semver: VersionReq", parsed::<semver::VersionReq>(">=1.2, <2"));
    kept("semver: Comparator", parsed::<semver::Comparator>("^1.2"));
    kept("celes: Country", celes::Country::germany());
    kept("isocountry: CountryCode", isocountry::CountryCode::DEU);
    kept("iso_currency: Currency", iso_currency::Currency::JPY);
    kept("language-tags: LanguageTag", parsed::<language_tags::LanguageTag>("de-CH-1996"));
    kept("unic-langid: LanguageIdentifier", parsed::<unic_langid::LanguageIdentifier>("sr-Cyrl-RS"));
    kept("csscolorparser: Color", csscolorparser::Color::from_rgba8(1, 2, 3, 255));
    kept("rgb: RGB8", rgb::RGB8::new(1, 2, 3));
    traced::<fields::Pattern>("serde_regex: Regex");
}

#[test]
fn text_and_paths() {
    kept("compact_str: CompactString", compact_str::CompactString::from("abc"));
    kept("smol_str: SmolStr", smol_str::SmolStr::from("abc"));
    kept("ecow: EcoString", ecow::EcoString::from("abc"));
    kept("arcstr: ArcStr", arcstr::ArcStr::from("abc"));
    kept("camino: Utf8PathBuf", camino::Utf8PathBuf::from("a/b"));
    kept("relative-path: RelativePathBuf", relative_path::RelativePathBuf::from("a/b"));
    kept("arrayvec: ArrayString", arrayvec::ArrayString::<8>::from("abc").unwrap());
    kept("heapless: String", heapless::String::<8>::try_from("abc").unwrap());
}

#[test]
fn collections_and_sets() {
    kept("arrayvec: ArrayVec", arrayvec::ArrayVec::<u8, 4>::from_iter([1, 2]));
    kept("smallvec: SmallVec", smallvec::SmallVec::<[u8; 4]>::from_slice(&[1, 2]));
    kept("tinyvec: ArrayVec", tinyvec::ArrayVec::<[u8; 4]>::from_iter([1, 2]));
    kept("tinyvec: TinyVec", tinyvec::TinyVec::<[u8; 4]>::from_iter([1, 2]));
    kept("heapless: Vec", heapless::Vec::<u8, 4>::from_slice(&[1, 2]).unwrap());
    kept("ecow: EcoVec", ecow::EcoVec::<u8>::from_iter([1, 2]));
    kept(
        "indexmap: IndexMap",
        indexmap::IndexMap::<String, u8>::from_iter([("b".into(), 1), ("a".into(), 2)]),
    );
    kept("indexmap: IndexSet", indexmap::IndexSet::<u8>::from_iter([2, 1]));
    kept("nonempty: NonEmpty", nonempty::NonEmpty::new(7_u8));
    kept("either: Either", either::Either::<u8, String>::Left(7));
    kept("bitflags: flags by number", fields::Rights::READ);
    kept("enumset: EnumSet by number", fields::Day::Sat | fields::Day::Sun);
    kept("enumset: EnumSet by list", fields::Side::Left | fields::Side::Right);
    kept("geo-types: Point", geo_types::Point::new(1.5, -2.0));
    kept("geo-types: Rect", geo_types::Rect::new((0.0, 0.0), (1.0, 2.0)));
    kept("geo-types: Geometry", geo_types::Geometry::from(geo_types::Point::new(1.5, -2.0)));
    kept("serde_with: adapters of other types", fields::Adapted::default());
}

#[test]
fn types_that_ask_the_format_are_refused() {
    refused::<serde_json::Value>("serde_json: Value");
    refused::<serde_json::Number>("serde_json: Number");
    refused::<Box<serde_json::value::RawValue>>("serde_json: RawValue");
    refused::<rust_decimal::Decimal>("rust_decimal: Decimal");
    refused::<bigdecimal::BigDecimal>("bigdecimal: BigDecimal");
}

#[test]
fn types_that_no_sample_satisfies_need_a_version() {
    // It reads a number, and takes an address of one kind or the other by it.
    unknown::<cidr::Ipv6Cidr>("cidr: Ipv6Cidr");
    unknown::<fields::Checked>("a text with a check sum of its own");
}

/// Another adapter of a field is another shape.
#[test]
fn adapters_are_told_apart() {
    let [seconds, millis, plain] = fields::adapters();
    assert!(seconds != millis && millis != plain && plain != seconds);
}
