use memolith::memo;

#[memo]
fn sum((left, right): (u32, u32)) -> u32 {
    left + right
}

fn main() {}
