//! A file of properties, in the syntax of `java.util.Properties`.
//!
//! 1. A line is `name=value`, `name:value` or `name value`; white space around the separator and before the
//!    name does not count.
//! 2. A line that begins with `#` or `!` is a comment. Blank lines do not count.
//! 3. A backslash at the end of a line joins the next one, without its leading white space. A comment cannot
//!    be continued.
//! 4. `\t`, `\n`, `\r`, `\f` and `\uXXXX` are escapes; before any other character a backslash only takes away
//!    its meaning.
//! 5. The text is UTF-8 (Java reads ISO 8859-1 or UTF-8, as it is told; both agree on ASCII).

/// One `name=value`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The line in which it begins, from 1.
    pub(super) line: usize,
    pub(super) name: String,
    pub(super) value: String,
}

/// A line that cannot be read, and why.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed {
    pub(super) line: usize,
    pub(super) why: &'static str,
}

/// What stands in a file with these `bytes`.
pub(super) fn parse(bytes: &[u8]) -> Vec<Result<Entry, Malformed>> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let good = bytes[..error.valid_up_to()].iter();
            let line = 1 + good.filter(|&&byte| byte == b'\n').count();
            return vec![Err(Malformed { line, why: "not UTF-8; write the character as \\uXXXX" })];
        }
    };
    logical_lines(text).into_iter().map(|(line, text)| entry(line, &text)).collect()
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\x0c')
}

/// Lines without comments and blanks, with their continuations, each with the number of its first line.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    // Editors may begin a file with a byte order mark.
    let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n").replace('\r', "\n");
    let mut lines = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (index, natural) in text.split('\n').enumerate() {
        let natural = natural.trim_start_matches(is_space);
        if open.is_none() && (natural.is_empty() || natural.starts_with(['#', '!'])) {
            continue;
        }
        let backslashes = natural.len() - natural.trim_end_matches('\\').len();
        let continues = backslashes % 2 == 1;
        let (_, joined) = open.get_or_insert_with(|| (index + 1, String::new()));
        joined.push_str(if continues { &natural[..natural.len() - 1] } else { natural });
        if !continues {
            lines.extend(open.take());
        }
    }
    lines.extend(open);
    lines
}

fn entry(line: usize, text: &str) -> Result<Entry, Malformed> {
    let mut escaped = false;
    let end = text.find(|c| {
        let separates = !escaped && (is_space(c) || c == '=' || c == ':');
        escaped = !escaped && c == '\\';
        separates
    });
    let (name, rest) = text.split_at(end.unwrap_or(text.len()));
    let rest = rest.trim_start_matches(is_space);
    let value = rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start_matches(is_space);
    let read = |text| unescape(text).map_err(|why| Malformed { line, why });
    let (name, value) = (read(name)?, read(value)?);
    if name.is_empty() {
        return Err(Malformed { line, why: "no name before the separator" });
    }
    Ok(Entry { line, name, value })
}

fn unescape(text: &str) -> Result<String, &'static str> {
    // In UTF-16, as in Java: a character beyond the first 65536 is written as two escapes.
    let mut units = Vec::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let plain = match c {
            '\\' => match chars.next() {
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('f') => '\x0c',
                Some('u') => {
                    let (digits, rest) = chars.as_str().split_at_checked(4).ok_or(FOUR_DIGITS)?;
                    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                        return Err(FOUR_DIGITS);
                    }
                    units.push(u16::from_str_radix(digits, 16).map_err(|_| FOUR_DIGITS)?);
                    chars = rest.chars();
                    continue;
                }
                Some(other) => other,
                None => break,
            },
            plain => plain,
        };
        units.extend_from_slice(plain.encode_utf16(&mut [0; 2]));
    }
    String::from_utf16(&units).map_err(|_| "half of a surrogate pair in \\uXXXX")
}

const FOUR_DIGITS: &str = "\\u without four hexadecimal digits";

#[cfg(test)]
mod tests {
    use super::parse;

    /// Text, and what is read from it: a line each, `number: name=value` with values as Rust writes them.
    const CASES: &[(&str, &[&str])] = &[
        ("", &[]),
        ("a=b", &["1: a=\"b\""]),
        ("# c\n! c\n  # c\n\n \t\na=b", &["6: a=\"b\""]),
        (
            "a:b\nc d\ne = f\ng\t:\th\n  i  j  ",
            &["1: a=\"b\"", "2: c=\"d\"", "3: e=\"f\"", "4: g=\"h\"", "5: i=\"j  \""],
        ),
        ("a==b\nc=:d\ne  = f=g h", &["1: a=\"=b\"", "2: c=\":d\"", "3: e=\"f=g h\""]),
        ("a\nb=", &["1: a=\"\"", "2: b=\"\""]),
        ("a=b\r\nc=d\re=f\n", &["1: a=\"b\"", "2: c=\"d\"", "3: e=\"f\""]),
        // Continuations: an even number of backslashes is none; a blank line ends one; a comment cannot have one.
        ("a=b,\\\n   c,\\\n\td\ne=f", &["1: a=\"b,c,d\"", "4: e=\"f\""]),
        ("a=b\\\\\nc=d", &["1: a=\"b\\\\\"", "2: c=\"d\""]),
        ("a=b\\\n\nc=d", &["1: a=\"b\"", "3: c=\"d\""]),
        ("# c \\\na=b", &["2: a=\"b\""]),
        ("a=b\\\n# c", &["1: a=\"b# c\""]),
        ("a=b\\", &["1: a=\"b\""]),
        ("a\\\n b=c", &["1: ab=\"c\""]),
        // Escapes.
        ("a\\=b\\:c\\ d=e", &["1: a=b:c d=\"e\""]),
        ("a=\\t\\n\\r\\f\\q\\\\x", &["1: a=\"\\t\\n\\r\\u{c}q\\\\x\""]),
        ("a=\\u0041\\u00e9\\u20AC!", &["1: a=\"Aé€!\""]),
        ("a=\\uD83D\\uDE00", &["1: a=\"😀\""]),
        ("é=ü", &["1: é=\"ü\""]),
        ("\u{feff}a=b", &["1: a=\"b\""]),
        // What cannot be read; the rest is read all the same.
        ("a=\\u12\nb=c", &["1: \\u without four hexadecimal digits", "2: b=\"c\""]),
        ("a=\\u12g4", &["1: \\u without four hexadecimal digits"]),
        ("a=\\u+123", &["1: \\u without four hexadecimal digits"]),
        ("a=\\u123é", &["1: \\u without four hexadecimal digits"]),
        ("\na=\\uD83D!", &["2: half of a surrogate pair in \\uXXXX"]),
        ("=b", &["1: no name before the separator"]),
    ];

    fn read(bytes: &[u8]) -> Vec<String> {
        let show = |read| match read {
            Ok(super::Entry { line, name, value }) => format!("{line}: {name}={value:?}"),
            Err(super::Malformed { line, why }) => format!("{line}: {why}"),
        };
        parse(bytes).into_iter().map(show).collect()
    }

    #[test]
    fn files_are_read_as_java_does() {
        for (text, expected) in CASES {
            assert_eq!(read(text.as_bytes()), *expected, "{text:?}");
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_are_told_with_their_line() {
        assert_eq!(read(b"a=b\nc=\xe9\n"), ["2: not UTF-8; write the character as \\uXXXX"]);
    }
}
