//! One word for what to do with a mail, from all that SES checked.

use serde::Serialize;

use super::verdict::{DmarcPolicy, MailVerdict, MailVerdicts};

/// What to do with a mail. Where several apply, the greater one wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MailDisposition {
    /// SES has checked the mail and found nothing.
    Clean,
    /// A person should look at the mail before anything acts on it.
    Suspect,
    /// Nothing should act on the mail.
    Reject,
}

impl MailDisposition {
    /// Reads `clean`, `suspect` or `reject`, as settings and records spell them.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "clean" => Some(Self::Clean),
            "suspect" => Some(Self::Suspect),
            "reject" => Some(Self::Reject),
            _ => None,
        }
    }
}

/// How verdicts become a disposition.
///
/// Each row that applies says something, and the greatest of all that was said is the disposition; `clean` if nothing
/// was.
///
/// | check | verdict | disposition |
/// |---|---|---|
/// | virus | `FAIL` | `reject` |
/// | spam | `FAIL` | [`spam`](Self::spam) |
/// | spam, virus | `GRAY`, `PROCESSING_FAILED`, a value that we don't know | [`inconclusive`](Self::inconclusive) |
/// | spam, virus | `DISABLED`, absent | [`unscanned`](Self::unscanned) |
/// | DMARC | `FAIL`, policy `reject` | `reject` |
/// | DMARC | `FAIL`, policy `quarantine`, none told, or one that we don't know | `suspect` |
/// | DMARC | `FAIL`, policy `none` | nothing: so the domain's owner asks |
/// | DMARC | `PROCESSING_FAILED`, a value that we don't know | [`inconclusive`](Self::inconclusive) |
/// | DMARC | `GRAY`, `DISABLED`, absent | nothing: most domains have no policy |
/// | SPF, DKIM | any | nothing: forwarding breaks the one, mailing lists the other; DMARC weighs both |
/// | any | `PASS` | nothing |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DispositionPolicy {
    /// The disposition of mail that SES takes for spam.
    pub spam: MailDisposition,
    /// The disposition of mail of which a check gave no answer. A sender can bring that about, by an archive that can't
    /// be unpacked or a name server that doesn't answer.
    pub inconclusive: MailDisposition,
    /// The disposition of mail that was not scanned, since the rule does not have it scanned.
    pub unscanned: MailDisposition,
}

impl Default for DispositionPolicy {
    /// The default lets only mail be `clean` of which SES has said so.
    fn default() -> Self {
        Self {
            spam: MailDisposition::Suspect,
            inconclusive: MailDisposition::Suspect,
            unscanned: MailDisposition::Suspect,
        }
    }
}

