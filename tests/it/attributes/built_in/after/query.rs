#[memolith::memo(store = super::super::store())]
pub(super) fn query(table: &str) -> String {
    include_str!("query.sql").replace("table", table)
}

#[memolith::code]
pub(super) fn helper() -> usize {
    [1, 2].iter().map(|_| format!("{:?}", include_bytes!("query.sql")).len()).sum()
}

pub(super) fn codes() -> [memolith::internal::Code; 2] {
    [memolith_code_of_query(), memolith_code_of_helper()]
}
