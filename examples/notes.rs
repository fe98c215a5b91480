//! A builder of notes: pages that include each other, and an index of their folder. Shows `memolith::inputs` with calls within
//! calls: the files that a page was made of are found while it is made, and an edit computes what depends on it.
//!
//! ```text
//! cargo run -p examples --example notes
//! ```

use std::{
    cell::RefCell,
    error::Error,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use memolith::{Memo, Store, inputs};

const NOTES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/notes");

/// Nothing here says what a page depends on.
struct Builder<'a> {
    notes: &'a Path,
    pages: Memo<str, String>,
    /// The pages that were computed, for the table.
    computed: RefCell<Vec<String>>,
}

impl Builder<'_> {
    /// A page as HTML: a memoized function of its name.
    fn page(&self, name: &str) -> io::Result<String> {
        self.pages.get_or_try_insert_with(name, || {
            self.computed.borrow_mut().push(name.to_owned());
            let text = inputs::read_to_string(self.notes.join(name))?;
            text.lines().filter(|line| !line.is_empty()).map(|line| self.line(line)).collect()
        })
    }

    fn line(&self, line: &str) -> io::Result<String> {
        Ok(match line.split_once(' ') {
            Some(("include", other)) => format!("<section>\n{}</section>\n", self.page(other)?),
            Some(("#", title)) => format!("<h1>{}</h1>\n", inline(title)),
            Some(("-", item)) => format!("<li>{}</li>\n", inline(item)),
            None if line == "list" => {
                let names = names(self.notes)?;
                let links = names.iter().map(|name| format!("<a href=\"{name}.html\">{name}</a>"));
                links.collect::<Vec<_>>().join("\n") + "\n"
            }
            _ => format!("<p>{}</p>\n", inline(line)),
        })
    }
}

/// The names of the notes. Within a page they are an input of it: the index depends on the names, not on the contents.
fn names(notes: &Path) -> io::Result<Vec<String>> {
    let paths = inputs::list(notes)?;
    Ok(paths.iter().filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect())
}

/// Escapes the text, and sets words between asterisks apart.
fn inline(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    let parts = text.split('*').enumerate();
    parts.map(|(at, part)| if at % 2 == 1 { format!("<em>{part}</em>") } else { part.to_owned() }).collect()
}

/// The folders of one run.
struct Place {
    root: tempfile::TempDir,
}

impl Place {
    fn notes(&self) -> PathBuf {
        self.root.path().join("notes")
    }

    /// Opens the store, builds all pages into `site`, and closes the store, as a program does that runs at each change. The pages
    /// that were computed must be these.
    fn build(&self, step: &str, expected: &[&str]) -> Result<(), Box<dyn Error>> {
        let (store, notes) = (Store::open(self.root.path().join("store"))?, self.notes());
        let pages = Memo::builder("pages").open(&store)?;
        let builder = Builder { notes: &notes, pages, computed: RefCell::default() };
        let names = names(&notes)?;
        for name in &names {
            let page = builder.page(name)?;
            fs::write(self.root.path().join("site").join(name).with_extension("txt.html"), page)?;
        }
        let mut computed = builder.computed.into_inner();
        computed.sort();
        assert_eq!(computed, expected, "{step}");
        let shown = if computed == names { "all".into() } else { computed.join(", ") };
        println!("{step:<34}{:>6}{:>10}   {shown}", names.len(), computed.len());
        drop(builder.pages);
        Ok(store.close()?)
    }

    fn edit(&self, name: &str, from: &str, to: &str) -> io::Result<()> {
        let path = self.notes().join(name);
        let text = fs::read_to_string(&path)?;
        assert!(text.contains(from), "{name} has other words");
        fs::write(path, text.replace(from, to))
    }

    fn shows(&self, page: &str, words: &str) -> io::Result<bool> {
        Ok(fs::read_to_string(self.root.path().join("site").join(page))?.contains(words))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let place = Place { root: tempfile::tempdir()? };
    fs::create_dir(place.root.path().join("site"))?;
    fs::create_dir(place.notes())?;
    for note in fs::read_dir(NOTES)? {
        let note = note?;
        fs::copy(note.path(), place.notes().join(note.file_name()))?;
    }
    println!("{:<34}{:>6}{:>10}", "", "pages", "computed");
    let all = ["dough.txt", "flour.txt", "footer.txt", "index.txt", "oven.txt", "starter.txt", "weekend.txt"];
    place.build("the first build", &all)?;
    place.build("again, in a store opened anew", &[])?;

    place.edit("starter.txt", "50 g of water", "60 g of water")?;
    place.build("starter.txt is edited", &["dough.txt", "starter.txt", "weekend.txt"])?;
    assert!(
        place.shows("weekend.txt.html", "60 g of water")?,
        "it includes the dough, which includes the starter"
    );

    fs::write(place.notes().join("salt.txt"), "# Salt\n\n2 % of the flour, in *every* dough.\n")?;
    place.build("salt.txt is new", &["index.txt", "salt.txt"])?;
    assert!(place.shows("index.txt.html", "salt.txt")?);

    File::options().write(true).open(place.notes().join("oven.txt"))?.set_modified(SystemTime::now())?;
    place.build("oven.txt is touched", &[])?;

    place.edit("starter.txt", "60 g of water", "50 g of water")?;
    place.build("the edit is taken back", &[])?;
    assert!(place.shows("weekend.txt.html", "50 g of water")?);
    Ok(())
}
