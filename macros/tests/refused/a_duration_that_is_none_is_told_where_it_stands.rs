use memolith::memo;

#[memo(ttl = "1 fortnight")]
fn load(url: String) -> String {
    url
}

#[memo(ttl = "10m1h")]
fn load_again(url: String) -> String {
    url
}

#[memo(ttl = "0s")]
fn load_always(url: String) -> String {
    url
}

#[memo(ttl = 60)]
fn load_each_minute(url: String) -> String {
    url
}

fn main() {}
