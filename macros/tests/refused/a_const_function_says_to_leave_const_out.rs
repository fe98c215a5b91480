use memolith::memo;

#[memo]
const fn double(number: u32) -> u32 {
    2 * number
}

fn main() {}
