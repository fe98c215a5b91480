use memolith::code;

#[code(depends(second))]
fn first() {}

#[code(depends(first))]
fn second() {}

fn main() {}
