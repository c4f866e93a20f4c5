//! Character sets, by the names that mail gives them.
//!
//! Sources: the WHATWG's Encoding Standard, whose decoders browsers and mail programs use (`encoding_rs`); RFC 1468, 1554
//! and 2237 for ISO-2022-JP; Microsoft's code pages 50220 to 50222 for its variants. What the standard does not have,
//! UTF-7 and the code pages of DOS, comes from `mail-parser`.

use std::borrow::Cow;

use encoding_rs::{
    BIG5, EUC_JP, EUC_KR, Encoding, GB18030, GBK, ISO_2022_JP, REPLACEMENT, SHIFT_JIS, UTF_8, WINDOWS_874,
    WINDOWS_1252,
};
use mail_parser::decoders::charsets::{DecoderFnc, map::charset_decoder};

/// The longest name that is looked up. The longest in IANA's registry has 45 characters.
const MAX_NAME_BYTES: usize = 64;

/// The decoder of a character set.
enum CharsetDecoder {
    /// ISO-2022-JP and its variants. `encoding_rs` refuses empty runs between two escape sequences and does not have JIS X
    /// 0212, both of which occur in mail.
    Iso2022Jp,
    Standard(&'static Encoding),
    MailParser(DecoderFnc),
    /// A name that says nothing about bytes beyond ASCII.
    Unknown,
}

impl CharsetDecoder {
    fn for_charset(charset: &str) -> Self {
        let name = charset.trim();
        if name.len() > MAX_NAME_BYTES {
            return Self::Unknown;
        }
        let letters: String =
            name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
        let encoding = match letters.as_str() {
            "ascii" | "usascii" | "ansix341968" => return Self::Unknown,
            "utf7" | "unicode11utf7" => {
                return charset_decoder(b"utf-7").map_or(Self::Unknown, Self::MailParser);
            }
            "jis" | "jis7" | "cp50220" | "cp50221" | "cp50222" => return Self::Iso2022Jp,
            letters if letters.trim_start_matches("cs").starts_with("iso2022jp") => return Self::Iso2022Jp,
            "shiftjis2004" | "sjis2004" | "shiftjisx0213" | "cp932" | "ms932" | "cp943" | "cp943c"
            | "windows31j" | "cswindows31j" | "pck" => SHIFT_JIS,
            "eucjp"
            | "extendedunixcodepackedformatforjapanese"
            | "eucjpms"
            | "eucjpwin"
            | "cp51932"
            | "ujis" => EUC_JP,
            "gb2312" | "euccn" | "cp936" | "ms936" | "windows936" => GBK,
            "gb180302000" | "gb180302005" | "gb180302022" | "cp54936" => GB18030,
            "big5eten" | "big5et" | "big5hkscs2004" | "cp950" | "ms950" | "windows950" | "cp951" => BIG5,
            "ksc5601" | "ksc56011992" | "ksx1001" | "euckr" | "xwindows949" | "cp949" | "ms949" | "uhc"
            | "cp51949" => EUC_KR,
            "windows874" | "xwindows874" | "cp874" | "ibm874" | "ms874" | "tis620" | "tis6202533" => {
                WINDOWS_874
            }
            _ => Encoding::for_label_no_replacement(name.as_bytes()).unwrap_or(REPLACEMENT),
        };
        if encoding == ISO_2022_JP {
            return Self::Iso2022Jp;
        }
        if encoding != REPLACEMENT {
            return Self::Standard(encoding);
        }
        // REPLACEMENT stands for sets that browsers refuse; `mail-parser` has no decoders for them either.
        let refused = Encoding::for_label(name.as_bytes()).is_some();
        match charset_decoder(name.as_bytes()) {
            Some(decoder) if !refused => Self::MailParser(decoder),
            _ => Self::Unknown,
        }
    }

