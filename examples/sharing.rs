//! One object for everybody, or a copy for each: a pool and a memo side by side.
//!
//! ```text
//! cargo run --release --example sharing
//! ```

use std::{
    error::Error,
    sync::{Arc, Mutex},
};

use memolith::{Memo, ResourcePool, Store};

const CALLERS: [&str; 3] = ["Ada", "Grace", "Barbara"];

fn guests() -> Vec<String> {
    vec!["Alan".to_owned()]
}

/// Everybody gets the same list, and what one of them writes all of them see.
fn by_pool(pool: &ResourcePool, caller: &str) -> Arc<Mutex<Vec<String>>> {
    let list = pool.get_or_insert_with("guests", || Mutex::new(guests()));
    list.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(caller.to_owned());
    list
}

/// Each gets a list of their own, and what they write nobody else sees.
fn by_memo(memo: &Memo<str, Vec<String>>, caller: &str) -> Vec<String> {
    let mut list = memo.get_or_insert_with("guests", guests);
    list.push(caller.to_owned());
    list
}

fn main() -> Result<(), Box<dyn Error>> {
    let pool = ResourcePool::new();
    println!("a pool shares one list:");
    let lists = CALLERS.map(|caller| by_pool(&pool, caller));
    for (caller, list) in CALLERS.iter().zip(&lists) {
        println!("  {caller} holds {:?}", list.lock().map_err(|_| "a caller panicked")?);
    }
    assert!(lists.iter().all(|list| Arc::ptr_eq(list, &lists[0])));

    let store = Store::temporary()?;
    let memo = Memo::builder("guests").open(&store)?;
    println!("a memo gives each of them a copy:");
    for caller in CALLERS {
        println!("  {caller} holds {:?}", by_memo(&memo, caller));
    }
    Ok(())
}
