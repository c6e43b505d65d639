//! JAAS: the line by which Java clients say who logs in, `module flag name=value ...;`.
//!
//! 1. It is read as `sasl.jaas.config` is read by Java: words, or texts between quotes with Java's escapes; comments.
//! 2. Two modules say something here, those for a user's name and password. What others say cannot be done.
//! 3. No message shows what may be the password, or a piece of it: only a module's name is shown, where it looks like one.

use crate::kafka::Secret;

/// What a line says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Jaas {
    /// Whether the password is shown by a challenge.
    pub(super) is_scram: bool,
    pub(super) username: String,
    pub(super) password: Secret,
}

/// Why a line is refused, and what to do.
type Refused = (String, &'static str);

const FORM: &str = "write it as `org.apache.kafka.common.security.plain.PlainLoginModule required username=\"...\" \
                    password=\"...\";`, or set `sasl.username` and `sasl.password` instead";
const INSTEAD: &str = "log in by a user's name and password: PlainLoginModule or ScramLoginModule, or `sasl.username` and \
                       `sasl.password`";

/// Reads a line.
pub(super) fn parse(line: &str) -> Result<Jaas, Refused> {
    let malformed = |why: &str| (format!("cannot be read: {why}"), FORM);
    let mut tokens = tokens(line).map_err(malformed)?.into_iter();
    let Some(Token::Text(module)) = tokens.next() else { return Err(malformed("it begins with no module")) };
    let is_scram = match module.rsplit('.').next() {
        Some("PlainLoginModule") => false,
        Some("ScramLoginModule") => true,
        Some(name) if name.ends_with("LoginModule") => {
            return Err((format!("names `{module}`, which cannot be used here"), INSTEAD));
        }
        _ => return Err(malformed("it begins with no module")),
    };
    let flag = tokens.next();
    let flags = ["required", "requisite", "sufficient", "optional"];
    if !matches!(&flag, Some(Token::Text(flag)) if flags.contains(&flag.to_ascii_lowercase().as_str())) {
        return Err(malformed("behind the module stands `required`"));
    }
    let (mut username, mut password) = (None, None);
    loop {
        let name = match tokens.next() {
            Some(Token::End) => break,
            Some(Token::Text(name)) => name,
            Some(Token::Is) => return Err(malformed("no name before a `=`")),
            None => return Err(malformed("it has to end with `;`")),
        };
        let (Some(Token::Is), Some(Token::Text(value))) = (tokens.next(), tokens.next()) else {
            return Err(malformed("an option has no value"));
        };
        match name.as_str() {
            "username" => username = Some(value),
            "password" => password = Some(Secret::new(value)),
            _ => return Err(("has other options than `username` and `password`".to_owned(), INSTEAD)),
        }
    }
    if tokens.next().is_some() {
        return Err((
            "names more than one module".to_owned(),
            "name one, of the mechanism that `sasl.mechanism` says",
        ));
    }
    match (username, password) {
        (Some(username), Some(password)) => Ok(Jaas { is_scram, username, password }),
        (None, _) => Err(malformed("`username` is missing")),
        (_, None) => Err(malformed("`password` is missing")),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Text(String),
    /// `=`
    Is,
    /// `;`
    End,
}

fn tokens(line: &str) -> Result<Vec<Token>, &'static str> {
    let mut tokens = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next() {
        let behind = &rest[first.len_utf8()..];
        rest = match first {
            '=' | ';' => {
                tokens.push(if first == '=' { Token::Is } else { Token::End });
                behind
            }
            '"' | '\'' => {
                let (text, behind) = quoted(behind, first)?;
                tokens.push(Token::Text(text));
                behind
            }
            '/' if behind.starts_with('/') => behind.split_once('\n').map_or("", |(_, behind)| behind),
            '/' if behind.starts_with('*') => behind[1..].split_once("*/").ok_or("a comment does not end")?.1,
            _ => {
                let ends = |letter: char| letter.is_whitespace() || "=;\"'".contains(letter);
                let (word, behind) = rest.split_at(rest.find(ends).unwrap_or(rest.len()));
                tokens.push(Token::Text(word.to_owned()));
                behind
            }
        };
        rest = rest.trim_start();
    }
    Ok(tokens)
}

/// The text up to the quote that ends it, and what stands behind.
fn quoted(text: &str, quote: char) -> Result<(String, &str), &'static str> {
    let mut value = String::new();
    let mut letters = text.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        match letter {
            _ if letter == quote => return Ok((value, &text[at + 1..])),
            '\n' => break,
            '\\' => match letters.next().map(|(_, escaped)| escaped) {
                Some('n') => value.push('\n'),
                Some('t') => value.push('\t'),
                Some('r') => value.push('\r'),
                Some('b') => value.push('\x08'),
                Some('f') => value.push('\x0c'),
                // Three octal digits at most, and no more than a byte.
                Some(first @ '0'..='7') => {
                    let mut number = first.to_digit(8).unwrap_or(0);
                    let longest = if first <= '3' { 2 } else { 1 };
                    for _ in 0..longest {
                        let Some(digit) = letters.peek().and_then(|(_, next)| next.to_digit(8)) else {
                            break;
                        };
                        number = number * 8 + digit;
                        letters.next();
                    }
                    value.extend(char::from_u32(number));
                }
                Some(other) => value.push(other),
                None => break,
            },
            _ => value.push(letter),
        }
    }
    Err("a quote is not closed")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "org.apache.kafka.common.security.plain.PlainLoginModule";
    const SCRAM: &str = "org.apache.kafka.common.security.scram.ScramLoginModule";

    #[test]
    fn users_and_passwords_are_read_as_java_reads_them() {
        let cases = [
            (format!(r#"{PLAIN} required username="ann" password="secret";"#), (false, "ann", "secret")),
            (
                format!("{SCRAM} required\n  username='ann'\n  password='a \"b\" c' ;"),
                (true, "ann", "a \"b\" c"),
            ),
            (format!(r#"{PLAIN} Required password="=;/*" username=ann;"#), (false, "ann", "=;/*")),
            (
                format!(r#"{PLAIN} required username="a\"b\\c" password="\t\101\0609\q";"#),
                (false, "a\"b\\c", "\tA09q"),
            ),
            (
                format!("/* who */ {PLAIN} required // to be so\n username=a-b_c.d password=p;"),
                (false, "a-b_c.d", "p"),
            ),
            ("PlainLoginModule required username=\"\" password=\"ü\";".to_owned(), (false, "", "ü")),
        ];
        for (line, (is_scram, username, password)) in cases {
            let expected = Jaas { is_scram, username: username.to_owned(), password: Secret::new(password) };
            assert_eq!(parse(&line), Ok(expected), "{line}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_refused_without_values() {
        let kerberos = "com.sun.security.auth.module.Krb5LoginModule";
        let cases = [
            (
                format!("{kerberos} required useKeyTab=true;"),
                format!("names `{kerberos}`, which cannot be used here"),
            ),
            (
                format!("{SCRAM} required tokenauth=\"true\" username=a password=sesame;"),
                "has other options than `username` and `password`".to_owned(),
            ),
            (String::new(), "cannot be read: it begins with no module".to_owned()),
            ("sesame".to_owned(), "cannot be read: it begins with no module".to_owned()),
            (
                format!(r#"{PLAIN} required username=a password="x"sesame";"#),
                "cannot be read: a quote is not closed".to_owned(),
            ),
            (
                format!("{PLAIN} username=a;"),
                "cannot be read: behind the module stands `required`".to_owned(),
            ),
            (
                format!("{PLAIN} required username=a password=sesame"),
                "cannot be read: it has to end with `;`".to_owned(),
            ),
            (
                format!("{PLAIN} required username=a password=\"sesame;"),
                "cannot be read: a quote is not closed".to_owned(),
            ),
            (format!("{PLAIN} required username=a;"), "cannot be read: `password` is missing".to_owned()),
            (
                format!("{PLAIN} required password=sesame;"),
                "cannot be read: `username` is missing".to_owned(),
            ),
            (
                format!("{PLAIN} required username= password=sesame;"),
                "cannot be read: no name before a `=`".to_owned(),
            ),
            (format!("{PLAIN} required username;"), "cannot be read: an option has no value".to_owned()),
            (
                format!("{PLAIN} required username=a password=sesame; {PLAIN} required;"),
                "names more than one module".to_owned(),
            ),
        ];
        for (line, expected) in cases {
            let (refused, hint) = parse(&line).unwrap_err();
            assert_eq!(refused, expected, "{line}");
            assert!(!refused.contains("sesame") && !hint.is_empty());
        }
    }
}