    fn decode(&self, bytes: &[u8]) -> String {
        match self {
            Self::Iso2022Jp => decode_iso_2022_jp(bytes),
            // Only Unicode has byte order marks: `яю` in windows-1251 has the bytes of one.
            Self::Standard(encoding) if encoding.output_encoding() == UTF_8 => {
                encoding.decode(bytes).0.into_owned()
            }
            Self::Standard(encoding) => encoding.decode_without_bom_handling(bytes).0.into_owned(),
            Self::MailParser(decode) => decode(bytes),
            Self::Unknown => decode_utf8_or_windows_1252(bytes),
        }
    }
}

/// Decodes bytes. What is no character becomes U+FFFD; a set with an unknown name is taken for [`decode_utf8_or_windows_1252`] text.
pub(super) fn decode_charset(charset: &str, bytes: &[u8]) -> String {
    CharsetDecoder::for_charset(charset).decode(bytes)
}

/// Whether two names are those of one character set.
pub(super) fn is_same(name: &str, other: &str) -> bool {
    match (CharsetDecoder::for_charset(name), CharsetDecoder::for_charset(other)) {
        _ if name.eq_ignore_ascii_case(other) => true,
        (CharsetDecoder::Iso2022Jp, CharsetDecoder::Iso2022Jp) => true,
        (CharsetDecoder::Standard(encoding), CharsetDecoder::Standard(other)) => encoding == other,
        _ => false,
    }
}

/// Decodes the bytes of adjacent encoded words as one text, since a character may be split between them.
pub(super) fn decode_words(charset: &str, encoded_words: &[Vec<u8>]) -> String {
    match CharsetDecoder::for_charset(charset) {
        CharsetDecoder::Iso2022Jp => decode_iso_2022_jp(&join_iso_2022_jp_words(encoded_words)),
        decoder => decoder.decode(&encoded_words.concat()),
    }
}

/// Decodes the bytes of a header field that may not be ASCII: UTF-8 if they are valid UTF-8 (RFC 6532), else the set that
/// the mail declares for its text, which is what senders of such mail use.
pub(super) fn decode_field<'a>(bytes: &'a [u8], declared_charset: Option<&str>) -> Cow<'a, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => decode_iso_2022_jp_escapes(text),
        Err(_) => Cow::Owned(match declared_charset.map(CharsetDecoder::for_charset) {
            // They are no UTF-8, whatever the mail declares.
            None => decode_utf8_or_windows_1252(bytes),
            Some(CharsetDecoder::Standard(encoding)) if encoding == UTF_8 => {
                decode_utf8_or_windows_1252(bytes)
            }
            Some(decoder) => decoder.decode(bytes),
        }),
    }
}

/// Decodes ISO-2022-JP that stands in a header without being encoded: it is ASCII with escape sequences, so no other text
/// is mistaken for it.
pub(super) fn decode_iso_2022_jp_escapes(text: &str) -> Cow<'_, str> {
    let is_escaped = text.match_indices('\u{1b}').any(|(at, _)| {
        let rest = text.get(at..).unwrap_or_default().as_bytes();
        matches!(parse_escape_sequence(rest), Some((set, _)) if set.is_double_byte() || set == JisSet::Katakana)
    });
    if is_escaped && text.is_ascii() {
        Cow::Owned(decode_iso_2022_jp(text.as_bytes()))
    } else {
        Cow::Borrowed(text)
    }
}

/// Text whose set nobody names: UTF-8 if it is valid, else Western European, as browsers take it. No byte is lost that way.
fn decode_utf8_or_windows_1252(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes)
        .map_or_else(|_| WINDOWS_1252.decode_without_bom_handling(bytes).0.into_owned(), str::to_owned)
}

/// A character set to which an escape sequence of ISO-2022-JP switches.
#[derive(Clone, Copy, PartialEq)]
enum JisSet {
    Ascii,
    /// JIS X 0201: ASCII with a yen sign and an overline.
    Roman,
    /// The half-width katakana of JIS X 0201.
    Katakana,
    /// JIS X 0208, with the rows that NEC and IBM added.
    Kanji,
    /// JIS X 0212.
    SupplementaryKanji,
    /// GB 2312.
    Chinese,
    /// KS X 1001.
    Korean,
}

