use std::sync::Arc;

use memolith::resource;

fn is_alive(connection: Arc<String>) -> bool {
    !connection.is_empty()
}

#[resource(validate = is_alive)]
async fn connection(host: String) -> String {
    host
}

#[resource(validate = |connection| async { !connection.is_empty() })]
async fn other(host: String) -> String {
    host
}

fn main() {}
