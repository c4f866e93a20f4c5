//! Encoded words (RFC 2047), tolerantly: in quoted strings, glued to other text, too long, with spaces in them, with Base64
//! that is not padded, and with a character split between two of them.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::charset;

/// Base64 whose padding may be missing, and whose last character may hold bits that nobody needs.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The longest name of a character set, with a language after it (RFC 2231, 5).
const MAX_CHARSET_BYTES: usize = 80;

/// An encoded word.
#[derive(Debug, Clone, Copy)]
pub(super) struct EncodedWord<'a> {
    charset: &'a str,
    is_base64: bool,
    encoded: &'a str,
    /// The word's length in the text, in bytes.
    pub(super) len: usize,
}

impl<'a> EncodedWord<'a> {
    /// Reads the word that `text` starts with.
    pub(super) fn parse_prefix(text: &'a str) -> Option<Self> {
        let rest = text.strip_prefix("=?")?;
        let end = rest.bytes().take(MAX_CHARSET_BYTES).position(|b| b == b'?' || b.is_ascii_whitespace())?;
        let (charset, rest) = rest.split_at_checked(end)?;
        let (is_base64, rest) = match rest.as_bytes() {
            [b'?', b'B' | b'b', b'?', ..] => (true, rest.get(3..)?),
            [b'?', b'Q' | b'q', b'?', ..] => (false, rest.get(3..)?),
            _ => return None,
        };
        let (encoded, after) = rest.split_once("?=")?;
        let charset = charset.split('*').next().unwrap_or_default();
        Some(Self { charset, is_base64, encoded, len: text.len() - after.len() })
    }

    fn decode_bytes(&self) -> Vec<u8> {
        if self.is_base64 { decode_base64_leniently(self.encoded) } else { decode_q(self.encoded) }
    }
}

/// Decodes the encoded words in a text and keeps everything else as it is. White space between two words goes (RFC 2047,
/// 6.2).
pub(super) fn decode_encoded_words(text: &str) -> String {
    let mut decoded = String::with_capacity(text.len());
    let mut words: Vec<EncodedWord<'_>> = Vec::new();
    let mut plain_from = 0;
    let mut at = 0;
    // A word needs its end: after the last one there is none, so that `=?` without an end is not looked at twice.
    let last_end = text.rfind("?=").unwrap_or_default();
    while let Some(found) = text.get(at..last_end).and_then(|rest| rest.find("=?")) {
        let start = at + found;
        let Some(word) = text.get(start..).and_then(EncodedWord::parse_prefix) else {
            at = start + 2;
            continue;
        };
        let plain = text.get(plain_from..start).unwrap_or_default();
        if words.is_empty() || !plain.chars().all(char::is_whitespace) {
            append_decoded_words(&words, &mut decoded);
            decoded.push_str(plain);
            words.clear();
        }
        words.push(word);
        at = start + word.len;
        plain_from = at;
    }
    append_decoded_words(&words, &mut decoded);
    decoded.push_str(text.get(plain_from..).unwrap_or_default());
    decoded
}

