//! Digests of format 1, computed from the grammar by another program. They are in the stores of users: a test that
//! fails here is a change of the format, not a test to be adapted.

use std::collections::HashMap;

use serde::Serialize;

use super::key;

macro_rules! golden {
    ($($name:ident: $key:expr => $digest:literal,)*) => {$(
        #[test]
        fn $name() {
            assert_eq!(format!("{:?}", key(&$key)), $digest);
        }
    )*};
}

#[derive(Serialize)]
struct Query {
    table: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    min: Option<u32>,
    max: Option<u32>,
}

#[derive(Serialize)]
struct Metres(f64);

#[derive(Serialize)]
struct Marker;

#[derive(Serialize)]
struct Pair(bool, char);

#[derive(Serialize)]
enum Shape {
    Point,
    Circle(u16),
    Line(i8, i16),
    Box { width: u64, depth: i128 },
}

/// A list of one text, so many times.
struct Repeated(usize, String);

impl Serialize for Repeated {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(std::iter::repeat_n(&self.1, self.0))
    }
}

struct Raw(&'static [u8]);

impl Serialize for Raw {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

golden! {
    a_text: "hello"
        => "ae0addf58c96be245e6bd044b27840f527f1b3d548a18aeadcdacb04fa74f28a",
    an_empty_text: ""
        => "8c7417322642e57a21eb81af786f8956de698e80423df737c14f6856650826e0",
    a_long_text: "ö".repeat(100_000)
        => "6e21360a02de63960454e8ab2fa65574d3e8d4fb2e7e394f3fc3efadcf1a6419",
    bytes: Raw(b"\x00\xff")
        => "dec88b5e2587bf92781b092ad160b8fd9fe6716844d68addaf2c628aab760884",
    unsigned_numbers: (1u8, 2u16, 3u32, 4u64, 5u128)
        => "c00e03e35281138bad0c01b048c3889fb3bb546cf3dacbebc199067090937d95",
    signed_numbers: (-1i8, -2i16, -3i32, -4i64, -5i128)
        => "b342e769e6ee88b04501e5cc44d847b23be244412aea2477c0bb873d6330c287",
    floats: (1.5f32, -0.0f64, f32::NAN, f64::NAN)
        => "c6ddca84c36d67b51d602f7aa0deeb991ce7f69b5b9b2220e24cf8f98c19039a",
    the_small_ones: ((), false, true, 'ä', None::<u8>, Some(()))
        => "1c3133aa7d2d6ce875e6fe169b58553a5041201b687502e0de850bb533e565a1",
    a_list: (0u64..1000).collect::<Vec<_>>()
        => "872d483b9676fa9b8d23a0533cf23b0649b885a9ed8725785075b0f1df594b1d",
    a_map: HashMap::from([("b", 2i32), ("a", 1), ("", 0)])
        => "fc5f3dc284dcd225217b33283b76b95fa91be76ed89973ed443b04ea0c5a2a13",
    a_struct: Query { table: "t", min: None, max: Some(9) }
        => "e0a30d81990a46fb96d74edcdd28186d962a106c47e7161d36ec94e6f8382ee5",
    a_newtype_struct: Metres(2.0)
        => "b7acce4692b7727061e0c436f748e2dfefbcd58cb121c69fd5ff4483dd2b03f7",
    a_unit_struct: Marker
        => "0963614e5ecfe8d6c5233b666c6d29ffa5d12277d51f383bbdfb6e5e9061afdd",
    a_tuple_struct: Pair(true, 'x')
        => "a09280e39ef732a5dcbd2fb16a611f8765a43c0e284314d9df0a2c60b06b05b2",
    a_unit_variant: Shape::Point
        => "43ddaaa4300d52227164120433769f63315e3d3fbc08b684909d5e445605901d",
    a_newtype_variant: Shape::Circle(7)
        => "6dcaa907ba2101b01c7d6824d909b659a10624635d92ed070fc6149170467181",
    a_tuple_variant: Shape::Line(1, -1)
        => "2a7f75c46c8dfcff3994a1688115190655a4738ffd1fa045cf5bb247c2c097ae",
    a_struct_variant: Shape::Box { width: 1, depth: -1 }
        => "efefed4898a8dd5f6f5ad67e9bf3a47490501a9d35e998c1cb87da813a38211a",
    a_key_of_100_mb_of_which_one_is_in_memory: Repeated(100, "a".repeat(1 << 20))
        => "98249a96d4f5a61d4e3351924781f3bb0a93cd40147793a48401a2f621d3d77e",
}
