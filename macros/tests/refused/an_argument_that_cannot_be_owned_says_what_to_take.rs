use std::rc::Rc;

use memolith::memo;

#[memo(ttl = "1h", stale_for = "1d", skip(shared))]
fn sum(number: u32, shared: Rc<u32>) -> u32 {
    number + *shared
}

struct Connection;

#[memo(ttl = "1h", refresh_at = 0.9, skip(connection))]
fn asked(connection: &Connection, number: u32) -> u32 {
    let _ = connection;
    number
}

fn main() {}