impl JisSet {
    fn is_double_byte(self) -> bool {
        !matches!(self, Self::Ascii | Self::Roman | Self::Katakana)
    }

    /// Appends bytes that hold no escape sequence.
    fn decode_into(self, bytes: &[u8], text: &mut String) {
        let encoding = match self {
            Self::Kanji | Self::SupplementaryKanji => EUC_JP,
            Self::Chinese => GBK,
            Self::Korean => EUC_KR,
            Self::Ascii | Self::Roman | Self::Katakana => {
                text.extend(bytes.iter().map(|byte| self.decode_byte(*byte)));
                return;
            }
        };
        // EUC has the same tables, with the high bit set.
        let mut high = Vec::with_capacity(bytes.len() * 3 / 2);
        let mut rest = bytes;
        while let [first, after @ ..] = rest {
            match after {
                [second, after @ ..] if is_graphic(*first) && is_graphic(*second) => {
                    if self == Self::SupplementaryKanji {
                        high.push(0x8f);
                    }
                    high.extend([first | 0x80, second | 0x80]);
                    rest = after;
                }
                // Half a character, or a space or a control character between two.
                _ => {
                    high.push(if is_graphic(*first) { 0xff } else { *first });
                    rest = after;
                }
            }
        }
        text.push_str(&encoding.decode_without_bom_handling(&high).0);
    }

    fn decode_byte(self, byte: u8) -> char {
        let katakana = |offset: u8| char::from_u32(0xff61 + u32::from(offset)).unwrap_or('\u{fffd}');
        match (self, byte) {
            (Self::Katakana, 0x21..=0x5f) => katakana(byte - 0x21),
            // Eight-bit katakana, which Microsoft's decoders take too.
            (_, 0xa1..=0xdf) => katakana(byte - 0xa1),
            (Self::Roman, b'\\') => '¥',
            (Self::Roman, b'~') => '‾',
            (_, 0..=0x7f) => char::from(byte),
            _ => '\u{fffd}',
        }
    }
}

fn is_graphic(byte: u8) -> bool {
    (0x21..=0x7e).contains(&byte)
}

/// The set to which the escape sequence at the start of `bytes` switches, and the bytes after it.
fn parse_escape_sequence(bytes: &[u8]) -> Option<(JisSet, &[u8])> {
    // `ESC & @` announces the edition of 1990, whose table this is.
    let bytes = bytes.strip_prefix(b"\x1b&@").unwrap_or(bytes);
    let (set, rest) = match bytes.strip_prefix(b"\x1b")? {
        [b'(', b'B', rest @ ..] => (JisSet::Ascii, rest),
        [b'(', b'J' | b'H', rest @ ..] => (JisSet::Roman, rest),
        [b'(', b'I', rest @ ..] => (JisSet::Katakana, rest),
        // The first plane of JIS X 0213 (`O` and `Q`) is JIS X 0208 with additions.
        [b'$', b'@' | b'B', rest @ ..] | [b'$', b'(', b'@' | b'B' | b'O' | b'Q', rest @ ..] => {
            (JisSet::Kanji, rest)
        }
        [b'$', b'A', rest @ ..] | [b'$', b'(', b'A', rest @ ..] => (JisSet::Chinese, rest),
        [b'$', b'(', b'D', rest @ ..] => (JisSet::SupplementaryKanji, rest),
        [b'$', b'(', b'C', rest @ ..] => (JisSet::Korean, rest),
        _ => return None,
    };
    Some((set, rest))
}

const SHIFT_OUT: u8 = 0x0e;
const SHIFT_IN: u8 = 0x0f;

