use memolith::{memo, resource};

/// Neither stored nor cloned: nothing else is said of it.
struct Refused;

type Answer = Result<u32, Refused>;

#[memo]
fn asked(number: u32) -> Answer {
    number.checked_sub(1).ok_or(Refused)
}

#[memo(handle = none)]
fn asked_without_a_handle(number: u32) -> Answer {
    number.checked_sub(1).ok_or(Refused)
}

#[resource]
fn shared(number: u32) -> Answer {
    number.checked_sub(1).ok_or(Refused)
}

#[memo]
async fn awaited(number: u32) -> Answer {
    number.checked_sub(1).ok_or(Refused)
}

#[resource]
async fn awaited_object(number: u32) -> Answer {
    number.checked_sub(1).ok_or(Refused)
}

fn main() {}
