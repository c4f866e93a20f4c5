//! SES's SMTP passwords, which are derived from an IAM user's secret access key, one for each Region.
//!
//! The user's name for SMTP is the access key's id. AWS documents the derivation: Amazon SES Developer Guide, "Obtaining
//! Amazon SES SMTP credentials by converting existing AWS credentials"; it is Signature Version 4 with a date that never
//! comes. Passwords without the version byte 4, which worked in every Region, are those from before 2019-01-10.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::region::Region;

// The constants of the derivation that AWS documents.
const VERSION: u8 = 4;
const DATE: &str = "11111111";
const SERVICE: &str = "ses";
const TERMINAL: &str = "aws4_request";
const MESSAGE: &str = "SendRawEmail";

/// How many characters an AWS secret access key has. No page of AWS's promises it; it is what awslabs/git-secrets looks
/// for.
const SECRET_ACCESS_KEY_CHARS: usize = 40;

/// An AWS secret access key, which can't be printed.
pub struct SecretAccessKey(String);

/// Why a text is not taken for a secret access key. No variant tells what the text was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretAccessKeyError {
    /// The text is empty.
    #[error("no secret access key: the input is empty")]
    Empty,
    /// The text begins as an access key's id does, and has its length.
    #[error("not a secret access key but an access key's id")]
    AccessKeyId,
    /// The text is too short or too long: cut off, or something else.
    #[error("not a secret access key: {0} characters, where AWS's have {SECRET_ACCESS_KEY_CHARS}")]
    Length(usize),
    /// The text has other characters than a key has: more than one line, or something else.
    #[error("not a secret access key: it has characters other than letters, digits, + / =")]
    Characters,
}

impl SecretAccessKey {
    /// Reads a key, which must be the whole text.
    ///
    /// A password derived from half a key looks as good as any, and SES refuses it long after: so a text that can't be
    /// a key is refused.
    ///
    /// # Errors
    ///
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, SecretAccessKeyError> {
        if text.is_empty() {
            return Err(SecretAccessKeyError::Empty);
        }
        if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte)) {
            return Err(SecretAccessKeyError::Characters);
        }
        match text.len() {
            SECRET_ACCESS_KEY_CHARS => Ok(Self(text.to_owned())),
            20 if text.starts_with("AKIA") || text.starts_with("ASIA") => {
                Err(SecretAccessKeyError::AccessKeyId)
            }
            length => Err(SecretAccessKeyError::Length(length)),
        }
    }

    /// Derives the SMTP password for a Region.
    pub fn derive_smtp_password(&self, region: Region) -> String {
        let mut key = hmac_sha256(format!("AWS4{}", self.0).as_bytes(), DATE);
        for message in [region.name(), SERVICE, TERMINAL, MESSAGE] {
            key = hmac_sha256(&key, message);
        }
        STANDARD.encode([&[VERSION][..], &key].concat())
    }
}

impl fmt::Debug for SecretAccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(…)")
    }
}

fn hmac_sha256(key: &[u8], message: &str) -> [u8; 32] {
    let Ok(mac) = Hmac::<Sha256>::new_from_slice(key) else { unreachable!("HMAC takes keys of any length") };
    mac.chain_update(message).finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The secret access key of AWS's documentation.
    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

    #[test]
    fn as_computed_independently() {
        let secret = SecretAccessKey::parse(SECRET).unwrap();
        let password = |name| secret.derive_smtp_password(Region::find(name).unwrap());
        assert_eq!(password("us-east-1"), "BLBM/9hSUELfq8Gw+rU1YcBjkOxGbhT2XG763xVLGWL9");
        assert_eq!(password("eu-west-1"), "BMW5RDrXmmVs0lV7GpI4oLkHXpZ4stDsk6q91z1g38Pk");
    }

    #[test]
    fn each_region_has_its_own() {
        let secret = SecretAccessKey::parse(SECRET).unwrap();
        let mut passwords: Vec<_> = Region::all().map(|region| secret.derive_smtp_password(region)).collect();
        assert!(passwords.iter().all(|password| password.len() == 44 && password.starts_with('B')));
        passwords.sort_unstable();
        passwords.dedup();
        assert_eq!(passwords.len(), Region::all().count());
    }

    #[test]
    fn what_can_not_be_a_key_is_refused() {
        for (text, expected) in [
            ("", SecretAccessKeyError::Empty),
            ("AKIAIOSFODNN7EXAMPLE", SecretAccessKeyError::AccessKeyId),
            ("wJalrXUtnFEMI/K7MDENG", SecretAccessKeyError::Length(21)),
            ("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEYx", SecretAccessKeyError::Length(41)),
            (" wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKE", SecretAccessKeyError::Characters),
            ("wJalrXUtnFEMI/K7MDENG/bPxRfiCY\nEXAMPLEKEY", SecretAccessKeyError::Characters),
            ("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKÉ", SecretAccessKeyError::Characters),
        ] {
            let error = SecretAccessKey::parse(text).unwrap_err();
            assert_eq!(error, expected);
            assert!(text.is_empty() || !error.to_string().contains(text));
        }
    }

    #[test]
    fn the_secret_is_not_printed() {
        assert_eq!(format!("{:?}", SecretAccessKey::parse(SECRET).unwrap()), "SecretKey(…)");
    }
}
