use memolith::{memo, resource};

#[resource(max_entries = 0)]
fn connection(host: String) -> String {
    host
}

#[memo(max_entries = (0_u64))]
fn load(url: String) -> String {
    url
}

fn main() {}