fn decode_iso_2022_jp(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let mut set = JisSet::Ascii;
    // Code page 50222 shifts to katakana and back without an escape sequence.
    let mut is_shifted_out = false;
    let mut rest = bytes;
    while !rest.is_empty() {
        if let [shift @ (SHIFT_OUT | SHIFT_IN), after @ ..] = rest {
            (is_shifted_out, rest) = (*shift == SHIFT_OUT, after);
            continue;
        }
        if let Some((next, after)) = parse_escape_sequence(rest) {
            (set, rest) = (next, after);
            continue;
        }
        let ends_run = |byte: &u8| matches!(*byte, 0x1b | SHIFT_OUT | SHIFT_IN);
        let end = rest.iter().skip(1).position(ends_run).map_or(rest.len(), |at| at + 1);
        let (run, after) = rest.split_at(end);
        if is_shifted_out { JisSet::Katakana } else { set }.decode_into(run, &mut text);
        rest = after;
    }
    text
}

/// Joins words of ISO-2022-JP. Each begins in ASCII (RFC 1468), unless somebody has cut one text into words: then the
/// first escape sequence to come leads back from a double-byte set, which has begun in a word before.
fn join_iso_2022_jp_words(words: &[Vec<u8>]) -> Vec<u8> {
    let mut is_continued = vec![false; words.len()];
    let mut leads_back = false;
    for (word, continued) in words.iter().zip(&mut is_continued).rev() {
        let first = word.iter().position(|byte| *byte == 0x1b);
        if let Some((set, _)) = first.and_then(|at| parse_escape_sequence(word.get(at..)?)) {
            leads_back = !set.is_double_byte() && set != JisSet::Katakana;
        }
        *continued = leads_back && first != Some(0);
    }
    let mut joined = Vec::new();
    for (word, continued) in words.iter().zip(is_continued) {
        if !continued {
            joined.extend(b"\x1b(B");
        }
        joined.extend(word);
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name, bytes as Python's codecs make them, and the text.
    type Case<'a> = (&'a str, &'a [u8], &'a str);

    const CASES: &[Case] = &[
        ("iso-2022-jp", b"\x1b$B$*8+@Q$j$N7o\x1b(B Re: 2026\x1b$BG/\x1b(B", "お見積りの件 Re: 2026年"),
        ("csISO2022JP", b"\x1b$B$*8+@Q$j$N7o\x1b(B Re: 2026\x1b$BG/\x1b(B", "お見積りの件 Re: 2026年"),
        ("iso-2022-jp-ms", b"\x1b$B3t<02q<R-j|bEg\x1b(B \x1b$B-!-\"\x1b(B", "株式会社㈱髙島 ①②"),
        ("cp50220", b"\x1b$B3t<02q<R-j|bEg\x1b(B \x1b$B-!-\"\x1b(B", "株式会社㈱髙島 ①②"),
        ("cp50221", b"\x1b$B3t<02q<R-j|bEg\x1b(B \x1b$B-!-\"\x1b(B", "株式会社㈱髙島 ①②"),
        ("iso-2022-jp-ext", b"\x1b(I123C^=\x1b(B", "ｱｲｳﾃﾞｽ"),
        ("iso-2022-jp-3", b"\x1b(I123C^=\x1b(B", "ｱｲｳﾃﾞｽ"),
        ("iso-2022-jp-1", b"\x1b$(D0!1)\x1b(B \x1b$B?9\x1b$(Dl?\x1b$B30\x1b(B", "丂侔 森鷗外"),
        ("iso-2022-jp-2", b"\x1b$BCf\x1b(B \x1b$(D0_\x1b$(ACG\x1b(B \x1b$(CGQ19\x1b(B", "中 你们 한국"),
        ("shift_jis", b"\x95\\\x8e\xa6\x82\xc6\x97\\\x96\xf1\x82\xcc\x94\\\x97\xcd", "表示と予約の能力"),
        ("x-sjis", b"\x95\\\x8e\xa6\x82\xc6\x97\\\x96\xf1\x82\xcc\x94\\\x97\xcd", "表示と予約の能力"),
        ("cp932", b"\xee\xe0\x8b\xb4\x97l \x87\x8a\x87@", "髙橋様 ㈱①"),
        ("windows-31j", b"\xee\xe0\x8b\xb4\x97l \x87\x8a\x87@", "髙橋様 ㈱①"),
        ("MS932", b"\xee\xe0\x8b\xb4\x97l \x87\x8a\x87@", "髙橋様 ㈱①"),
        ("euc-jp", b"\xce\xeb\xcc\xda \xb0\xec\xcf\xba \x8e\xc3\x8e\xbd\x8e\xc4", "鈴木 一郎 ﾃｽﾄ"),
        ("x-euc-jp", b"\xce\xeb\xcc\xda \xb0\xec\xcf\xba \x8e\xc3\x8e\xbd\x8e\xc4", "鈴木 一郎 ﾃｽﾄ"),
        ("eucjp-win", b"\xce\xeb\xcc\xda \xb0\xec\xcf\xba \x8e\xc3\x8e\xbd\x8e\xc4", "鈴木 一郎 ﾃｽﾄ"),
        ("euc-jp", b"\x8f\xb0\xa1\x8f\xb1\xa9", "丂侔"),
        ("gb2312", b"\xb6\xa9\xb5\xa5\xc8\xb7\xc8\xcf\xcd\xa8\xd6\xaa", "订单确认通知"),
        ("gb_2312-80", b"\xb6\xa9\xb5\xa5\xc8\xb7\xc8\xcf\xcd\xa8\xd6\xaa", "订单确认通知"),
        ("cp936", b"\xb6\xa9\xb5\xa5\xc8\xb7\xc8\xcf\xcd\xa8\xd6\xaa", "订单确认通知"),
        ("gbk", b"\xb6\xa9\xb5\xa5\xc8\xb7\xc8\xcf\xcd\xa8\xd6\xaa", "订单确认通知"),
        ("gbk", b"\xd3\x86\x86\xce\xb4_\xd5J \xe9F", "訂單確認 镕"),
        ("x-gbk", b"\xd3\x86\x86\xce\xb4_\xd5J \xe9F", "訂單確認 镕"),
        ("gb2312", b"\xd3\x86\x86\xce\xb4_\xd5J \xe9F", "訂單確認 镕"),
        ("gb18030", b"\xb6\xa9\xb5\xa5 \xa8\xc5 \x952\x826 \xa8\xb9", "订单 ㄅ 𠀀 ü"),
        ("big5", b"\xadq\xb3\xe6\xa5\\\xaf\xe0\xbbP\xb3\\\xa5i", "訂單功能與許可"),
        ("cn-big5", b"\xadq\xb3\xe6\xa5\\\xaf\xe0\xbbP\xb3\\\xa5i", "訂單功能與許可"),
        ("cp950", b"\xadq\xb3\xe6\xa5\\\xaf\xe0\xbbP\xb3\\\xa5i", "訂單功能與許可"),
        ("big5-hkscs", b"\xadq\xb3\xe6\xa5\\\xaf\xe0\xbbP\xb3\\\xa5i", "訂單功能與許可"),
        ("euc-kr", b"\xc1\xd6\xb9\xae \xc8\xae\xc0\xce \xbe\xc8\xb3\xbb", "주문 확인 안내"),
        ("ks_c_5601-1987", b"\xc1\xd6\xb9\xae \xc8\xae\xc0\xce \xbe\xc8\xb3\xbb", "주문 확인 안내"),
        ("ks_c_5601", b"\xc1\xd6\xb9\xae \xc8\xae\xc0\xce \xbe\xc8\xb3\xbb", "주문 확인 안내"),
        ("ksc5601", b"\xc1\xd6\xb9\xae \xc8\xae\xc0\xce \xbe\xc8\xb3\xbb", "주문 확인 안내"),
        ("korean", b"\xc1\xd6\xb9\xae \xc8\xae\xc0\xce \xbe\xc8\xb3\xbb", "주문 확인 안내"),
        (
            "ks_c_5601-1987",
            b"\x8cc\xb9\xe6\xb0\xa2\xc7\xcf \xbc\x84\xbd\xc3\xc4\xdd\xb6\xf3",
            "똠방각하 펲시콜라",
        ),
        ("cp949", b"\x8cc\xb9\xe6\xb0\xa2\xc7\xcf \xbc\x84\xbd\xc3\xc4\xdd\xb6\xf3", "똠방각하 펲시콜라"),
        ("uhc", b"\x8cc\xb9\xe6\xb0\xa2\xc7\xcf \xbc\x84\xbd\xc3\xc4\xdd\xb6\xf3", "똠방각하 펲시콜라"),
        ("euc-kr", b"\x8cc\xb9\xe6\xb0\xa2\xc7\xcf \xbc\x84\xbd\xc3\xc4\xdd\xb6\xf3", "똠방각하 펲시콜라"),
        ("windows-874", b"\xca\xc7\xd1\xca\xb4\xd5\xa4\xc3\xd1\xba", "สวัสดีครับ"),
        ("cp874", b"\xca\xc7\xd1\xca\xb4\xd5\xa4\xc3\xd1\xba", "สวัสดีครับ"),
        ("tis-620", b"\xca\xc7\xd1\xca\xb4\xd5\xa4\xc3\xd1\xba", "สวัสดีครับ"),
        ("TIS620", b"\xca\xc7\xd1\xca\xb4\xd5\xa4\xc3\xd1\xba", "สวัสดีครับ"),
        ("iso-8859-11", b"\xca\xc7\xd1\xca\xb4\xd5\xa4\xc3\xd1\xba", "สวัสดีครับ"),
        ("windows-874", b"\x93\xc3\xd2\xa4\xd2\x94 \x805", "“ราคา” €5"),
        ("utf-8", b"Gr\xc3\xbc\xc3\x9fe", "Grüße"),
        ("utf8", b"Gr\xc3\xbc\xc3\x9fe", "Grüße"),
        ("unknown-8bit", b"Gr\xc3\xbc\xc3\x9fe", "Grüße"),
        ("us-ascii", b"Gr\xc3\xbc\xc3\x9fe", "Grüße"),
        ("iso-8859-1", b"Gr\xfc\xdfe", "Grüße"),
        ("latin1", b"Gr\xfc\xdfe", "Grüße"),
        ("x-unknown", b"Gr\xfc\xdfe", "Grüße"),
        ("windows-1251", b"\xcf\xf0\xe8\xe2\xe5\xf2", "Привет"),
        ("cp1251", b"\xcf\xf0\xe8\xe2\xe5\xf2", "Привет"),
        ("windows-1251", b"\xff\xfe", "яю"),
        ("utf-8", b"\xef\xbb\xbfa", "a"),
        ("unicode-1-1-utf-7", b"+bOhlhw-", "注文"),
        ("utf-16be", b"\x6c\xe8\x65\x87", "注文"),
        ("koi8-r", b"\xf0\xd2\xc9\xd7\xc5\xd4", "Привет"),
        ("utf-7", b"+bOhlhw-", "注文"),
        ("cp850", b"Gr\x81\xe1e", "Grüße"),
        ("utf-16", b"\xff\xfe\xe8l\x87e", "注文"),
        ("iso-2022-kr", b"~x", "~x"),
    ];

    #[test]
    fn text_in_each_set_and_by_each_name() {
        for (name, bytes, text) in CASES {
            assert_eq!(decode_charset(name, bytes), *text, "{name}");
            assert_eq!(decode_charset(&name.to_uppercase(), bytes), *text, "{name}");
        }
    }
}
