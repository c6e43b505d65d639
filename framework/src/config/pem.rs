//! PEM: certificates and keys as text, between lines `-----BEGIN ...-----` and `-----END ...-----`.

use std::fmt;

/// Characters of a line, as everybody writes them.
const WIDTH: usize = 64;

/// The text with each marker and each line of base64 on a line of its own: properties files may have all in one line, as
/// Java allows. `None` where it is no PEM.
pub(super) fn with_lines(text: &str) -> Option<String> {
    let mut lines = String::with_capacity(text.len() + text.len() / WIDTH);
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("-----BEGIN ") {
        let (name, after) = after.split_once("-----")?;
        let (body, after) = after.split_once(&format!("-----END {name}-----"))?;
        lines.push_str(&format!("-----BEGIN {name}-----\n"));
        if body.trim().contains('\n') {
            // It may have headers, as an encrypted key has, so its lines are left as they are.
            body.trim().lines().for_each(|line| push_line(&mut lines, line.trim()));
        } else {
            let base64: Vec<char> = body.chars().filter(|letter| !letter.is_whitespace()).collect();
            base64.chunks(WIDTH).for_each(|line| push_line(&mut lines, &line.iter().collect::<String>()));
        }
        lines.push_str(&format!("-----END {name}-----\n"));
        rest = after;
    }
    (!lines.is_empty()).then_some(lines)
}

fn push_line(lines: &mut String, line: &str) {
    lines.push_str(line);
    lines.push('\n');
}

/// What a file of certificates or keys is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Pem,
    Pkcs12,
    Jks,
    /// Nothing that is known.
    Other,
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pem => "in PEM",
            Self::Pkcs12 => "in PKCS12",
            Self::Jks => "in JKS",
            Self::Other => "none of PEM, PKCS12 and JKS",
        })
    }
}

/// In which form these bytes are.
pub(super) fn form(bytes: &[u8]) -> Form {
    match bytes {
        // Java's own numbers for JKS and JCEKS.
        [0xfe, 0xed, 0xfe, 0xed, ..] | [0xce, 0xce, 0xce, 0xce, ..] => Form::Jks,
        // A sequence in DER, which begins with the number 3.
        [0x30, ..] if bytes.iter().take(16).collect::<Vec<_>>().windows(3).any(|run| run == [&2, &1, &3]) => {
            Form::Pkcs12
        }
        _ if holds(bytes, "-----BEGIN ") => Form::Pem,
        _ => Form::Other,
    }
}

/// Whether `word` stands somewhere in a file.
pub(super) fn holds(bytes: &[u8], word: &str) -> bool {
    bytes.windows(word.len()).any(|window| window == word.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_becomes_many() {
        let base64 = "ab".repeat(40);
        let lines = format!("{}\n{}", &base64[..64], &base64[64..]);
        let pem = |body: &str| format!("-----BEGIN X Y-----\n{body}\n-----END X Y-----\n");
        let cases = [
            (format!("-----BEGIN X Y----- {base64} -----END X Y-----"), Some(pem(&lines))),
            (format!("-----BEGIN X Y-----{base64}-----END X Y-----"), Some(pem(&lines))),
            (
                "-----BEGIN X Y----- ab cd -----END X Y----- -----BEGIN X Y----- ef -----END X Y-----"
                    .to_owned(),
                Some(pem("abcd") + &pem("ef")),
            ),
            (pem("Proc-Type: 4,ENCRYPTED\n\nab\ncd"), Some(pem("Proc-Type: 4,ENCRYPTED\n\nab\ncd"))),
            (format!("Bag Attributes\n{}", pem("a\nb")), Some(pem("a\nb"))),
            ("-----BEGIN X Y----- ab -----END Z-----".to_owned(), None),
            ("-----BEGIN X Y".to_owned(), None),
            ("/etc/ca.pem".to_owned(), None),
        ];
        for (text, expected) in cases {
            assert_eq!(with_lines(&text), expected, "{text}");
        }
    }

    #[test]
    fn files_are_known_by_how_they_begin() {
        let cases: [(&[u8], Form); 6] = [
            (b"\xfe\xed\xfe\xed\0\0\0\x02", Form::Jks),
            (b"\x30\x82\x0a\x00\x02\x01\x03\x30", Form::Pkcs12),
            (b"\x30\x82\x0a\x00\x30\x82\x01\x03", Form::Other),
            (b"Bag Attributes\n-----BEGIN CERTIFICATE-----", Form::Pem),
            (b"hello", Form::Other),
            (b"", Form::Other),
        ];
        for (bytes, expected) in cases {
            assert_eq!(form(bytes), expected, "{bytes:?}");
        }
    }
}
