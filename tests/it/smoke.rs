use crate::vocabulary::*;
use memolith::Memo;

#[test]
fn a_value_survives_a_restart() {
    let bench = Bench::new();
    let store = bench.store();
    let memo = plain(&store, "numbers");
    miss!(memo, "one" => 1);
    hit!(memo, "one" => 1);
    hit!(memo, "one" => 1);
    println!("{}", memo.stats());
    let blobs: Memo<str, Vec<u8>> = Memo::builder("blobs").open(&store).unwrap();
    miss!(blobs, "a" => large(1));
    hit!(blobs, "a" => large(1));
    drop((memo, blobs, store));
    let store = bench.store();
    let memo = plain(&store, "numbers");
    hit!(memo, "one" => 1);
    let blobs: Memo<str, Vec<u8>> = Memo::builder("blobs").open(&store).unwrap();
    hit!(blobs, "a" => large(1));
    assert!(memo.last_failure().is_none(), "{:?}", memo.last_failure());
    assert!(blobs.remove("a").unwrap());
    miss!(blobs, "a" => large(2));
    memo.clear().unwrap();
    miss!(memo, "one" => 1);
    println!("{} {:?}", memo.stats(), store.sweep());
    println!("{}", std::fs::read_to_string(bench.path().join("MANIFEST")).unwrap());
    drop((memo, blobs, store));
    println!("{}", std::fs::read_to_string(bench.path().join("MANIFEST")).unwrap());
}
