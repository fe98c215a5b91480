//! The attributes of [memolith](https://docs.rs/memolith). Use them through that crate, which re-exports them: what they
//! write into a program speaks to `memolith::internal` of the same version.

mod duration;
mod expand;
mod function;
mod key;
mod lifetimes;
mod options;
mod tokens;

use proc_macro::TokenStream;
use syn::{
    Result,
    parse::{ParseStream, Parser},
    parse_macro_input,
};

use crate::{function::Function, options::Options};

/// Remembers the results of a function on disk: the next call with the same arguments, after a restart too, is a read.
///
/// ```
/// use memolith::memo;
/// # memolith::set_default_store(memolith::Store::temporary()?)?;
/// # struct Connection;
///
/// #[memo(ttl = "1h", max_entries = 1000)]
/// fn load_data(url: &str, _db: &Connection) -> Vec<u8> {
///     url.as_bytes().to_vec() // something slow
/// }
///
/// assert_eq!(load_data("memo", &Connection), b"memo");
/// assert_eq!(load_data("memo", &Connection), b"memo"); // a read
///
/// let memo = load_data_memo(); // the companion: what the function remembers
/// assert_eq!(memo.stats().inserts, 1);
/// assert!(memo.remove("memo")?);
/// # Ok::<(), memolith::Error>(())
/// ```
///
/// The function keeps its name, docs, visibility and generics. What holds for [`Memo`](../memolith/struct.Memo.html) holds for it: a
/// call fails only as its body fails, callers of one key at the same time compute once, a panic unwinds to its own caller.
///
/// # The key
///
/// All parameters, but those whose name begins with `_` and those in `skip(..)`. They are read by reference, so nothing is
/// copied for the key. A parameter of the key is `Serialize`; `&mut` cannot be one, as a hit would not change it. A method
/// has `self` in its key, or `skip(self)`.
///
/// # The result
///
/// What the function returns is stored: it is `Serialize + DeserializeOwned + Clone + Send + Sync`. Of a `Result` the `Ok` is stored, and
/// the `Err`, of any type, passed on. What counts is that the type is called `Result`, as an alias may be; a `Result` under another name
/// is refused by the compiler, so that no error is ever remembered. For a large value return an `Arc`: hits share it.
///
/// ```compile_fail,E0277
/// type Answer = Result<u32, String>;
///
/// #[memolith::memo]
/// fn parse(text: &str) -> Answer {
///     text.parse().map_err(|_| text.to_owned())
/// }
/// ```
///
/// # Which function it is
///
/// Its full path, with its generics, as the compiler names it: two functions of one name in two modules, types or functions never
/// share, and no more do two instances of a generic function. `name` takes the place of the path. What the compiler names alike is told
/// apart within one run, where the second to be called computes at each call and
/// [`last_failure`](../memolith/struct.Store.html#method.last_failure) says so, and not from run to run: two functions of one name and one
/// text in two *blocks* of one function, or for two types that differ in their blocks or crate versions alone. Give these a `name`. All
/// closures of a function have one name, so an instance that is generic over a closure computes at each call, and says so: take
/// `&dyn Fn(..)` in its place.
///
/// The version is a hash of the function's tokens, signature and body. So a changed function computes anew, and a comment, docs
/// or another layout change nothing, nor do the options, but for those that choose the key. What it does not see is the code of *other* functions, macros, constants and types:
/// name helpers in [`depends`](#depends), or bump `version` by hand. A changed type of the value is noticed by its
/// [`Shape`](../memolith/codec/struct.Shape.html), but for the bodies of its own serde code: a function under `#[serde(with = "..")]`, a
/// `From`, a `Deserialize` by hand. Another
/// layout is what rustfmt makes of the same tokens: braces that it adds or takes away are another body.
///
/// # Options
///
/// | option | what it says |
/// |---|---|
/// | `ttl = "1d2h34m"` | how long an entry lives: a text of `w`, `d`, `h`, `m`, `s`, `ms`, or an expression of type `Duration` |
/// | `max_entries = 1000` | how many entries there are at most; the oldest insertion leaves first |
/// | `max_bytes = 1 << 30` | how much they weigh at most |
/// | `memory = 0` | the part of the memory tier, in bytes of encoded values |
/// | `codec = Json` | how values become bytes |
/// | `cache_if = \|value\| ..` | which values are stored |
/// | `observer = \|event\| ..` | what is told of each [`Event`](../memolith/observe/enum.Event.html) of this memo |
/// | `spinner = "Fetching..."` | a line on the terminal while a slow computation runs; with the feature `spinner` of memolith |
/// | `store = expr` | a `Store`, or a reference to one, in place of [`default_store()`](../memolith/fn.default_store.html) |
/// | `version = 2` | in place of the hash of the tokens |
/// | `name = "rides"` | in place of the path |
/// | `depends(parse, a::clean)` | helpers under [`#[code]`](macro@code) or `#[memo]`, whose tokens count too |
/// | `skip(verbose, self)` | parameters that are not in the key |
/// | `key = expr`, `key: Type = expr` | the key, in place of all parameters; with a type the handle can be asked by it |
/// | `files(path)` | of this path the [`FileStamp`](../memolith/struct.FileStamp.html) is in the key: an edited file is a miss |
/// | `handle = ident`, `handle = none` | another name for the companion; none, as in an `impl` of a trait |
/// | `crate = path` | where memolith is found, when not at `::memolith` |
///
/// The expressions are evaluated when the memo is opened, at the first call of the function and again at that of its handle, and cannot
/// see the parameters; that of `key` is evaluated at each call, and can.
///
/// ```compile_fail
/// #[memolith::memo(max_entries = number)]
/// fn double(number: u64) -> u64 {
///     2 * number
/// }
/// # double(1);
/// ```
///
/// ## `ttl`, `max_entries`, `max_bytes`, `memory`
///
/// ```
/// use std::time::Duration;
/// use memolith::memo;
/// # memolith::set_default_store(memolith::Store::temporary()?)?;
///
/// const SHORT: Duration = Duration::from_secs(60);
///
/// #[memo(ttl = SHORT / 2, max_entries = 10, max_bytes = 1 << 20, memory = 64 << 10)]
/// fn price(of: &str) -> f64 {
///     of.len() as f64
/// }
///
/// #[memo(ttl = "1d2h34m")]
/// fn weather(city: &str) -> String {
///     format!("sun in {city}")
/// }
/// # assert_eq!((price("tea"), weather("Oslo").as_str()), (3.0, "sun in Oslo"));
/// # Ok::<(), memolith::Error>(())
/// ```
///
/// ## `cache_if`
///
/// ```
/// use memolith::memo;
/// # memolith::set_default_store(memolith::Store::temporary()?)?;
///
/// #[memo(cache_if = |rows| !rows.is_empty())]
/// fn query(table: &str) -> Vec<String> {
///     Vec::new()
/// }
///
/// query("rides");
/// assert!(query_memo().is_empty()); // asked again next time
/// # Ok::<(), memolith::Error>(())
/// ```
///
/// ## `observer` and `spinner`
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
/// use memolith::{memo, observe::Event};
/// # memolith::set_default_store(memolith::Store::temporary()?)?;
///
/// static COMPUTED: AtomicU64 = AtomicU64::new(0);
///
/// #[memo(observer = |event| if let Event::ComputingEnded { .. } = event { COMPUTED.fetch_add(1, Relaxed); })]
/// fn total(day: u32) -> u32 {
///     day * 24
/// }
///
/// assert_eq!((total(3), total(3), COMPUTED.load(Relaxed)), (72, 72, 1));
/// # Ok::<(), memolith::Error>(())
/// ```
///
/// ```ignore
/// #[memo(spinner = "Fetching data...")] // the text is an expression of type `&str`
/// fn fetch(url: &str) -> Vec<u8> {
///     download(url)
/// }
/// ```
///
/// The line is that of [`Spinner`](../memolith/observe/enum.Spinner.html), on stderr if that is a terminal, once a computation has
/// lasted 200 ms; a hit shows nothing. Without the feature the option is a compile error that says so.
///
/// ## `store` and `codec`
///
/// ```
/// use std::sync::LazyLock;
/// use memolith::{Store, memo};
/// # mod own {
/// #     use memolith::{Error, Result, codec::{Codec, Payload, Shape}};
/// #     pub struct Text;
/// #     impl Codec<String> for Text {
/// #         fn id(&self) -> &str { "text/1" }
/// #         fn shape(&self) -> Result<Shape> { Ok(Shape::named("text")) }
/// #         fn encode(&self, value: &String, out: &mut dyn std::io::Write) -> Result<()> { Ok(out.write_all(value.as_bytes())?) }
/// #         fn decode(&self, payload: &Payload) -> Result<String> { String::from_utf8(payload.to_vec()).map_err(Error::other) }
/// #     }
/// # }
/// # use own::Text;
///
/// static SCRATCH: LazyLock<Store> = LazyLock::new(|| Store::temporary().unwrap());
///
/// #[memo(store = &*SCRATCH, codec = Text)]
/// fn page(url: &str) -> String {
///     format!("<p>{url}</p>")
/// }
///
/// page("a");
/// assert_eq!(page("a"), "<p>a</p>");
/// assert_eq!(SCRATCH.memos().len(), 1);
/// ```
///
/// ## `name` and `version`
///
/// ```
/// use memolith::memo;
/// # memolith::set_default_store(memolith::Store::temporary()?)?;
///
/// #[memo(name = "ride count", version = 2)] // may be moved, renamed and reworded
/// fn count(day: u32) -> u32 {
///     day * 2
/// }
///
/// count(1);
/// assert_eq!(count_memo().name(), "ride count");
/// # Ok::<(), memolith::Error>(())
/// ```
///
/// ## `depends`
///
/// ```
/// use memolith::{code, memo};
/// # memolith::set_default_store(memolith::Store::temporary()?)?;
///
/// #[code]
/// fn parse(text: &str) -> u32 {
///     text.len() as u32
/// }
///
/// #[memo(depends(parse))] // another body of `parse` is another version of `load`
/// fn load(text: &str) -> u32 {
///     parse(text)
/// }
/// # assert_eq!(load("abc"), 3);
/// # Ok::<(), memolith::Error>(())
/// ```
///
/// Write the path in full, `depends(parsing::parse, Table::clean)`: what is asked is `memolith_code_of_parse`, which stands beside the
/// function, but not with `handle = none`.
///
/// ## `skip` and `key`
///
/// ```
/// use memolith::memo;
/// # memolith::set_default_store(memolith::Store::temporary()?)?;
///
/// #[memo(skip(verbose))]
/// fn length(text: &str, verbose: bool) -> usize {
///     if verbose { println!("counting") }
///     text.len()
/// }
///
/// #[memo(key: String = word.to_lowercase())]
/// fn known(word: &str) -> bool {
///     word.len() > 3
/// }
///
/// assert_eq!((length("abc", true), length("abc", false)), (3, 3));
/// assert_eq!((known("Word"), known("WORD")), (true, true));
/// assert!(known_memo().contains_key(&"word".to_owned())?);
/// # Ok::<(), memolith::Error>(())
/// ```
///
/// ## `files`
///
/// ```
/// use std::{fs, io, path::Path};
/// use memolith::memo;
/// # memolith::set_default_store(memolith::Store::temporary()?)?;
/// # let folder = std::env::temp_dir().join(format!("memolith-files-{}", std::process::id()));
/// # fs::create_dir_all(&folder).unwrap();
/// # let rides = folder.join("rides.csv");
///
/// #[memo(files(path))]
/// fn lines(path: &Path) -> io::Result<usize> {
///     Ok(fs::read_to_string(path)?.lines().count())
/// }
///
/// # fs::write(&rides, "a\nb\n").unwrap();
/// assert_eq!(lines(&rides).unwrap(), 2);
/// fs::write(&rides, "a\nb\nc\n").unwrap();
/// assert_eq!(lines(&rides).unwrap(), 3);
/// # fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), memolith::Error>(())
/// ```
///
/// ## `handle`
///
/// ```
/// use memolith::memo;
/// # memolith::set_default_store(memolith::Store::temporary()?)?;
/// # trait Load { fn load(&self, number: u32) -> u32; }
/// # #[derive(serde::Serialize)] struct Rides;
///
/// #[memo(handle = squares)]
/// fn square(number: u32) -> u32 {
///     number * number
/// }
///
/// impl Load for Rides {
///     #[memo(handle = none)] // an `impl` of a trait holds nothing but the trait's own
///     fn load(&self, number: u32) -> u32 {
///         number + 1
///     }
/// }
///
/// assert_eq!((square(3), squares().len(), Rides.load(1)), (9, 1, 2));
/// # Ok::<(), memolith::Error>(())
/// ```
///
/// The companion of a generic function is generic in its types, `load_memo::<f64>()`, and these are `'static` there. It has one key
/// parameter as its key, or a tuple of several; for a reference what it refers to, or in a tuple the reference. With `key = expr` and no
/// type it can clear and count, and cannot be asked.
///
/// ## `crate`
///
/// ```
/// use memolith as cache;
/// # memolith::set_default_store(memolith::Store::temporary()?)?;
///
/// #[cache::memo(crate = cache)]
/// fn square(number: u32) -> u32 {
///     number * number
/// }
/// # assert_eq!(square(3), 9);
/// # Ok::<(), memolith::Error>(())
/// ```
///
/// # What it cannot do
///
/// `async` and `const` functions, arguments and results of type `impl Trait`, results that borrow, parameters that are patterns or under
/// `#[cfg]`, more than 16 parts of a key: each is an error at its place, which says what to do instead.
///
/// The companion writes the types of the key with `'static`, which a few signatures do not stand: a lifetime that is left out of a path
/// (write `Cow<'_, str>`), an `impl<'a>` or an `impl<T>` without `T: 'static`. There, `handle = none`.
#[proc_macro_attribute]
pub fn memo(options: TokenStream, item: TokenStream) -> TokenStream {
    expand(options, item, Options::memo, expand::memo)
}

