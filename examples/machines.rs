//! Two machines that share results through a server. Here each machine is a folder. With a server on this machine, in two terminals:
//!
//! ```text
//! redis-server --port 6379                                            # or valkey-server
//! cargo run -p examples --features redis --example machines -- one
//! cargo run -p examples --features redis --example machines -- two    # hits: the other machine has computed
//! cargo run -p examples --features redis --example machines -- one --clear
//! ```
//!
//! `REDIS_URL` names another server. Without a server each machine computes for itself.

use std::{env, error::Error, path::PathBuf, thread, time::Duration};

use memolith::{memo, remote::Redis, set_default_store};

/// Slow enough that both machines ask for it while one of them computes.
#[memo(ttl = "1d")]
fn square(number: u64) -> u64 {
    thread::sleep(Duration::from_millis(250));
    number * number
}

fn main() -> Result<(), Box<dyn Error>> {
    let machine = env::args().nth(1).unwrap_or_else(|| "one".into());
    let folder = env::var_os("MEMOLITH_DIR")
        .map_or_else(|| env::temp_dir().join(format!("memolith-machine-{machine}")), PathBuf::from);
    let url = env::var("REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1:6379/0".into());
    let redis = Redis::open(&url)?.namespace("squares");
    set_default_store(memolith::Store::builder().remote(redis).open(folder)?)?;
    if env::args().any(|argument| argument == "--clear") {
        square_memo().clear()?;
    }
    for number in 1..=12 {
        timed::memo(square_memo(), format_args!("the square of {number}"), || square(number));
    }
    println!("{} values came from the server", square_memo().stats().hits.server);
    if let Some(failure) = memolith::default_store().last_failure() {
        println!("without the server: {failure}");
    }
    timed::kept();
    Ok(())
}
