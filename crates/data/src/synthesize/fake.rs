//! Made-up text: one table of what can be made, in the languages of the `fake` crate.

use fake::Fake as _;
use fake::faker::impls::address::CityNameGenFn;
use fake::faker::{
    address::raw as address, barcode::raw as barcode, company::raw as company, creditcard::raw as creditcard,
    currency::raw as currency, filesystem::raw as filesystem, finance::raw as finance, internet::raw as internet,
    job::raw as job, lorem::raw as lorem, name::raw as name, number::raw as number, phone_number::raw as phone,
};
use fake::locales::{
    AR_SA, CY_GB, DE_DE, Data, EN, FA_IR, FR_FR, IT_IT, JA_JP, NL_NL, PT_BR, PT_PT, TR_TR, ZH_CN, ZH_TW,
};
use flowrun_core::types::Type;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use schemars::JsonSchema;
use serde::Deserialize;

/// Makes one value.
#[derive(Clone, Copy)]
pub(super) enum Maker<T> {
    /// Text.
    Text(fn(T, &mut ChaCha8Rng) -> String),
    /// A number.
    Number(fn(T, &mut ChaCha8Rng) -> f64),
}

/// A maker in one language.
pub(super) enum Bound {
    /// Text.
    Text(Box<dyn Fn(&mut ChaCha8Rng) -> String + Send + Sync>),
    /// A number.
    Number(Box<dyn Fn(&mut ChaCha8Rng) -> f64 + Send + Sync>),
}

/// What the generators ask of a language.
trait Language: Data + Copy + CityNameGenFn + Send + Sync + 'static {}

impl<L: Data + Copy + CityNameGenFn + Send + Sync + 'static> Language for L {}

macro_rules! kinds {
    ($($name:literal => $maker:ident |$l:pat_param, $rng:ident| $make:expr;)*) => {
        /// The names of everything that can be made up.
        pub const KINDS: &[&str] = &[$($name),*];

        fn maker<L: Language>(kind: &str) -> Option<Maker<L>> {
            Some(match kind {
                $($name => Maker::$maker(|$l: L, $rng: &mut ChaCha8Rng| $make),)*
                _ => return None,
            })
        }
    };
}

kinds! {
    // People
    "name" => Text |l, rng| name::Name(l).fake_with_rng(rng);
    "name_with_title" => Text |l, rng| name::NameWithTitle(l).fake_with_rng(rng);
    "first_name" => Text |l, rng| name::FirstName(l).fake_with_rng(rng);
    "last_name" => Text |l, rng| name::LastName(l).fake_with_rng(rng);
    "title" => Text |l, rng| name::Title(l).fake_with_rng(rng);
    "suffix" => Text |l, rng| name::Suffix(l).fake_with_rng(rng);
    // Work
    "company" => Text |l, rng| company::CompanyName(l).fake_with_rng(rng);
    "company_suffix" => Text |l, rng| company::CompanySuffix(l).fake_with_rng(rng);
    "industry" => Text |l, rng| company::Industry(l).fake_with_rng(rng);
    "profession" => Text |l, rng| company::Profession(l).fake_with_rng(rng);
    "buzzword" => Text |l, rng| company::Buzzword(l).fake_with_rng(rng);
    "catch_phrase" => Text |l, rng| company::CatchPhrase(l).fake_with_rng(rng);
    "job_title" => Text |l, rng| job::Title(l).fake_with_rng(rng);
    "job_field" => Text |l, rng| job::Field(l).fake_with_rng(rng);
    "seniority" => Text |l, rng| job::Seniority(l).fake_with_rng(rng);
    // Reaching people
    "email" => Text |l, rng| internet::FreeEmail(l).fake_with_rng(rng);
    "safe_email" => Text |l, rng| internet::SafeEmail(l).fake_with_rng(rng);
    "username" => Text |l, rng| internet::Username(l).fake_with_rng(rng);
    "phone" => Text |l, rng| phone::PhoneNumber(l).fake_with_rng(rng);
    "cell" => Text |l, rng| phone::CellNumber(l).fake_with_rng(rng);
    // Places
    "city" => Text |l, rng| address::CityName(l).fake_with_rng(rng);
    "street" => Text |l, rng| address::StreetName(l).fake_with_rng(rng);
    "building_number" => Text |l, rng| address::BuildingNumber(l).fake_with_rng(rng);
    "secondary_address" => Text |l, rng| address::SecondaryAddress(l).fake_with_rng(rng);
    "zip" => Text |l, rng| address::ZipCode(l).fake_with_rng(rng);
    "state" => Text |l, rng| address::StateName(l).fake_with_rng(rng);
    "state_code" => Text |l, rng| address::StateAbbr(l).fake_with_rng(rng);
    "country" => Text |l, rng| address::CountryName(l).fake_with_rng(rng);
    "country_code" => Text |l, rng| address::CountryCode(l).fake_with_rng(rng);
    "time_zone" => Text |l, rng| address::TimeZone(l).fake_with_rng(rng);
    "latitude" => Number |l, rng| address::Latitude(l).fake_with_rng(rng);
    "longitude" => Number |l, rng| address::Longitude(l).fake_with_rng(rng);
    // The net
    "ipv4" => Text |l, rng| internet::IPv4(l).fake_with_rng(rng);
    "ipv6" => Text |l, rng| internet::IPv6(l).fake_with_rng(rng);
    "mac_address" => Text |l, rng| internet::MACAddress(l).fake_with_rng(rng);
    "domain_suffix" => Text |l, rng| internet::DomainSuffix(l).fake_with_rng(rng);
    "user_agent" => Text |l, rng| internet::UserAgent(l).fake_with_rng(rng);
    "password" => Text |l, rng| internet::Password(l, 8..20).fake_with_rng(rng);
    // Text
    "word" => Text |l, rng| lorem::Word(l).fake_with_rng(rng);
    "sentence" => Text |l, rng| lorem::Sentence(l, 4..12).fake_with_rng(rng);
    "paragraph" => Text |l, rng| lorem::Paragraph(l, 3..7).fake_with_rng(rng);
    // Money and numbers
    "currency_code" => Text |l, rng| currency::CurrencyCode(l).fake_with_rng(rng);
    "currency_name" => Text |l, rng| currency::CurrencyName(l).fake_with_rng(rng);
    "currency_symbol" => Text |l, rng| currency::CurrencySymbol(l).fake_with_rng(rng);
    "credit_card_number" => Text |l, rng| creditcard::CreditCardNumber(l).fake_with_rng(rng);
    "bic" => Text |l, rng| finance::Bic(l).fake_with_rng(rng);
    "isin" => Text |l, rng| finance::Isin(l).fake_with_rng(rng);
    "isbn" => Text |l, rng| barcode::Isbn13(l).fake_with_rng(rng);
    "digit" => Text |l, rng| number::Digit(l).fake_with_rng(rng);
    // Files
    "file_name" => Text |l, rng| filesystem::FileName(l).fake_with_rng(rng);
    "file_path" => Text |l, rng| filesystem::FilePath(l).fake_with_rng(rng);
    "file_extension" => Text |l, rng| filesystem::FileExtension(l).fake_with_rng(rng);
    "mime_type" => Text |l, rng| filesystem::MimeType(l).fake_with_rng(rng);
    "semver" => Text |l, rng| filesystem::Semver(l).fake_with_rng(rng);
    // Our own
    "color_hex" => Text |_, rng| format!("#{:06x}", rng.random_range(0..0x100_0000_u32));
    "date" => Text |_, rng| date(rng);
    "time" => Text |_, rng| time(rng);
    "timestamp" => Text |_, rng| format!("{}T{}Z", date(rng), time(rng));
}

