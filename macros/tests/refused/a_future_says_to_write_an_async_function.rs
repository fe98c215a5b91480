use std::{future::Future, pin::Pin};

use memolith::{memo, resource};

#[memo]
fn load(url: String) -> impl Future<Output = String> {
    async { url }
}

#[memo]
fn boxed<'a>(url: &'a str) -> Pin<Box<dyn Future<Output = String> + Send + 'a>> {
    Box::pin(async { url.to_owned() })
}

#[resource]
fn connection(host: String) -> Pin<Box<dyn Future<Output = String> + Send>> {
    Box::pin(async { host })
}

fn main() {}
