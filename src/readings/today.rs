//! The answer of an input today.

use std::{fs, path::Path, time::SystemTime};

use super::{Answer, FileState, Fingerprint, Input, files, known};
use crate::clock;

/// The answer of an input today. `None` if it has none: an error, no regular file, a value that is not provided.
///
/// `expected` was the fingerprint of a file in `state`, so that the file is not read if it is in that state. `provided` looks up
/// the values around the call.
pub(crate) fn today(
    input: &Input,
    state: Option<&FileState>,
    expected: &Fingerprint,
    provided: impl Fn(&str) -> Option<Fingerprint>,
) -> Option<Answer> {
    match input {
        Input::File(path) => {
            let known = state.map(|state| Answer { fingerprint: *expected, state: Some(*state) });
            file(Path::new(path), known, clock::system_time())
        }
        Input::Exists(path) => files::exists(Path::new(path)).1,
        Input::List(path) => files::list(Path::new(path)).1,
        Input::Env(name) => Some(files::variable(name).1),
        Input::Provided(name) => provided(name).map(Answer::new),
    }
}

fn file(path: &Path, known: Option<Answer>, now: SystemTime) -> Option<Answer> {
    let found = fs::metadata(path).ok().filter(fs::Metadata::is_file);
    let state = found.as_ref().and_then(FileState::of);
    if let Some(known) = known.filter(|known| known.state == state) {
        return Some(known);
    }
    let settled = state.filter(|state| state.is_settled(now));
    if let Some((state, fingerprint)) = settled.and_then(|state| Some((state, known::get(path, state)?))) {
        return Some(Answer { fingerprint, state: Some(state) });
    }
    let answer = files::hash(path, now)?;
    if let Some(state) = answer.state {
        known::insert(path, state, answer.fingerprint);
    }
    Some(answer)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn nothing(_: &str) -> Option<Fingerprint> {
        None
    }

    fn later() -> SystemTime {
        clock::system_time() + Duration::from_secs(10)
    }

    /// An answer that no reading gives, so that a reading shows.
    fn unread(state: FileState) -> Answer {
        Answer { fingerprint: Fingerprint::existence(true), state: Some(state) }
    }

    #[test]
    fn a_file_in_its_known_state_is_not_read() {
        let file_of = tempfile::NamedTempFile::new().unwrap();
        fs::write(file_of.path(), "hello").unwrap();
        let state = FileState::of(&fs::metadata(file_of.path()).unwrap()).unwrap();
        assert_eq!(file(file_of.path(), Some(unread(state)), later()), Some(unread(state)));
        let input = Input::file(file_of.path());
        assert_eq!(today(&input, Some(&state), &unread(state).fingerprint, nothing), Some(unread(state)));
    }

    #[test]
    fn a_file_in_another_state_is_read() {
        let file_of = tempfile::NamedTempFile::new().unwrap();
        fs::write(file_of.path(), "hello").unwrap();
        let before = FileState::of(&fs::metadata(file_of.path()).unwrap()).unwrap();
        file_of.as_file().set_modified(UNIX_EPOCH).unwrap();
        let answer = file(file_of.path(), Some(unread(before)), later()).unwrap();
        assert_eq!(answer.fingerprint, Fingerprint::contents(b"hello"));
        assert!(answer.state.is_some_and(|state| state != before), "the new state is told");
    }

    #[test]
    fn a_file_without_a_known_state_is_read_once_it_is_settled() {
        let file_of = tempfile::NamedTempFile::new().unwrap();
        fs::write(file_of.path(), "hello").unwrap();
        let written = file_of.as_file().metadata().unwrap().modified().unwrap();
        assert_eq!(file(file_of.path(), None, written).unwrap().state, None);
        let state = file(file_of.path(), None, later()).unwrap().state.unwrap();
        // The process knows it now, as another answer in its place shows.
        known::insert(file_of.path(), state, unread(state).fingerprint);
        assert_eq!(file(file_of.path(), None, later()), Some(unread(state)));
        assert_eq!(
            file(file_of.path(), None, written).unwrap().fingerprint,
            Fingerprint::contents(b"hello"),
            "a state that is not settled does not count"
        );
    }

    #[test]
    fn a_file_that_is_gone_differs_and_a_folder_in_its_place_has_no_answer() {
        let folder = tempfile::tempdir().unwrap();
        let (path, state) = (folder.path().join("config"), FileState::made_up(1));
        let gone = file(&path, Some(unread(state)), later()).unwrap();
        assert_eq!(Some(gone.fingerprint), Fingerprint::absent(std::io::ErrorKind::NotFound));
        fs::create_dir(&path).unwrap();
        assert_eq!(file(&path, Some(unread(state)), later()), None);
    }

    #[test]
    fn each_kind_of_input_has_its_answer() {
        let fingerprint = Fingerprint::provided(&[1; 32]);
        let ask =
            |input: &Input| today(input, None, &fingerprint, |name| (name == "units").then_some(fingerprint));
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(ask(&Input::existence(folder.path())), files::exists(folder.path()).1);
        assert_eq!(ask(&Input::names(folder.path())), files::list(folder.path()).1);
        assert_eq!(ask(&Input::variable("PATH")), Some(files::variable("PATH").1));
        assert_eq!(ask(&Input::provided("units")), Some(Answer::new(fingerprint)));
        assert_eq!(ask(&Input::provided("other")), None);
    }
}
