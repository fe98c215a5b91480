use memolith::memo;

struct Result(u32);

#[memo]
fn scored(number: u32) -> Result {
    Result(number)
}

fn main() {}
