use memolith::{code, memo, resource};
use std::sync::Arc;

trait Load {
    fn load(number: u32) -> u32;
    fn parse(number: u32) -> u32;
    fn fine(number: u32) -> u32;
    fn share(number: u32) -> u32;
    fn share_too(number: u32) -> Arc<u32>;
}

struct Rides;

impl Load for Rides {
    #[memo]
    fn load(number: u32) -> u32 {
        number
    }

    #[code]
    fn parse(number: u32) -> u32 {
        number
    }

    #[memo(handle = none)]
    fn fine(number: u32) -> u32 {
        number
    }

    #[resource]
    fn share(number: u32) -> u32 {
        number
    }

    #[resource(handle = none)]
    fn share_too(number: u32) -> u32 {
        number
    }
}

impl Rides {
    #[memo]
    fn own(number: u32) -> u32 {
        number
    }
}

fn main() {}
