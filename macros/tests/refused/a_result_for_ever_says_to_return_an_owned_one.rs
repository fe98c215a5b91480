use memolith::memo;

#[memo]
fn first(number: u32) -> &'static str {
    if number == 0 { "none" } else { "some" }
}

#[memo]
fn second(number: u32) -> Result<Vec<(u32, &'static [u8])>, String> {
    Ok(vec![(number, b"bytes")])
}

fn main() {}
