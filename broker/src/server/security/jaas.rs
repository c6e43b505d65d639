//! JAAS: the form in which Kafka is given the users of a listener, in one property.
//!
//! ```text
//! org.apache.kafka.common.security.plain.PlainLoginModule required user_alice="open sesame" user_bob="…";
//! ```

use super::Problem;
use super::sasl::Mechanism;

/// What a user's entry begins with.
const USER: &str = "user_";
/// What JAAS knows behind the name of a module; they mean something only where there are several.
const FLAGS: [&str; 4] = ["required", "requisite", "sufficient", "optional"];

/// The users and passwords in a value of `sasl.jaas.config`. Other entries are a broker's own logins at other brokers,
/// and mean nothing here.
pub(super) fn users(mechanism: Mechanism, value: &str) -> Result<Vec<(String, String)>, Problem> {
    // Messages do not repeat what may be a part of a password.
    let problem = |what: &str| Err(Problem::new(format!("{what} in a `sasl.jaas.config`")));
    let Some(value) = value.trim().strip_suffix(';') else { return problem("no `;` at the end") };
    let Some(words) = words(value) else { return problem("a quote that is not closed, or `;` within") };
    let mut words = words.into_iter();
    let module = match mechanism {
        Mechanism::Plain => "PlainLoginModule",
        Mechanism::ScramSha256 | Mechanism::ScramSha512 => "ScramLoginModule",
    };
    match words.next() {
        Some(Word { text, .. }) if text.rsplit('.').next() == Some(module) => {}
        _ => return problem(&format!("another login module than {module}")),
    }
    match words.next() {
        Some(Word { text, .. }) if FLAGS.contains(&text.to_lowercase().as_str()) => {}
        _ => return problem("no `required` behind the login module"),
    }
    let mut users = Vec::new();
    for Word { text, equals } in words {
        let Some(at) = equals else { return problem("an entry without `=`") };
        let (name, value) = (&text[..at], &text[at..]);
        if let Some(user) = name.strip_prefix(USER) {
            users.push((user.to_owned(), value.to_owned()));
        }
    }
    Ok(users)
}

/// A word, without its quotes.
struct Word {
    text: String,
    /// Where its value begins: the place of an equals sign that stood outside of quotes, which is left out.
    equals: Option<usize>,
}

/// Splits at white space outside of quotes. `None` where a quote is not closed, or a second module begins.
fn words(value: &str) -> Option<Vec<Word>> {
    let mut words = Vec::new();
    let mut word: Option<Word> = None;
    let mut quote = None;
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        if quote.is_none() && c.is_whitespace() {
            words.extend(word.take());
            continue;
        }
        let word = word.get_or_insert(Word { text: String::new(), equals: None });
        match c {
            '\\' if quote.is_some() => word.text.push(chars.next()?),
            c if quote == Some(c) => quote = None,
            '"' | '\'' if quote.is_none() => quote = Some(c),
            ';' if quote.is_none() => return None,
            '=' if quote.is_none() && word.equals.is_none() => word.equals = Some(word.text.len()),
            c => word.text.push(c),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

#[cfg(test)]
mod tests {
    use super::users;
    use crate::server::security::Mechanism;

    const MODULE: &str = "org.apache.kafka.common.security.plain.PlainLoginModule";

    #[test]
    fn users_as_kafka_reads_them() {
        let check = |rest: &str, expected: &[(&str, &str)]| {
            let found = users(Mechanism::Plain, &format!("{MODULE} {rest}")).unwrap();
            let found: Vec<_> = found.iter().map(|(user, word)| (user.as_str(), word.as_str())).collect();
            assert_eq!(found, expected, "{rest}");
        };
        check("required;", &[]);
        check("required user_alice=\"secret\";", &[("alice", "secret")]);
        check(
            "REQUIRED username=\"admin\" password='x'\n user_a=\"open; =sesame\" user_b='say \\'hi\\'' ;",
            &[("a", "open; =sesame"), ("b", "say 'hi'")],
        );
        check("optional user_a=bare user_b=\"\\\"q\\\\\";", &[("a", "bare"), ("b", "\"q\\")]);
        check("required user_\"a=b\"=\"c\";", &[("a=b", "c")]);
    }

    #[test]
    fn what_is_no_jaas_is_refused_and_not_repeated() {
        let check = |value: &str, expected: &str| {
            let problem = users(Mechanism::Plain, value).unwrap_err().to_string();
            assert_eq!(problem, format!("{expected} in a `sasl.jaas.config`"), "{value}");
        };
        let module = "another login module than PlainLoginModule";
        check("", "no `;` at the end");
        check(";", module);
        check("ScramLoginModule required user_a=\"secret\";", module);
        check(&format!("{MODULE};"), "no `required` behind the login module");
        check(&format!("{MODULE} user_a=\"secret\";"), "no `required` behind the login module");
        check(&format!("{MODULE} required user_a \"secret\";"), "an entry without `=`");
        let open = "a quote that is not closed, or `;` within";
        check(&format!("{MODULE} required user_a=\"secret;"), open);
        check(&format!("{MODULE} required; {MODULE} required;"), open);
        let scram = users(Mechanism::ScramSha512, &format!("{MODULE} required;")).unwrap_err();
        assert!(scram.to_string().starts_with("another login module than ScramLoginModule"));
    }
}
