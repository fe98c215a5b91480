//! Damage to the files of a store while it is closed.
//!
//! An old payload file that is put back is not among the kinds: when the index is lost as well, nothing tells that
//! the file was retired.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use crate::values::Rolls;

/// The kind of damage, and the damaged files, by their paths in the store.
#[derive(Debug)]
pub struct Wound {
    what: &'static str,
    pub files: Vec<PathBuf>,
}

impl fmt::Display for Wound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.what, self.files)
    }
}

impl Wound {
    /// Whether the index is unchanged, so that undamaged entries must be there.
    pub fn spares_the_index(&self) -> bool {
        let is_of_index =
            |file: &PathBuf| file.starts_with("MANIFEST") || class(file).is_some_and(|it| it < 3);
        !self.files.iter().any(is_of_index)
    }

    /// Whether MANIFEST and the snapshot that it names are unchanged.
    pub fn spares_the_snapshot(&self) -> bool {
        let names = self.files.iter().map(|file| file.to_string_lossy());
        !names.into_iter().any(|name| name == "MANIFEST" || name.starts_with("snapshot-"))
    }
}

const BLOB: usize = 4;

/// The kinds of files that are few beside the many payload files.
fn class(file: &Path) -> Option<usize> {
    let in_index = file.iter().next().is_some_and(|folder| folder.to_string_lossy().starts_with("index-"));
    let name = file.file_name()?.to_string_lossy();
    match &*name {
        "MANIFEST" => Some(3),
        _ if file.starts_with("blobs") => Some(BLOB),
        "db" if in_index => Some(0),
        "conf" if in_index => Some(1),
        _ if in_index => Some(2),
        _ => None,
    }
}

/// Damages one file of `store`. A swapped file comes from the same store or from `earlier`, the same store two runs
/// ago.
pub fn inflict(store: &Path, earlier: &Path, rolls: &mut Rolls) -> Wound {
    let mut files = files(store);
    files.retain(|file| !file.starts_with("trash"));
    // Most failures of the engine come from its log.
    let wanted = [0, 0, 0, 1, 2, 3, BLOB, 5][rolls.below(8) as usize];
    let of_class: Vec<&PathBuf> = files.iter().filter(|file| class(file) == Some(wanted)).collect();
    let file = match &of_class[..] {
        [] => any(&files, rolls),
        some => some[rolls.below(some.len() as u64) as usize].clone(),
    };
    match rolls.below(10) {
        0 => swap(store, file, any(&files, rolls)),
        1 if class(&file) != Some(BLOB) => older(store, earlier, file, rolls),
        2 => {
            fs::remove_file(store.join(&file)).unwrap();
            Wound { what: "deleted", files: vec![file] }
        }
        _ => {
            let mut bytes = fs::read(store.join(&file)).unwrap();
            let what = change(&mut bytes, rolls);
            fs::write(store.join(&file), bytes).unwrap();
            Wound { what, files: vec![file] }
        }
    }
}

/// Most kinds of damage need a file with content.
fn change(bytes: &mut Vec<u8>, rolls: &mut Rolls) -> &'static str {
    let length = bytes.len() as u64;
    match rolls.below(8) {
        0 => {
            bytes.clear();
            "emptied"
        }
        1 => {
            bytes.truncate(rolls.below(length + 1) as usize);
            "cut"
        }
        2 => {
            bytes.extend((0..=rolls.below(10_000)).map(|_| rolls.next() as u8));
            "lengthened"
        }
        3 => {
            let page = rolls.below(length / 4096 + 1) as usize * 4096;
            bytes.iter_mut().skip(page).take(4096).for_each(|byte| *byte = 0);
            "zeroed a page of"
        }
        _ => {
            let at = rolls.below(length.max(1)) as usize;
            bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << rolls.below(8));
            "flipped a bit of"
        }
    }
}

fn swap(store: &Path, one: PathBuf, other: PathBuf) -> Wound {
    let aside = store.join("aside");
    fs::rename(store.join(&one), &aside).unwrap();
    if one != other {
        fs::rename(store.join(&other), store.join(&one)).unwrap();
    }
    fs::rename(&aside, store.join(&other)).unwrap();
    Wound { what: "swapped", files: vec![one, other] }
}

/// By the file of the same name, or else one of the same kind.
fn older(store: &Path, earlier: &Path, file: PathBuf, rolls: &mut Rolls) -> Wound {
    let mut files = files(earlier);
    if !files.contains(&file) {
        files.retain(|other| class(other) == class(&file));
    }
    let source = if files.contains(&file) { file.clone() } else { any(&files, rolls) };
    fs::copy(earlier.join(source), store.join(&file)).unwrap();
    Wound { what: "put an older file in place of", files: vec![file] }
}

fn any(files: &[PathBuf], rolls: &mut Rolls) -> PathBuf {
    files[rolls.below(files.len() as u64) as usize].clone()
}

/// Every file below `store`, by its path in it, in order.
fn files(store: &Path) -> Vec<PathBuf> {
    let (mut folders, mut files) = (vec![store.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path.strip_prefix(store).unwrap().to_owned());
            }
        }
    }
    files.sort();
    files
}
