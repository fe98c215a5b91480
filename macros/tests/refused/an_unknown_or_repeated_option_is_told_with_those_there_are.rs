use memolith::memo;

#[memo(tll = "1h")]
fn load(url: String) -> String {
    url
}

#[memo(ttl = "1h", ttl = "2h")]
fn load_again(url: String) -> String {
    url
}

#[memolith::resource(max_bytes = 3)]
fn connection(host: String) -> String {
    host
}

#[memolith::resource(effects = println)]
fn shown(host: String) -> String {
    host
}

fn main() {}
