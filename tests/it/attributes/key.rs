use std::{fs, io, path::Path};

use memolith::{FileStamp, memo};
use serde::Serialize;

use super::{Runs, store};

/// Can be serialized, and neither copied nor cloned.
#[derive(Serialize)]
struct Uncopied(String);

#[memo(store = store(), skip(verbose))]
fn joined(left: &str, right: &str, _runs: &Runs, verbose: bool) -> String {
    _runs.count();
    let _ = verbose;
    format!("{left}{right}")
}

#[test]
fn the_key_is_every_parameter_but_those_left_out() {
    let (runs, others) = (Runs::default(), Runs::default());
    assert_eq!(joined("a", "bc", &runs, false), "abc");
    assert_eq!(joined("a", "bc", &others, true), "abc");
    assert_eq!((runs.take(), others.take()), (1, 0), "neither `_runs` nor `verbose` is in the key");
    joined("a", "b", &runs, false);
    joined("ab", "c", &runs, false);
    assert_eq!(runs.take(), 2, "each of the other parameters is in the key");
}

#[memo(store = store())]
fn weighed(text: &Uncopied, parts: &[f64], owned: Uncopied, mut count: u32, _runs: &Runs) -> f64 {
    _runs.count();
    count += 1;
    let Uncopied(moved) = owned;
    f64::from(count)
        + parts.iter().sum::<f64>()
        + f64::from(u8::try_from(text.0.len() + moved.len()).unwrap())
}

#[test]
fn references_and_slices_and_what_the_body_consumes_need_no_copy() {
    let runs = Runs::default();
    let text = Uncopied("four".into());
    for _ in 0..2 {
        assert!((weighed(&text, &[1.0, 2.0], Uncopied("xy".into()), 1, &runs) - 11.0).abs() < 1e-9);
    }
    assert_eq!(runs.take(), 1);
    let found = weighed_memo().get(&(&text, &[1.0, 2.0], Uncopied("xy".into()), 1)).unwrap();
    assert!(found.is_some(), "the handle takes the types of the parameters");
}

#[memo(store = store())]
fn constant(_runs: &Runs) -> u8 {
    _runs.count();
    7
}

#[test]
fn a_function_without_a_key_is_computed_once() {
    let runs = Runs::default();
    assert_eq!((constant(&runs), constant(&runs), runs.take()), (7, 7, 1));
    assert_eq!(constant_memo().get(&()).unwrap(), Some(7));
}

#[memo(store = store(), key = text.len())]
fn by_length(text: &str, _runs: &Runs) -> String {
    _runs.count();
    text.to_owned()
}

#[memo(store = store(), key: String = text.to_lowercase())]
fn by_lowercase(text: &str, _runs: &Runs) -> usize {
    _runs.count();
    text.len()
}

#[test]
fn a_key_expression_takes_the_place_of_the_parameters() {
    let runs = Runs::default();
    assert_eq!((by_length("abc", &runs).as_str(), by_length("xyz", &runs).as_str()), ("abc", "abc"));
    assert_eq!(runs.take(), 1);
    by_length_memo().clear().unwrap();
    assert_eq!(by_length("xyz", &runs), "xyz");
}

#[test]
fn a_key_expression_with_a_type_is_what_the_handle_is_asked_by() {
    let runs = Runs::default();
    assert_eq!((by_lowercase("ABC", &runs), by_lowercase("abc", &runs), runs.take()), (3, 3, 1));
    assert!(by_lowercase_memo().remove(&"abc".to_owned()).unwrap());
    by_lowercase("Abc", &runs);
    assert_eq!(runs.take(), 1);
}

#[memo(store = store(), files(path))]
fn lines(path: &Path, skipped: usize, _runs: &Runs) -> io::Result<usize> {
    _runs.count();
    Ok(fs::read_to_string(path)?.lines().count() - skipped)
}

#[test]
fn an_edited_file_is_a_miss() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rides.csv");
    let runs = Runs::default();
    fs::write(&path, "a\nb\n").unwrap();
    assert_eq!((lines(&path, 0, &runs).unwrap(), lines(&path, 0, &runs).unwrap(), runs.take()), (2, 2, 1));
    assert_eq!(lines_memo().get(&(FileStamp::of(&path).unwrap(), 0)).unwrap(), Some(2));
    fs::write(&path, "a\nb\nc\n").unwrap();
    assert_eq!((lines(&path, 0, &runs).unwrap(), runs.take()), (3, 1));
}

#[memo(store = store(), files(path))]
fn size(path: String) -> io::Result<u64> {
    Ok(fs::metadata(path)?.len())
}

#[test]
fn a_missing_file_is_the_functions_own_error_and_told() {
    assert_eq!(size("no/such/file".into()).unwrap_err().kind(), io::ErrorKind::NotFound);
    let failure = size_memo().last_failure().unwrap();
    assert!(failure.to_string().contains("no/such/file"), "{failure}");
}

#[derive(Clone, Serialize)]
struct Scale {
    factor: u32,
    #[serde(skip)]
    label: &'static str,
}

impl Scale {
    #[memo(store = store())]
    fn scaled(&self, by: u32, _runs: &Runs) -> u32 {
        _runs.count();
        self.factor * by
    }

    #[memo(store = store(), skip(self))]
    fn doubled(&self, number: u32, _runs: &Runs) -> u32 {
        _runs.count();
        assert!(!self.label.is_empty());
        2 * number
    }

    #[memo(store = store())]
    fn consumed(self, _runs: &Runs) -> u32 {
        _runs.count();
        let Self { factor, .. } = self;
        factor
    }
}

#[test]
fn a_method_has_its_object_in_the_key() {
    let (three, four) = (Scale { factor: 3, label: "three" }, Scale { factor: 4, label: "four" });
    let runs = Runs::default();
    assert_eq!((three.scaled(5, &runs), four.scaled(5, &runs), three.scaled(5, &runs)), (15, 20, 15));
    assert_eq!(runs.take(), 2);
    assert!(Scale::scaled_memo().remove(&(&three, 5)).unwrap());
    assert_eq!((three.clone().consumed(&runs), three.consumed(&runs), runs.take()), (3, 3, 1));
}

#[test]
fn a_method_may_leave_its_object_out() {
    let (three, four) = (Scale { factor: 3, label: "three" }, Scale { factor: 4, label: "four" });
    let runs = Runs::default();
    assert_eq!((three.doubled(5, &runs), four.doubled(5, &runs), runs.take()), (10, 10, 1));
}
