//! Moments: times and durations as Kafka's tools take them, in ISO 8601, as milliseconds.

const MS_OF_DAY: i64 = 86_400_000;
const MS_OF_HOUR: i64 = 3_600_000;
const MS_OF_MINUTE: i64 = 60_000;

/// `2026-01-31T12:00:00.000`, in UTC unless a zone follows, as milliseconds since 1970.
pub(crate) fn parse_time(text: &str) -> Result<i64, String> {
    time(text).ok_or_else(|| "not a time, as 2026-01-31T12:00:00.000".to_owned())
}

/// `P7D` or `PT1H30M` as milliseconds.
pub(crate) fn parse_duration(text: &str) -> Result<i64, String> {
    duration(text).ok_or_else(|| "not a duration, as P7D or PT1H30M".to_owned())
}

fn time(text: &str) -> Option<i64> {
    let (date, rest) = text.split_once('T')?;
    let (clock, ahead_ms) = match rest.find(['Z', '+', '-']) {
        Some(at) => (&rest[..at], zone(&rest[at..])?),
        None => (rest, 0),
    };
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let [hour, minute, second] = numbers(clock, ':', [2, 2, 2])?;
    let fits = hour < 24 && minute < 60 && second < 60 && (1..=12).contains(&month);
    if !fits || day < 1 || day > days_of(year, month) {
        return None;
    }
    let of_day = hour * MS_OF_HOUR + minute * MS_OF_MINUTE + second * 1_000 + thousandths(fraction)?;
    Some(days_since_1970(year, month, day) * MS_OF_DAY + of_day - ahead_ms)
}

/// How far ahead of UTC the clocks of a zone are: `Z`, `+01:00`, `-0530`, `+01`.
fn zone(text: &str) -> Option<i64> {
    if text == "Z" {
        return Some(0);
    }
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let digits = text[1..].replacen(':', "", 1);
    let (hours, minutes) = match digits.len() {
        2 => (digits.as_str(), "0"),
        4 => digits.split_at(2),
        _ => return None,
    };
    Some(sign * (number(hours)? * MS_OF_HOUR + number(minutes)? * MS_OF_MINUTE))
}

fn number(digits: &str) -> Option<i64> {
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

/// Three numbers of so many digits.
fn numbers(text: &str, between: char, digits: [usize; 3]) -> Option<[i64; 3]> {
    let parts: Vec<_> = text.split(between).collect();
    let fit = parts.len() == 3 && parts.iter().zip(digits).all(|(part, digits)| part.len() == digits);
    let [first, second, third] = parts[..] else { return None };
    if fit { Some([number(first)?, number(second)?, number(third)?]) } else { None }
}

/// The digits behind a decimal point as thousandths; what is finer is cut off.
fn thousandths(digits: &str) -> Option<i64> {
    number(digits)?;
    number(&format!("{digits:0<3}")[..3])
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date of the Gregorian calendar.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let leap_days = |year: i64| year / 4 - year / 100 + year / 400;
    let of_years = (year - 1970) * 365 + leap_days(year - 1) - leap_days(1969);
    of_years + (1..month).map(|month| days_of(year, month)).sum::<i64>() + day - 1
}

fn duration(text: &str) -> Option<i64> {
    let (days, rest) = text.strip_prefix('P')?.split_once('T').unwrap_or((&text[1..], ""));
    if days.is_empty() && rest.is_empty() || text.ends_with('T') {
        return None;
    }
    let mut sum = 0_i64;
    for (mut rest, units) in [(days, &[('D', MS_OF_DAY)][..]), (rest, &CLOCK_UNITS[..])] {
        for (unit, ms) in units {
            let Some((amount, behind)) = rest.split_once(*unit) else { continue };
            let (whole, fraction) = amount.split_once('.').unwrap_or((amount, "0"));
            if fraction != "0" && *unit != 'S' {
                return None;
            }
            sum = sum.checked_add(number(whole)?.checked_mul(*ms)?)?.checked_add(thousandths(fraction)?)?;
            rest = behind;
        }
        if !rest.is_empty() {
            return None;
        }
    }
    Some(sum)
}

const CLOCK_UNITS: [(char, i64); 3] = [('H', MS_OF_HOUR), ('M', MS_OF_MINUTE), ('S', 1_000)];

#[cfg(test)]
mod tests {
    use super::{duration, time};

    /// Against `date --date=... +%s`.
    #[test]
    fn times_are_read() {
        let cases = [
            ("1970-01-01T00:00:00", Some(0)),
            ("1969-12-31T23:59:59.999", Some(-1)),
            ("2000-02-29T12:34:56.5Z", Some(951_827_696_500)),
            ("2026-01-31T12:00:00.000", Some(1_769_860_800_000)),
            ("2026-01-31T12:00:00+01:00", Some(1_769_857_200_000)),
            ("2026-01-31T12:00:00.123456-0530", Some(1_769_880_600_123)),
            ("2100-03-01T00:00:00", Some(4_107_542_400_000)),
            ("2026-02-29T00:00:00", None),
            ("2026-13-01T00:00:00", None),
            ("2026-01-31T24:00:00", None),
            ("2026-01-31", None),
            ("2026-1-31T12:00:00", None),
            ("2026-01-31T12:00:00.", None),
            ("2026-01-31T12:00:00+1", None),
            ("2026-01-31T12:00:00+é1", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(time(text), expected, "{text}");
        }
    }

    #[test]
    fn durations_are_read() {
        let cases = [
            ("P7D", Some(604_800_000)),
            ("PT1H30M", Some(5_400_000)),
            ("P1DT2H3M4.5S", Some(93_784_500)),
            ("PT0S", Some(0)),
            ("PT", None),
            ("P", None),
            ("P1DT", None),
            ("7D", None),
            ("P1M", None),
            ("PT1D", None),
            ("PT1M1H", None),
            ("PT1.5H", None),
            ("PT-1H", None),
            ("P99999999999999999D", None),
        ];
        for (text, expected) in cases {
            assert_eq!(duration(text), expected, "{text}");
        }
    }
}
