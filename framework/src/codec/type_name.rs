//! The name of a Rust type as its author writes it: without the modules it lies in.

/// The name of `T`, such as `Vec<Order>`.
pub(super) fn short_type_name<T: ?Sized>() -> String {
    without_paths(std::any::type_name::<T>())
}

fn without_paths(full: &str) -> String {
    let mut short = String::with_capacity(full.len());
    let mut word = 0;
    for letter in full.chars() {
        if letter == ':' {
            short.truncate(word);
            continue;
        }
        short.push(letter);
        if !letter.is_alphanumeric() && letter != '_' {
            word = short.len();
        }
    }
    short
}

#[cfg(test)]
mod tests {
    use super::without_paths;

    #[test]
    fn paths_go_and_the_rest_stays() {
        let table = [
            ("i64", "i64"),
            ("shop::model::Order", "Order"),
            ("alloc::vec::Vec<shop::Order>", "Vec<Order>"),
            ("(core::option::Option<a::b_c::D>, [u8; 4])", "(Option<D>, [u8; 4])"),
        ];
        for (full, short) in table {
            assert_eq!(without_paths(full), short);
        }
    }
}
