//! The place of a store, the owner of its files, and the files that it refuses to touch.

use std::{
    fs, io,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

use crate::vocabulary::*;
use memolith::{Error, Memo, Store};

/// A closed store with a small and a large entry.
fn furnish(path: &Path) {
    let store = Store::open(path).unwrap();
    plain(&store, "numbers").insert("one", &1).unwrap();
    let blobs: Memo<str, Vec<u8>> = Memo::builder("blobs").open(&store).unwrap();
    blobs.insert("a", &large(1)).unwrap();
    store.close().unwrap();
}

#[track_caller]
fn assert_furnished(store: &Store) {
    hit!(plain(store, "numbers"), "one" => 1);
    let blobs: Memo<str, Vec<u8>> = Memo::builder("blobs").open(store).unwrap();
    hit!(blobs, "a" => large(1));
    assert!(store.last_failure().is_none(), "{:?}", store.last_failure());
}

#[track_caller]
fn refused(path: &Path) -> Error {
    Store::open(path).unwrap_err()
}

/// B129
#[test]
fn a_nested_path_that_is_missing_is_made() {
    let bench = Bench::new();
    let path = bench.path().join("a/b/c d/ü");
    furnish(&path);
    assert_eq!(Store::open(&path).unwrap().path(), Some(path.canonicalize().unwrap().as_path()));
    assert_furnished(&Store::open(&path).unwrap());
}

#[test]
fn a_relative_path_and_a_detour_are_the_same_store() {
    let bench = Bench::new();
    furnish(&bench.path());
    let absolute = bench.path().canonicalize().unwrap();
    let up = std::env::current_dir().unwrap().components().skip(1).map(|_| "..").collect::<PathBuf>();
    let relative = up.join(absolute.strip_prefix("/").unwrap());
    assert!(relative.is_relative());
    let by_relative = Store::open(&relative).unwrap();
    let by_detour = Store::open(absolute.join("blobs/./..")).unwrap();
    plain(&by_relative, "numbers").insert("two", &2).unwrap();
    hit!(plain(&by_detour, "numbers"), "two" => 2);
    assert_eq!(by_relative.path(), Some(absolute.as_path()));
    assert_furnished(&by_detour);
}

#[test]
fn a_link_to_a_store_is_the_store() {
    let bench = Bench::new();
    furnish(&bench.path());
    let link = bench.directory.path().join("link");
    symlink(bench.path(), &link).unwrap();
    let (by_link, by_path) = (Store::open(&link).unwrap(), Store::open(bench.path()).unwrap());
    assert_eq!(by_link.path(), by_path.path());
    plain(&by_link, "numbers").insert("two", &2).unwrap();
    hit!(plain(&by_path, "numbers"), "two" => 2);
    drop(by_path);
    assert_furnished(&by_link);
}

/// B130
#[test]
fn a_directory_opened_twice_is_one_store_and_may_not_be_set_otherwise() {
    let bench = Bench::new();
    let options = || bench.options().memory(1 << 20).max_bytes(1 << 30);
    let store = options().open(bench.path()).unwrap();
    options().open(bench.path()).unwrap();
    Store::open(bench.path()).unwrap();
    Store::builder().lock_timeout(HOUR).open(bench.path()).unwrap();
    let others = [
        (bench.options().memory(2 << 20), "memory"),
        (bench.options().max_bytes(2 << 30), "max_bytes"),
        (bench.options().max_wait(SECOND), "max_wait"),
        (bench.options().observer(|_| {}), "observer"),
    ];
    for (options, what) in others {
        let error = options.open(bench.path()).unwrap_err();
        assert!(error.is_config() && error.to_string().contains(what), "{error}");
        assert!(error.to_string().contains("leave it out"), "{error}");
    }
    let memo = plain(&store, "numbers");
    miss!(memo, "one" => 1);
    hit!(plain(&Store::open(bench.path()).unwrap(), "numbers"), "one" => 1);
}

#[test]
fn what_it_makes_is_for_the_owner_alone_and_what_it_finds_keeps_its_mode() {
    let bench = Bench::new();
    fs::create_dir(bench.path()).unwrap();
    fs::set_permissions(bench.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let store = bench.store();
    let blobs: Memo<u8, Vec<u8>> = Memo::builder("blobs").open(&store).unwrap();
    for key in 0..20 {
        blobs.insert(&key, &large(key)).unwrap();
        plain(&store, "numbers").insert(&key.to_string(), &1).unwrap();
    }
    assert!(assert_closed_below(&bench.path()) > 20, "there are too few files");
    drop((blobs, store));
    assert!(assert_closed_below(&bench.path()) > 20, "there are too few files");
    assert_eq!(mode(&bench.path()), 0o755, "the user's own directory");
}

/// The number of files.
#[track_caller]
fn assert_closed_below(folder: &Path) -> usize {
    let mut files = 0;
    for path in fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()) {
        if path.is_dir() {
            assert_eq!(mode(&path), 0o700, "{}", path.display());
            files += assert_closed_below(&path);
        } else {
            assert_eq!(mode(&path), 0o600, "{}", path.display());
            files += 1;
        }
    }
    files
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Puts a link to something of the user in place of one of the store's own, and expects the store to leave it alone.
#[track_caller]
fn assert_link_refused(name: &str, aim: &Path, look: impl Fn() -> Vec<u8>) {
    let bench = Bench::new();
    furnish(&bench.path());
    let (ours, aside) = (bench.path().join(name), bench.directory.path().join("aside"));
    fs::rename(&ours, &aside).unwrap();
    symlink(aim, &ours).unwrap();
    let before = look();
    let error = refused(&bench.path());
    assert!(error.is_config(), "{error}");
    for word in [name, "symbolic link", "remove it"] {
        assert!(error.to_string().contains(word), "{word}: {error}");
    }
    assert!(look() == before && ours.is_symlink(), "{name} was followed or replaced");
    let temporary = Store::open_or_temporary(bench.path());
    assert!(temporary.last_failure().unwrap().error.is_config());
    fs::remove_file(&ours).unwrap();
    fs::rename(&aside, &ours).unwrap();
    assert_furnished(&Store::open(bench.path()).unwrap());
}

#[test]
fn a_link_in_place_of_its_own_files_is_refused_and_not_followed() {
    let elsewhere = tempfile::tempdir().unwrap();
    let letter = elsewhere.path().join("letter");
    fs::write(&letter, "of the user").unwrap();
    for name in ["LOCK", "MANIFEST"] {
        assert_link_refused(name, &letter, || fs::read(&letter).unwrap());
    }
}

#[test]
fn a_link_in_place_of_the_files_for_other_processes_is_refused_and_not_followed() {
    let elsewhere = tempfile::tempdir().unwrap();
    let letter = elsewhere.path().join("letter");
    fs::write(&letter, "of the user").unwrap();
    for name in ["EPOCHS", "EPOCHS.draft", "SOCKET", "SOCKET.draft"] {
        let bench = Bench::new();
        fs::create_dir(bench.path()).unwrap();
        symlink(&letter, bench.path().join(name)).unwrap();
        let error = refused(&bench.path());
        assert!(error.is_config() && error.to_string().contains(name), "{error}");
        assert_eq!(fs::read(&letter).unwrap(), b"of the user");
    }
}

#[test]
fn a_link_in_place_of_its_own_folders_is_refused_and_not_followed() {
    let elsewhere = tempfile::tempdir().unwrap();
    let letter = elsewhere.path().join("0123456789abcdef0123456789abcdef");
    fs::write(&letter, "of the user, by a name that looks like one of ours").unwrap();
    for name in ["blobs", "trash", "index-1"] {
        assert_link_refused(name, elsewhere.path(), || {
            assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 1);
            fs::read(&letter).unwrap()
        });
    }
}

#[test]
fn a_link_that_leads_nowhere_is_refused_and_nothing_is_made_at_its_end() {
    let nowhere = tempfile::tempdir().unwrap().path().join("nowhere");
    for name in ["LOCK", "MANIFEST", "blobs", "trash", "index-1"] {
        assert_link_refused(name, &nowhere, || Vec::from([u8::from(nowhere.exists())]));
    }
}

#[test]
fn a_file_in_place_of_the_directory_is_refused_and_kept() {
    let bench = Bench::new();
    fs::write(bench.path(), "of the user").unwrap();
    let error = refused(&bench.path());
    assert!(error.is_config() && error.to_string().contains("is a file"), "{error}");
    assert!(error.to_string().contains(bench.path().to_str().unwrap()), "{error}");
    let below = refused(&bench.path().join("below"));
    assert!(below.is_io() && below.to_string().contains("below"), "{below}");
    assert_eq!(fs::read_to_string(bench.path()).unwrap(), "of the user");
}

#[test]
fn where_nothing_may_be_written_open_fails_and_open_or_temporary_works() {
    let bench = Bench::new();
    fs::create_dir(bench.path()).unwrap();
    fs::set_permissions(bench.path(), fs::Permissions::from_mode(0o555)).unwrap();
    let blocked = match fs::write(bench.path().join("probe"), "") {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => bench.path(),
        // Permissions have no effect on this user. Below a file nothing can be made.
        _ => bench.path().join("probe/store"),
    };
    let error = refused(&blocked);
    assert!(error.is_io() && error.to_string().contains(blocked.to_str().unwrap()), "{error}");
    let store = Store::open_or_temporary(&blocked);
    assert!(store.last_failure().unwrap().error.is_io());
    miss!(plain(&store, "numbers"), "one" => 1);
    hit!(plain(&store, "numbers"), "one" => 1);
}

/// B104
#[test]
fn what_is_not_its_own_is_never_touched() {
    let bench = Bench::new();
    furnish(&bench.path());
    let foreign = [
        "MANIFEST.md",
        "LOCK.bak",
        "index-old",
        "notes.txt",
        "blobs/readme",
        "trash/letter",
        "trash/draft.txt",
    ];
    for name in foreign {
        fs::write(bench.path().join(name), "of the user").unwrap();
    }
    let store = Store::open(bench.path()).unwrap();
    assert_furnished(&store);
    store.clear().unwrap();
    store.sweep().unwrap();
    store.close().unwrap();
    furnish(&bench.path());
    for name in foreign {
        let left = fs::read_to_string(bench.path().join(name));
        assert_eq!(left.ok().as_deref(), Some("of the user"), "{name}");
    }
}

/// B102
#[test]
fn folders_that_somebody_removed_come_back() {
    let bench = Bench::new();
    let store = bench.diskful();
    let blobs: Memo<str, Vec<u8>> = Memo::builder("blobs").open(&store).unwrap();
    blobs.insert("a", &large(1)).unwrap();
    fs::remove_dir_all(bench.path().join("blobs")).unwrap();
    fs::remove_dir_all(bench.path().join("trash")).unwrap();
    miss!(blobs, "a" => large(2));
    blobs.clear().unwrap();
    drop((blobs, store));
    let store = bench.diskful();
    let blobs: Memo<str, Vec<u8>> = Memo::builder("blobs").open(&store).unwrap();
    miss!(blobs, "a" => large(3));
    hit!(blobs, "a" => large(3));
}

/// B150
#[test]
fn sizes_tell_what_is_there_and_the_space_comes_back() {
    let bench = Bench::new();
    furnish(&bench.path());
    let store = bench.store();
    store.clear().unwrap();
    store.sweep().unwrap();
    let (bare, payload) = (store.size_on_disk().unwrap(), 50 * large(0).len() as u64);
    let blobs: Memo<u8, Vec<u8>> = Memo::builder("frames").open(&store).unwrap();
    (0..50).for_each(|key| blobs.insert(&key, &large(key)).unwrap());
    let (usage, full) = (store.usage().unwrap(), store.size_on_disk().unwrap());
    assert!((usage.entries, store.stats().inserts, usage.disk_bytes) == (50, 50, full), "{usage:?}");
    assert!((payload..payload + 25_000).contains(&usage.bytes), "{usage:?}");
    let files = blobs.usage().unwrap().disk_bytes;
    assert!((payload..full).contains(&files), "{files} of {full}: the index is not the memo's");
    assert!(bare > 0 && full >= bare + payload, "{bare}, {full}");
    fs::write(bench.path().join("notes.txt"), vec![0; 1 << 20]).unwrap();
    assert_eq!(store.size_on_disk().unwrap(), full, "of the user, not of the store");
    store.clear().unwrap();
    drop((blobs, store));
    let store = bench.store();
    assert_eq!((store.usage().unwrap().entries, store.usage().unwrap().bytes), (0, 0));
    let left = store.size_on_disk().unwrap();
    assert!(left < bare + payload / 4, "the space did not come back: {bare}, {full}, {left}");
}

const TAGS: [&str; 2] = ["CACHEDIR.TAG", ".gitignore"];

#[test]
fn a_directory_that_the_store_makes_is_tagged_as_a_cache_for_good() {
    let bench = Bench::new();
    let store = bench.store();
    let signature = b"Signature: 8a477f597d28d172789f06886806bc55\n";
    assert!(fs::read(bench.path().join("CACHEDIR.TAG")).unwrap().starts_with(signature));
    assert_eq!(fs::read(bench.path().join(".gitignore")).unwrap(), b"*\n");
    store.clear().unwrap();
    store.sweep().unwrap();
    drop(store);
    assert!(TAGS.iter().all(|tag| bench.path().join(tag).is_file()));
    // A user may take one away, or write one.
    fs::remove_file(bench.path().join("CACHEDIR.TAG")).unwrap();
    fs::write(bench.path().join(".gitignore"), "blobs\n").unwrap();
    drop(bench.store());
    assert!(!bench.path().join("CACHEDIR.TAG").exists());
    assert_eq!(fs::read(bench.path().join(".gitignore")).unwrap(), b"blobs\n");
}

#[test]
fn a_directory_of_the_user_gets_no_tag() {
    let bench = Bench::new();
    fs::create_dir(bench.path()).unwrap();
    drop(bench.store());
    assert!(TAGS.iter().all(|tag| !bench.path().join(tag).exists()));
}
