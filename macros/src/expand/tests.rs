//! The text of expansions.

use syn::parse::Parser;

use super::*;

const FUNCTION: &str =
    "/// Docs.\npub fn load<T: Copy>(text: &str, _db: &Db, size: T) -> Result<T, Error> { Ok(size) }";

/// Blanks as `quote` leaves them.
#[track_caller]
fn written(
    expand: impl FnOnce(&AttributeOptions, &AnnotatedFunction) -> Result<TokenStream>,
    options: syn::Result<AttributeOptions>,
) -> String {
    expand(&options.unwrap(), &syn::parse_str(FUNCTION).unwrap()).unwrap().to_string()
}

#[test]
fn under_another_crate_name_nothing_is_called_memolith() {
    let [of_memo, of_resource, of_code] = [
        written(
            memo,
            AttributeOptions::memo.parse_str("crate = cache, ttl = \"1h\", depends(a::b), files(text)"),
        ),
        written(resource, AttributeOptions::resource.parse_str("crate = cache, ttl = \"1h\", files(text)")),
        written(code, AttributeOptions::code.parse_str("crate = cache, depends(a::b)")),
    ];
    for written in [of_memo, of_resource, of_code] {
        assert!(!written.contains("memolith ::") && written.contains("cache :: internal"), "{written}");
    }
}

#[test]
fn a_function_keeps_its_docs_visibility_generics_and_result() {
    let written = written(memo, Ok(AttributeOptions::default()));
    let head = "pub fn load < T : Copy > (text : & str , _db : & Db , size : T) -> Result < T , Error > {";
    assert!(written.starts_with("# [doc = \" Docs.\"]") && written.contains(head), "{written}");
    let handle = "pub fn load_memo < T : Copy + 'static > () -> & 'static :: memolith :: internal :: Memo < \
                  (& 'static str , T ,) , T > {";
    assert!(written.contains(handle), "{written}");
}

#[test]
fn a_resource_is_handed_out_in_an_arc() {
    let written = written(resource, Ok(AttributeOptions::default()));
    assert!(
        written.contains("-> :: core :: result :: Result < :: memolith :: internal :: Arc < T > , Error >"),
        "{written}"
    );
}

#[test]
fn the_word_auto_is_the_codec_that_chooses_and_any_other_is_an_expression() {
    let auto = written(memo, AttributeOptions::memo.parse_str("codec = auto"));
    assert!(auto.contains(". codec (:: memolith :: codec :: Auto :: new ())"), "{auto}");
    for other in ["Json", "self :: auto", "r#auto", "auto ()"] {
        let written = written(memo, AttributeOptions::memo.parse_str(&format!("codec = {other}")));
        assert!(written.contains(&format!(". codec ({other})")), "{written}");
    }
}