/// A day from 1970-01-01 to 2029-12-31, as text: fixed bounds, so that it never depends on today.
fn date(rng: &mut ChaCha8Rng) -> String {
    const DAYS: u64 = 21_915;
    let day = chrono::NaiveDate::default() + chrono::Days::new(rng.random_range(0..DAYS));
    day.to_string()
}

/// A time of the day, as text.
fn time(rng: &mut ChaCha8Rng) -> String {
    let second = rng.random_range(0..86_400_u32);
    format!("{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)
}

macro_rules! locales {
    ($($(#[$doc:meta])* $variant:ident => $language:ident),* $(,)?) => {
        /// A language and country that text is made up in.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum Locale {
            $($(#[$doc])* $variant,)*
        }

        /// The generator of a kind in a language, where the kind exists.
        pub(super) fn bind(kind: &str, locale: Locale) -> Option<Bound> {
            match locale {
                $(Locale::$variant => bind_in($language, kind),)*
            }
        }
    };
}

locales! {
    /// English.
    #[default]
    En => EN,
    /// Arabic, Saudi Arabia.
    ArSa => AR_SA,
    /// Welsh, United Kingdom.
    CyGb => CY_GB,
    /// German, Germany.
    DeDe => DE_DE,
    /// Persian, Iran.
    FaIr => FA_IR,
    /// French, France.
    FrFr => FR_FR,
    /// Italian, Italy.
    ItIt => IT_IT,
    /// Japanese, Japan.
    JaJp => JA_JP,
    /// Dutch, Netherlands.
    NlNl => NL_NL,
    /// Portuguese, Brazil.
    PtBr => PT_BR,
    /// Portuguese, Portugal.
    PtPt => PT_PT,
    /// Turkish, Turkey.
    TrTr => TR_TR,
    /// Chinese, simplified.
    ZhCn => ZH_CN,
    /// Chinese, traditional.
    ZhTw => ZH_TW,
}

fn bind_in<L: Language>(language: L, kind: &str) -> Option<Bound> {
    Some(match maker::<L>(kind)? {
        Maker::Text(make) => Bound::Text(Box::new(move |rng| make(language, rng))),
        Maker::Number(make) => Bound::Number(Box::new(move |rng| make(language, rng))),
    })
}

/// The type of a kind's column.
pub(super) fn type_of_kind(kind: &str) -> Type {
    match maker::<EN>(kind) {
        Some(Maker::Number(_)) => Type::number(),
        _ => Type::string(),
    }
}

#[cfg(test)]
mod tests {
    use flowrun_core::seed::Key;

    use super::*;

    #[test]
    fn every_kind_is_made_in_every_language_and_is_fixed_by_its_key() {
        let locales = schemars::schema_for!(Locale);
        let names: Vec<String> = locales.as_value()["oneOf"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["const"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(names.len(), 14);
        for name in names {
            let locale: Locale = serde_json::from_value(name.into()).unwrap();
            for kind in KINDS {
                let draw = |row| match bind(kind, locale).unwrap() {
                    Bound::Text(make) => make(&mut Key::new(1, "a", kind).stream(row)),
                    Bound::Number(make) => make(&mut Key::new(1, "a", kind).stream(row)).to_string(),
                };
                assert_eq!(draw(3), draw(3), "{kind} {locale:?}");
            }
        }
        assert!(bind("nmae", Locale::En).is_none());
    }
}