/// Appends the text of adjacent words: those of one character set are decoded together.
fn append_decoded_words(words: &[EncodedWord<'_>], output: &mut String) {
    for words in words.chunk_by(|a, b| charset::is_same(a.charset, b.charset)) {
        let Some(first) = words.first() else { continue };
        let bytes: Vec<_> = words.iter().map(EncodedWord::decode_bytes).collect();
        let text = charset::decode_words(first.charset, &bytes);
        // Somebody may have encoded first and cut then, anywhere within Base64's groups of four.
        if text.contains('\u{fffd}') && words.len() > 1 && words.iter().all(|word| word.is_base64) {
            let encoded: String = words.iter().map(|word| word.encoded).collect();
            let joined = charset::decode_charset(first.charset, &decode_base64_leniently(&encoded));
            if !joined.contains('\u{fffd}') {
                output.push_str(&joined);
                continue;
            }
        }
        output.push_str(&text);
    }
}

/// Decodes Base64. What is not of its alphabet is skipped (RFC 2045, 6.8), and padding ends a group, not the text.
fn decode_base64_leniently(encoded: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(encoded.len() / 4 * 3 + 3);
    for run in encoded.split('=') {
        let mut digits: Vec<u8> =
            run.bytes().filter(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/')).collect();
        if digits.len() % 4 == 1 {
            // Six bits are no byte.
            digits.pop();
        }
        bytes.extend(BASE64.decode(digits).unwrap_or_default());
    }
    bytes
}

/// Decodes RFC 2047's `Q`.
fn decode_q(encoded: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        match (first, parse_hex_byte(after)) {
            (b'=', Some(byte)) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            (b'_', _) => bytes.push(b' '),
            _ => bytes.push(*first),
        }
    }
    bytes
}

/// The byte that two hexadecimal digits at the start of `text` stand for.
pub(super) fn parse_hex_byte(text: &[u8]) -> Option<u8> {
    let [high, low, ..] = text else { return None };
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(*high)? << 4 | digit(*low)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_and_what_is_between_them() {
        let cases = [
            ("=?utf-8?Q?caf=C3?= =?utf8?Q?=A9?=", "café"),
            ("=?ks_c_5601-1987?B?xw==?= =?euc-kr?B?0Q==?=", "한"),
            ("=?cp50222?B?DjYyNg8=?= =?iso-2022-jp-ms?B?GyRCRnxLXBsoQg==?=", "ｶｲｶ日本"),
            ("plain", "plain"),
            ("=?UTF-8?Q?Gr=C3=BC=C3=9Fe?= =?UTF-8?B?4pyT?=", "Grüße✓"),
            ("Re: =?utf-8?q?a_b?= c", "Re: a b c"),
            ("[x]=?utf-8?q?a?=:=?utf-8?q?b?=", "[x]a:b"),
            ("\"=?utf-8?Q?a?=\"", "\"a\""),
            ("=?utf-8*de?Q?a?=", "a"),
            ("=?utf-8?Q?a b?=", "a b"),
            ("=?utf-8?Q?50=_=zz?=", "50= =zz"),
            ("=?utf-8?X?a?= =?utf-8?Q?b", "=?utf-8?X?a?= =?utf-8?Q?b"),
            ("=?=?utf-8?Q?a?=", "=?a"),
            ("=??Q?a?=", "a"),
            ("=?utf-8?Q??=", ""),
            // Unpadded, padded too early, with characters that are not Base64.
            ("=?utf-8?B?R3LDvMOfZSE?=", "Grüße!"),
            ("=?utf-8?B?R3LDvMOfZQ?=", "Grüße"),
            ("=?utf-8?B?R3LDvMOfZQ=?=", "Grüße"),
            ("=?utf-8?B?Rw==csO8w59l?=", "Grüße"),
            ("=?utf-8?B?R3LD vMOf.ZQ==?=", "Grüße"),
            // A character in two words: by bytes, by encodings, and by Base64 that was cut after encoding.
            ("=?utf-8?Q?Gr=C3?=\t=?UTF-8?Q?=BC=C3=9Fe?=", "Grüße"),
            ("=?utf-8?Q?Gr=C3?= =?utf-8?B?vMOfZQ==?=", "Grüße"),
            ("=?utf-8?B?R3LDv?= =?utf-8?B?MOfZQ==?=", "Grüße"),
            ("=?utf-8?B?w7w?= =?utf-8?B?w58?=", "üß"),
            ("=?gb2312?B?tqm1pcg=?= =?GB2312?B?t8jP?=", "订单确认"),
            ("=?utf-8?Q?=C3?= x =?utf-8?Q?=BC?=", "\u{fffd} x \u{fffd}"),
            ("=?utf-8?Q?=C3?= =?latin1?Q?=BC?=", "\u{fffd}¼"),
            // Each word of ISO-2022-JP has its own shift state, unless one text was cut into words.
            ("=?ISO-2022-JP?B?GyRCRnxLXBsoQg==?=\n =?ISO-2022-JP?B?GyRCOGwbKEI=?=", "日本語"),
            ("=?ISO-2022-JP?B?GyRCRnxLXA==?= =?ISO-2022-JP?Q?Re:?=", "日本Re:"),
            ("=?ISO-2022-JP?B?GyRCRnxLXA==?= =?ISO-2022-JP?B?OGwbKEI=?=", "日本語"),
            ("=?ISO-2022-JP?B?GyRCRnxL?= =?ISO-2022-JP?B?XDhsGyhC?=", "日本語"),
        ];
        for (text, expected) in cases {
            assert_eq!(decode_encoded_words(text), expected, "{text}");
        }
    }

    /// Bytes as encoded words of a character set; each starts where a cut is.
    fn encoded(charset: &str, bytes: &[u8], cuts: &[(prop::sample::Index, bool, bool)]) -> String {
        let mut cuts: Vec<_> =
            cuts.iter().map(|(at, b, pad)| (at.index(bytes.len() + 1), *b, *pad)).collect();
        cuts.push((0, true, true));
        cuts.sort_by_key(|(at, ..)| *at);
        cuts.dedup_by_key(|(at, ..)| *at);
        let ends: Vec<_> = cuts.iter().skip(1).map(|(at, ..)| *at).chain([bytes.len()]).collect();
        let words = cuts.iter().zip(ends).map(|((start, is_base64, is_padded), end)| {
            let bytes = &bytes[*start..end];
            if *is_base64 {
                let text = BASE64.encode(bytes);
                let text = if *is_padded { text.as_str() } else { text.trim_end_matches('=') };
                return format!("=?{charset}?B?{text}?=");
            }
            let text = bytes.iter().map(|byte| format!("={byte:02X}")).collect::<Vec<_>>().concat();
            format!("=?{charset}?Q?{text}?=")
        });
        words.collect::<Vec<_>>().join("\r\n ")
    }

    proptest! {
        /// Wherever a text is cut into words, in whatever encodings, with or without padding, it is the same text.
        #[test]
        fn cuts_change_nothing(
            text in "[ -~]{0,8}[\u{c0}-\u{24f}\u{4e00}-\u{9fa5}\u{1f600}-\u{1f64f}]{0,12}[ -~]{0,8}",
            cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>(), any::<bool>()), 0..6),
        ) {
            prop_assert_eq!(decode_encoded_words(&encoded("utf-8", text.as_bytes(), &cuts)), text.clone());
            prop_assert_eq!(decode_encoded_words(&encoded("gb18030", &encoding_rs::GB18030.encode(&text).0, &cuts)), text);
        }

        /// The same for each set of East Asia, as far as it has the characters.
        #[test]
        fn cuts_change_nothing_in_any_set(
            set in prop::sample::select(vec![
                (encoding_rs::SHIFT_JIS, "[ -Z表示予約の能力ソ十アｱ]{0,12}"),
                (encoding_rs::EUC_JP, "[ -~日本語の注文アｱ]{0,12}"),
                (encoding_rs::BIG5, "[ -~訂單功能與許可蓋]{0,12}"),
                (encoding_rs::EUC_KR, "[ -~주문확인똠펲각하]{0,12}"),
                (encoding_rs::GBK, "[ -~订单确认訂單镕]{0,12}"),
                (encoding_rs::WINDOWS_874, "[ -~สวัสดีครับ€“]{0,12}"),
            ]).prop_flat_map(|(set, texts)| (Just(set), texts)),
            cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>(), any::<bool>()), 0..6),
        ) {
            let (set, text) = set;
            prop_assert_eq!(decode_encoded_words(&encoded(set.name(), &set.encode(&text).0, &cuts)), text);
        }
    }
}
