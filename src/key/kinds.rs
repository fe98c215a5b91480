//! Recognizes paths and hashed sets by their type. Serde's `Serialize` of a path fails if the path is not UTF-8, and that of a
//! hashed set does not tell that its order is irrelevant.
//!
//! Serde passes each value with its type. `typeid` compares types that have lifetimes.

use std::{any::type_name, borrow::Cow, path::Path, path::PathBuf, ptr, rc::Rc, sync::Arc};

/// The message of serde's `Serialize` of a path.
pub(super) const NOT_TEXT: &str = "path contains invalid UTF-8 characters";

/// The path that a value is, or refers to.
#[inline]
pub(super) fn path<T: ?Sized>(value: &T) -> Option<&Path> {
    if !has_name_of_path(type_name::<T>()) {
        return None;
    }
    macro_rules! first_of {
        ($($path:ty),* $(,)?) => {$(
            if typeid::of::<T>() == typeid::of::<$path>() {
                // SAFETY: `T` is that type except for lifetimes, and its referents live at least as long as the value.
                #[expect(unsafe_code, reason = "a cast that the compiler cannot see")]
                let path: &$path = unsafe { &*ptr::from_ref(value).cast::<$path>() };
                return Some(path.as_ref());
            }
        )*};
    }
    if typeid::of::<T>() == typeid::of::<Path>() {
        // SAFETY: `T` is `Path`, so the two references are of one type.
        #[expect(unsafe_code, reason = "a cast that the compiler cannot see")]
        return Some(unsafe { std::mem::transmute_copy::<&T, &Path>(&value) });
    }
    first_of!(
        PathBuf,
        &Path,
        &PathBuf,
        &&Path,
        &&PathBuf,
        &&&Path,
        &&&PathBuf,
        Box<Path>,
        Arc<Path>,
        Rc<Path>,
        Cow<'_, Path>
    );
    first_of!(&Box<Path>, &Arc<Path>, &Rc<Path>, &Cow<'_, Path>);
    None
}

/// Whether the name of a type ends as the names of paths, and of pointers to them, do.
///
/// An optimized build knows the answer of each type. A build without optimization would compare sixteen types at each element of a
/// list, which took a third of the time of its calls.
#[inline]
fn has_name_of_path(name: &str) -> bool {
    matches!(
        name.as_bytes(),
        [.., b'P', b'a', b't', b'h']
            | [.., b'P', b'a', b't', b'h', b'>']
            | [.., b'P', b'a', b't', b'h', b'B', b'u', b'f']
    )
}

/// Prefixes of the names of types whose elements have no order.
const SETS: [&str; 6] = [
    "std::collections::hash::set::HashSet<",
    "hashbrown::set::HashSet<",
    "ahash::hash_set::AHashSet<",
    "dashmap::set::DashSet<",
    "im::hash::set::HashSet<",
    "imbl::hash::set::HashSet<",
];

/// Pointers that serde passes through: the `Serialize` of the set writes a set behind these.
const POINTERS: [&str; 8] = [
    "&",
    "mut ",
    "'_ ",
    "'_, ",
    "alloc::boxed::Box<",
    "alloc::sync::Arc<",
    "alloc::rc::Rc<",
    "alloc::borrow::Cow<",
];

/// Whether a type is a hashed set, or a pointer to one.
///
/// It goes by the name, because each type of elements makes another type of set. The standard library does not promise its
/// names. Under another name a set would count as an ordered list, and equal sets could be different keys; a unit test
/// would fail.
#[inline]
pub(super) fn is_set<T: ?Sized>() -> bool {
    let name = type_name::<T>();
    // Known at compile time, so for most types the call is removed.
    name.len() > "dashmap::set::DashSet<>".len() && has_name_of_set(name)
}

fn has_name_of_set(mut name: &str) -> bool {
    while let Some(target) = POINTERS.iter().find_map(|pointer| name.strip_prefix(pointer)) {
        name = target;
    }
    SETS.iter().any(|set| name.starts_with(set))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashMap, HashSet};

    use super::*;

    #[test]
    fn every_form_of_a_path_is_seen_and_nothing_else() {
        let owned = PathBuf::from("a/b");
        let borrowed: &Path = &owned;
        let boxed: Box<Path> = borrowed.into();
        let (shared, counted): (Arc<Path>, Rc<Path>) = (borrowed.into(), borrowed.into());
        let cow: Cow<'_, Path> = borrowed.into();
        macro_rules! seen {
            ($($value:expr),*) => {$( assert_eq!(path($value), Some(borrowed), stringify!($value)); )*};
        }
        seen!(borrowed, &owned, &borrowed, &&owned, &&borrowed, &&&owned);
        seen!(&boxed, &shared, &counted, &cow, &&boxed, &&shared, &&counted, &&cow);
        assert_eq!((path("a/b"), path(&String::from("a/b")), path(owned.as_os_str())), (None, None, None));
    }

    #[test]
    fn hashed_sets_are_told_from_ordered_lists() {
        assert!(
            is_set::<HashSet<u8>>() && is_set::<&HashSet<String, std::hash::BuildHasherDefault<NoHash>>>()
        );
        assert!(
            is_set::<Arc<HashSet<u8>>>() && is_set::<&&Box<HashSet<u8>>>() && is_set::<Rc<HashSet<u8>>>()
        );
        assert!(is_set::<Cow<'static, HashSet<u8>>>());
        assert!(
            !is_set::<BTreeSet<u8>>() && !is_set::<Vec<HashSet<u8>>>() && !is_set::<Option<HashSet<u8>>>()
        );
        assert!(!is_set::<HashMap<u8, HashSet<u8>>>() && !is_set::<str>() && !is_set::<HashSetOfMine<u8>>());
    }

    #[derive(Default)]
    struct NoHash;

    struct HashSetOfMine<T>(T);

    #[cfg(unix)]
    #[test]
    fn the_words_of_serde_about_a_path_are_known() {
        use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};
        let error = serde_json::to_string(Path::new(OsStr::from_bytes(b"\xff"))).unwrap_err();
        assert_eq!(error.to_string(), NOT_TEXT);
    }
}