/// Shares what a function makes: every caller with the same arguments gets the same object, in an `Arc`.
///
/// For what cannot be serialized: connections, files, threads, models. It lies in
/// [`ResourcePool::global()`](../memolith/struct.ResourcePool.html#method.global), whose docs say when it is released, and is gone with the
/// process.
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use memolith::resource;
/// # struct Connection { host: String }
/// # impl Connection { fn is_alive(connection: &Mutex<Self>) -> bool { true } }
///
/// #[resource(validate = Connection::is_alive)]
/// fn connection(host: &str) -> Mutex<Connection> {
///     Mutex::new(Connection { host: host.to_owned() })
/// }
///
/// let one: Arc<Mutex<Connection>> = connection("main");
/// assert!(Arc::ptr_eq(&one, &connection("main")));
/// assert!(!Arc::ptr_eq(&one, &connection("spare")));
/// ```
///
/// The function returns `Arc<T>` for the `T` it is written with, and `Result<Arc<T>, E>` for `Result<T, E>`: an error is passed on and
/// nothing is kept. `T` is `Send + Sync + 'static`. Two functions never share a resource, whatever their types and keys, and no more do two
/// instances of a generic one. The key is made as with [`#[memo]`](macro@memo), by the same options.
///
/// # Options
///
/// | option | what it says |
/// |---|---|
/// | `validate = expr` | a function or closure of `&T`, asked at each hit: `false` has the resource built anew, for everybody |
/// | `ttl = "10m"` | how old a resource may be |
/// | `skip(..)`, `key = expr`, `files(path)`, `crate = path` | as for [`#[memo]`](macro@memo) |
///
/// ```
/// use std::{fs::File, io, sync::Arc};
/// use memolith::resource;
///
/// #[resource(ttl = "10m", skip(hint))]
/// fn input(path: &str, hint: &str) -> io::Result<File> {
///     File::open(path)
/// }
///
/// assert!(input("no such file", "").is_err()); // tried again by the next call
///
/// struct Server { port: u16 }
///
/// impl Server {
///     #[resource(key = self.port)]
///     fn name(&self) -> String {
///         format!("server at {}", self.port)
///     }
/// }
///
/// assert_eq!(*Server { port: 80 }.name(), "server at 80");
/// ```
#[proc_macro_attribute]
pub fn resource(options: TokenStream, item: TokenStream) -> TokenStream {
    expand(options, item, Options::resource, expand::resource)
}