impl DispositionPolicy {
    /// Applies the table above.
    pub fn strictest_disposition(&self, verdicts: &MailVerdicts) -> MailDisposition {
        let scan = |verdict: &Option<MailVerdict>, failed| match verdict {
            Some(MailVerdict::Pass) => MailDisposition::Clean,
            Some(MailVerdict::Fail) => failed,
            Some(MailVerdict::Gray | MailVerdict::ProcessingFailed | MailVerdict::Unknown(_)) => {
                self.inconclusive
            }
            Some(MailVerdict::Disabled) | None => self.unscanned,
        };
        let dmarc = match (&verdicts.dmarc, &verdicts.dmarc_policy) {
            (Some(MailVerdict::Fail), Some(DmarcPolicy::Reject)) => MailDisposition::Reject,
            (Some(MailVerdict::Fail), Some(DmarcPolicy::None))
            | (Some(MailVerdict::Pass | MailVerdict::Gray | MailVerdict::Disabled) | None, _) => {
                MailDisposition::Clean
            }
            (Some(MailVerdict::Fail), _) => MailDisposition::Suspect,
            (Some(MailVerdict::ProcessingFailed | MailVerdict::Unknown(_)), _) => self.inconclusive,
        };
        scan(&verdicts.virus, MailDisposition::Reject).max(scan(&verdicts.spam, self.spam)).max(dmarc)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERDICTS: [Option<&str>; 7] = [
        None,
        Some("PASS"),
        Some("FAIL"),
        Some("GRAY"),
        Some("PROCESSING_FAILED"),
        Some("DISABLED"),
        Some("MAYBE"),
    ];
    const POLICIES: [Option<&str>; 5] =
        [None, Some("none"), Some("quarantine"), Some("reject"), Some("shrug")];
    const ALL: [MailDisposition; 3] =
        [MailDisposition::Clean, MailDisposition::Suspect, MailDisposition::Reject];

    /// A row of the table: check, verdict (and DMARC policy), what it says under a policy.
    fn said(
        check: &str,
        verdict: Option<&str>,
        dmarc: Option<&str>,
        policy: DispositionPolicy,
    ) -> MailDisposition {
        match (check, verdict.unwrap_or("absent"), dmarc.unwrap_or("absent")) {
            ("virus", "FAIL", _) | ("dmarc", "FAIL", "reject") => MailDisposition::Reject,
            ("spam", "FAIL", _) => policy.spam,
            ("spam" | "virus", "GRAY" | "PROCESSING_FAILED" | "MAYBE", _)
            | ("dmarc", "PROCESSING_FAILED" | "MAYBE", _) => policy.inconclusive,
            ("spam" | "virus", "DISABLED" | "absent", _) => policy.unscanned,
            ("dmarc", "FAIL", "quarantine" | "absent" | "shrug") => MailDisposition::Suspect,
            ("dmarc", "FAIL", "none")
            | ("dmarc", "GRAY" | "DISABLED" | "absent", _)
            | ("spf" | "dkim", _, _)
            | (_, "PASS", _) => MailDisposition::Clean,
            row => unreachable!("{row:?}"),
        }
    }

    #[test]
    fn every_combination_is_the_greatest_of_its_rows() {
        let mut policies = vec![DispositionPolicy::default()];
        for (spam, inconclusive, unscanned) in
            ALL.iter().flat_map(|a| ALL.iter().flat_map(move |b| ALL.iter().map(move |c| (*a, *b, *c))))
        {
            policies.push(DispositionPolicy { spam, inconclusive, unscanned });
        }
        let verdict = |text: Option<&str>| text.map(MailVerdict::parse);
        let mut combinations = 0_u32;
        for policy in policies {
            for spam in VERDICTS {
                for virus in VERDICTS {
                    for (dmarc, dmarc_policy) in VERDICTS
                        .iter()
                        .flat_map(|verdict| POLICIES.iter().map(move |asked| (*verdict, *asked)))
                    {
                        let expected = [("spam", spam), ("virus", virus), ("dmarc", dmarc)]
                            .into_iter()
                            .map(|(check, verdict)| said(check, verdict, dmarc_policy, policy))
                            .max();
                        let mut verdicts = MailVerdicts {
                            spam: verdict(spam),
                            virus: verdict(virus),
                            dmarc: verdict(dmarc),
                            dmarc_policy: dmarc_policy.map(DmarcPolicy::parse),
                            ..MailVerdicts::default()
                        };
                        for authentication in VERDICTS {
                            (verdicts.spf, verdicts.dkim) =
                                (verdict(authentication), verdict(authentication));
                            assert_eq!(
                                Some(policy.strictest_disposition(&verdicts)),
                                expected,
                                "{verdicts:?} {policy:?}"
                            );
                            combinations += 1;
                        }
                    }
                }
            }
        }
        assert_eq!(combinations, 28 * 7 * 7 * 35 * 7);
    }

    #[test]
    fn by_default_clean_is_only_what_ses_calls_so() {
        let with = |spam: &str, virus: &str, dmarc: &str, asked: Option<&str>| {
            DispositionPolicy::default().strictest_disposition(&MailVerdicts {
                spam: Some(MailVerdict::parse(spam)),
                virus: Some(MailVerdict::parse(virus)),
                dmarc: Some(MailVerdict::parse(dmarc)),
                dmarc_policy: asked.map(DmarcPolicy::parse),
                ..MailVerdicts::default()
            })
        };
        assert_eq!(with("PASS", "PASS", "PASS", None), MailDisposition::Clean);
        assert_eq!(with("pass", "PASS", "GRAY", None), MailDisposition::Clean);
        assert_eq!(with("PASS", "PASS", "FAIL", Some("none")), MailDisposition::Clean);
        assert_eq!(with("PASS", "PASS", "FAIL", Some("QUARANTINE")), MailDisposition::Suspect);
        assert_eq!(with("PASS", "PASS", "FAIL", Some("reject")), MailDisposition::Reject);
        assert_eq!(with("FAIL", "PASS", "PASS", None), MailDisposition::Suspect);
        assert_eq!(with("FAIL", "FAIL", "PASS", None), MailDisposition::Reject);
        assert_eq!(with("GRAY", "PASS", "PASS", None), MailDisposition::Suspect);
        assert_eq!(
            DispositionPolicy::default().strictest_disposition(&MailVerdicts::default()),
            MailDisposition::Suspect
        );
    }

    #[test]
    fn spelled_as_in_records() {
        for disposition in ALL {
            let spelled = serde_json::to_value(disposition).unwrap();
            assert_eq!(MailDisposition::parse(spelled.as_str().unwrap()), Some(disposition));
        }
        assert_eq!(MailDisposition::parse("Clean"), None);
    }
}
