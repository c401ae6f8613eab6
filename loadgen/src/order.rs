//! Orders as JSON, as a shop would write them, with fields of persons who do not exist.

use crate::random::Random;

/// The fields of an order need no more than this.
pub(crate) const ORDER_BYTES: usize = 640;

const FIRST_NAMES: [&str; 16] = [
    "Ada", "Aino", "Ben", "Carlos", "Chloe", "Divya", "Elif", "Grace", "Hiro", "Ines", "Jonas",
    "Kofi", "Lena", "Mateo", "Noor", "Olga",
];
const LAST_NAMES: [&str; 16] = [
    "Almeida", "Berg", "Chen", "Dubois", "Eriksen", "Fischer", "Garcia", "Hopper", "Ivanova",
    "Jansen", "Kumar", "Larsen", "Mensah", "Novak", "Okafor", "Virtanen",
];
const COUNTRIES: [&str; 8] = ["BR", "DE", "ES", "FI", "FR", "GB", "IN", "NL"];
const CURRENCIES: [&str; 4] = ["EUR", "GBP", "INR", "USD"];
const STATUSES: [&str; 4] = ["paid", "packed", "shipped", "returned"];
const CHANNELS: [&str; 3] = ["web", "app", "store"];

/// An order up to the text of its last field: 20 scalar fields with it, names, an e-mail address, a card number and a
/// social security number among them. The number makes its id.
pub(crate) fn order(number: u64, random: &mut Random) -> String {
    let (first, last) = (random.of(&FIRST_NAMES), random.of(&LAST_NAMES));
    let (recipient_first, recipient_last) = (random.of(&FIRST_NAMES), random.of(&LAST_NAMES));
    let (amount, cents) = (10 + random.below(990), random.below(100));
    let email = format!("{first}.{last}{}@example.com", random.below(10_000)).to_lowercase();
    format!(
        "{{\"id\":\"order-{number}\",\"placed_at\":\"2024-{month:02}-{day:02}T{hour:02}:15:30Z\",\"status\":\"{status}\",\
         \"channel\":\"{channel}\",\"amount\":{amount}.{cents:02},\"currency\":\"{currency}\",\
         \"customer\":{{\"id\":{customer},\"name\":\"{first} {last}\",\"email\":\"{email}\",\"country\":\"{country}\",\
         \"returning\":{returning}}},\
         \"payment\":{{\"method\":\"card\",\"card_number\":\"{card}\",\"expires\":\"20{year}-{month:02}\"}},\
         \"items\":[{{\"sku\":\"a-{sku}\",\"quantity\":{quantity},\"price\":{amount}.{cents:02},\
         \"recipient\":{{\"name\":\"{recipient_first} {recipient_last}\",\"ssn\":\"{ssn}\"}}}}],\"note\":\"",
        month = 1 + random.below(12),
        day = 1 + random.below(28),
        hour = random.below(24),
        status = random.of(&STATUSES),
        channel = random.of(&CHANNELS),
        currency = random.of(&CURRENCIES),
        customer = random.below(1_000_000),
        country = random.of(&COUNTRIES),
        returning = random.below(2) == 0,
        card = card(random),
        year = 27 + random.below(5),
        sku = random.below(100_000),
        quantity = 1 + random.below(9),
        ssn = ssn(random),
    )
}

/// 16 digits, the last of which is right for the others (ISO/IEC 7812-1, Luhn). They begin with 400000, as cards for
/// tests do.
fn card(random: &mut Random) -> String {
    let payload = 400_000_000_000_000 + random.below(1_000_000_000);
    let mut sum = 0;
    let mut left = payload;
    for index in 0..15 {
        let digit = left % 10;
        left /= 10;
        sum += match index % 2 {
            0 if digit >= 5 => digit * 2 - 9,
            0 => digit * 2,
            _ => digit,
        };
    }
    format!("{payload}{}", (10 - sum % 10) % 10)
}

/// As the United States write it: no part is all zeros, and the first is neither 666 nor above 899.
fn ssn(random: &mut Random) -> String {
    let area = match 1 + random.below(898) {
        area if area >= 666 => area + 1,
        area => area,
    };
    let (group, serial) = (1 + random.below(99), 1 + random.below(9_999));
    format!("{area:03}-{group:02}-{serial:04}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scalars(value: &serde_json::Value) -> usize {
        match value {
            serde_json::Value::Object(fields) => fields.values().map(scalars).sum(),
            serde_json::Value::Array(items) => items.iter().map(scalars).sum(),
            _ => 1,
        }
    }

    fn orders(seed: u64) -> Vec<serde_json::Value> {
        let mut random = Random::new(seed);
        let texts = (0..1_000).map(|number| format!("{}\"}}", order(number, &mut random)));
        texts
            .map(|text| serde_json::from_str(&text).unwrap())
            .collect()
    }

    /// The other way round than the generator: all digits with the check digit sum up to a multiple of ten.
    fn passes_luhn(card: &str) -> bool {
        let digits = card.bytes().rev().map(|digit| u64::from(digit - b'0'));
        let sum: u64 = digits
            .enumerate()
            .map(|(index, digit)| match index % 2 {
                1 => (digit * 2) / 10 + (digit * 2) % 10,
                _ => digit,
            })
            .sum();
        sum.is_multiple_of(10)
    }

    #[test]
    fn personal_fields_are_valid_in_form_and_differ_from_order_to_order() {
        let orders = orders(1);
        let mut seen: [std::collections::BTreeSet<String>; 4] = Default::default();
        for order in &orders {
            assert_eq!(scalars(order), 20, "{order}");
            assert!(order.to_string().len() + 100 < ORDER_BYTES, "{order}");
            let card = order["payment"]["card_number"].as_str().unwrap();
            assert!(card.len() == 16 && passes_luhn(card), "{card}");
            let ssn = order["items"][0]["recipient"]["ssn"].as_str().unwrap();
            let parts: Vec<u64> = ssn.split('-').map(|part| part.parse().unwrap()).collect();
            let [area, group, serial] = parts[..] else {
                panic!("{ssn}")
            };
            assert!(ssn.len() == 11 && area < 900 && area != 666, "{ssn}");
            assert!(area > 0 && group > 0 && serial > 0, "{ssn}");
            let email = order["customer"]["email"].as_str().unwrap();
            let (local, domain) = email.split_once('@').unwrap();
            assert!(!local.is_empty() && domain == "example.com" && email.is_ascii());
            let name = order["customer"]["name"].as_str().unwrap();
            for (seen, field) in seen.iter_mut().zip([card, ssn, email, name]) {
                seen.insert(field.to_owned());
            }
        }
        let [cards, ssns, emails, names] = seen.map(|seen| seen.len());
        assert!(
            cards > 990 && ssns > 990 && emails > 990,
            "{cards} {ssns} {emails}"
        );
        assert!(names > 200, "{names}");
    }

    #[test]
    fn the_seed_decides() {
        assert_eq!(orders(7), orders(7));
        assert_ne!(orders(7), orders(8));
    }

    #[test]
    fn luhn_is_known() {
        assert!(passes_luhn("4111111111111111") && !passes_luhn("4111111111111112"));
    }
}