/// Marks a helper function whose code matters to memoized ones: they name it in [`depends`](macro@memo#depends), and when its tokens
/// change, they compute anew.
///
/// The function stays as it is. Beside it stands `memolith_code_of_<name>()`, a hidden `const fn` that is the hash. `#[code(depends(..))]` passes
/// on what the helper depends on itself; a circle is a compile error.
///
/// ```
/// use memolith::{code, memo};
/// # memolith::set_default_store(memolith::Store::temporary()?)?;
///
/// #[code]
/// fn clean(text: &str) -> &str {
///     text.trim()
/// }
///
/// #[code(depends(clean))]
/// fn parse(text: &str) -> Option<u32> {
///     clean(text).parse().ok()
/// }
///
/// #[memo(depends(parse))]
/// fn total(text: &str) -> u32 {
///     text.lines().filter_map(parse).sum()
/// }
///
/// assert_eq!(total("1\n 2\n"), 3);
/// # Ok::<(), memolith::Error>(())
/// ```
#[proc_macro_attribute]
pub fn code(options: TokenStream, item: TokenStream) -> TokenStream {
    expand(options, item, Options::code, |options, function| Ok(expand::code(options, function)))
}

/// An error leaves the function as it was, so that it is the only one.
fn expand(
    options: TokenStream,
    item: TokenStream,
    read: impl FnOnce(ParseStream<'_>) -> Result<Options>,
    write: impl FnOnce(&Options, &Function) -> Result<proc_macro2::TokenStream>,
) -> TokenStream {
    let plain = item.clone();
    let function = parse_macro_input!(item as Function);
    let written = read.parse(options).and_then(|options| write(&options, &function));
    written.map_or_else(
        |error| {
            let mut told = TokenStream::from(error.into_compile_error());
            told.extend(plain);
            told
        },
        TokenStream::from,
    )
}
