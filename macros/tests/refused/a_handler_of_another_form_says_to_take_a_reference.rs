use memolith::memo;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Header(String);

struct Unstorable(String);

fn by_value(header: Header) {
    drop(header);
}

fn of_another(unstorable: &Unstorable) {
    println!("{}", unstorable.0);
}

#[memo(effects = by_value)]
fn load(url: String) -> String {
    url
}

#[memo(effects = of_another)]
fn load_again(url: String) -> String {
    url
}

#[memo(effects())]
fn load_without(url: String) -> String {
    url
}

fn main() {}
