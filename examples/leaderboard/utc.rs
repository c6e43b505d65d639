//! Times in UTC as text and as milliseconds, by the proleptic Gregorian calendar.

use crate::Fallible;

const DAY_MS: i64 = 86_400_000;

/// Milliseconds of `2013-01-01T10:00:00Z`.
pub(crate) fn parse(text: &str) -> Fallible<i64> {
    let wrong = || format!("`{text}` is no time like 2013-01-01T10:00:00Z");
    let number = |from: usize, to: usize| {
        text.get(from..to).and_then(|part| part.parse::<i64>().ok()).ok_or_else(wrong)
    };
    if text.len() != 20 || !text.ends_with('Z') {
        return Err(wrong().into());
    }
    let days = days(number(0, 4)?, number(5, 7)?, number(8, 10)?);
    Ok(days * DAY_MS + number(11, 13)? * 3_600_000 + number(14, 16)? * 60_000 + number(17, 19)? * 1_000)
}

/// `2013-01-01 10:00`.
pub(crate) fn format(ms: i64) -> String {
    let (days, rest) = (ms.div_euclid(DAY_MS), ms.rem_euclid(DAY_MS));
    let (year, month, day) = date(days);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}", rest / 3_600_000, rest / 60_000 % 60)
}

/// Days since 1970-01-01. Years begin in March, so that a leap day is the last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days - era * 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_milliseconds_agree() {
        let cases = [
            ("1970-01-01T00:00:00Z", 0, "1970-01-01 00:00"),
            ("2012-02-29T23:59:00Z", 1_330_559_940_000, "2012-02-29 23:59"),
            ("2013-01-01T10:00:00Z", 1_357_034_400_000, "2013-01-01 10:00"),
        ];
        for (text, ms, shown) in cases {
            assert_eq!((parse(text).unwrap(), format(ms).as_str()), (ms, shown));
        }
        assert!(parse("2013-01-01 10:00").is_err());
    }
}
