//! Numbers of things in messages.

use std::fmt::Display;

/// Formats `count` with `noun`, whose plural ends with `s`.
pub fn counted<N: Display + PartialEq + From<u8>>(count: N, noun: &str) -> String {
    let is_one = count == N::from(1);
    format!("{count} {noun}{}", if is_one { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_is_singular() {
        let of = |count: usize| counted(count, "delayed book");
        assert_eq!([0, 1, 2, 11].map(of), ["0 delayed books", "1 delayed book", "2 delayed books", "11 delayed books"]);
    }
}
