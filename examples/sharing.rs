//! One object for all callers, or a copy for each. Shows a pool and a memo side by side, with three callers at once.
//!
//! ```text
//! cargo run -p examples --example sharing
//! ```
//!
//! Both last as long as this run, and have their hits in it: the memo is in a temporary store.

use std::{
    error::Error,
    sync::{Arc, Mutex},
    thread,
};

use memolith::{Memo, ResourcePool, Store};

const CALLERS: [&str; 3] = ["Ada", "Grace", "Barbara"];

fn guests() -> Vec<String> {
    timed::ran();
    vec!["Alan".to_owned()]
}

/// All callers get the same list, and each sees the changes of all.
fn by_pool(pool: &ResourcePool, caller: &str) -> Arc<Mutex<Vec<String>>> {
    let list = pool.get_or_insert_with("guests", || Mutex::new(guests()));
    list.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(caller.to_owned());
    list
}

/// Each caller gets a list of its own, and no other caller sees the changes to it.
fn by_memo(memo: &Memo<str, Vec<String>>, caller: &str) -> Vec<String> {
    let mut list = memo.get_or_insert_with("guests", guests);
    list.push(caller.to_owned());
    list
}

/// All of them at once.
fn each<T: Send>(call: impl Fn(&'static str) -> T + Copy + Send) -> Vec<T> {
    thread::scope(|scope| {
        let callers = CALLERS.map(|caller| scope.spawn(move || timed::resource(caller, || call(caller))));
        callers.into_iter().filter_map(|caller| caller.join().ok()).collect()
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    let pool = ResourcePool::new();
    println!("a pool shares one list:");
    let lists = each(|caller| by_pool(&pool, caller));
    for (caller, list) in CALLERS.iter().zip(&lists) {
        println!("  {caller} holds {:?}", list.lock().map_err(|_| "a caller panicked")?);
    }
    let list = lists.first().ok_or("there are callers")?;
    assert!(lists.iter().all(|same| Arc::ptr_eq(same, list)));
    assert_eq!(list.lock().map_err(|_| "a caller panicked")?.len(), 1 + CALLERS.len());

    let store = Store::temporary()?;
    let memo = Memo::builder("guests").open(&store)?;
    println!("a memo gives each of them a copy:");
    let lists = each(|caller| by_memo(&memo, caller));
    for (caller, list) in CALLERS.iter().zip(&lists) {
        println!("  {caller} holds {list:?}");
        assert_eq!(list.as_slice(), ["Alan", *caller]);
    }
    assert_eq!(memo.get("guests")?, Some(guests()));
    Ok(())
}
