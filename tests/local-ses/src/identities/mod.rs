//! The identities of every Region. This is pure: time comes in as an argument, and DNS is a zone that a test fills.
//!
//! One value holds all Regions, because a replica's signatures are those of its parent in another Region, and because DNS
//! records are the same for all. Records are looked up whenever somebody asks and whenever a record changes, as if SES
//! looked all the time.

mod dkim;
mod mail_from;
mod notifications;
mod policies;
mod watch;

use std::collections::BTreeMap;

use time::OffsetDateTime;

pub(crate) use dkim::{Dkim, KeyLength, Origin};
use dkim::{hosted_zone, record, tokens};
pub(crate) use mail_from::{MailFrom, OnMxFailure};
pub use notifications::{Notifications, Told};
pub(crate) use policies::Policies;
use watch::{Patience, Watch};
pub use watch::{Status, VerificationError};

use crate::dns::Zone;
use crate::pages::{Page, Paging};
use crate::refused::{Refused, RefusedKind};

/// The most identities in a Region (guide, "Creating and verifying identities").
const MAX_IDENTITIES: usize = 10_000;

/// An address or a domain that mail is sent from.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// Whether its owner has shown to own it.
    pub(crate) verification: Watch,
    /// Whether the link in the mail was clicked. Only addresses get such a mail.
    confirmed: bool,
    /// The DKIM signatures of a domain; `None` for an address, which signs with its domain's.
    pub(crate) dkim: Option<Dkim>,
    pub(crate) mail_from: Option<MailFrom>,
    pub(crate) notifications: Notifications,
    pub(crate) policies: Policies,
    /// The configuration set that its mail is sent with, if the mail does not name one.
    pub(crate) configuration_set: Option<String>,
}

impl Identity {
    pub(crate) fn is_verified(&self) -> bool {
        self.verification.status == Status::Success
    }
}

/// The DKIM signatures of an identity, as SES tells them.
#[derive(Debug, Clone)]
pub(crate) struct Signatures {
    pub(crate) dkim: Dkim,
    pub(crate) tokens: Vec<String>,
    pub(crate) hosted_zone: Option<String>,
}

/// The Region and the name of an identity.
type Place = (String, String);

/// The identities of every Region, and the DNS records by which they are verified.
#[derive(Debug, Default)]
pub(crate) struct Identities {
    zone: Zone,
    /// The identities by Region and name.
    all: BTreeMap<Place, Identity>,
}

/// A name with its domain in lower case. In a domain case does not count, but in a local part it does.
pub(crate) fn spelled(name: &str) -> String {
    match name.rsplit_once('@') {
        Some((local, domain)) => format!("{local}@{}", domain.to_lowercase()),
        None => name.to_lowercase(),
    }
}

/// The domain of an identity: itself, or that of an address.
fn domain_of(name: &str) -> &str {
    name.rsplit_once('@').map_or(name, |(_, domain)| domain)
}

fn place(region: &str, name: &str) -> Place {
    (region.to_owned(), spelled(name))
}

fn missing(name: &str) -> Refused {
    Refused::new(RefusedKind::NotFound, format!("Email identity {name} does not exist."))
}

impl Identities {
    /// Changes DNS records, and lets SES see that.
    pub(crate) fn records<T>(&mut self, now: OffsetDateTime, work: impl FnOnce(&mut Zone) -> T) -> T {
        let done = work(&mut self.zone);
        self.look(now);
        done
    }

    /// Creates an identity. A domain begins with signatures, an address with a mail that holds a link.
    pub(crate) fn create(
        &mut self,
        now: OffsetDateTime,
        region: &str,
        name: &str,
        origin: Option<(Origin, KeyLength)>,
    ) -> Result<(), Refused> {
        self.look(now);
        let name = spelled(name);
        check(&name)?;
        let place = place(region, &name);
        if self.all.contains_key(&place) {
            let message = format!("Email identity {name} already exist.");
            return Err(Refused::new(RefusedKind::AlreadyExists, message));
        }
        if self.names(region).count() >= MAX_IDENTITIES {
            let message = format!("{MAX_IDENTITIES} identities are the limit.");
            return Err(Refused::new(RefusedKind::LimitExceeded, message));
        }
        let is_address = name.contains('@');
        if is_address && origin.is_some() {
            return Err(Refused::bad("Only a domain has DKIM signing attributes."));
        }
        let (origin, length) = origin.unwrap_or((Origin::AwsSes, KeyLength::Rsa2048));
        let patience = if is_address { Patience::LINK } else { Patience::DKIM };
        let identity = Identity {
            verification: Watch::started(now, patience),
            confirmed: false,
            dkim: (!is_address).then(|| Dkim::new(now, origin, length)),
            mail_from: None,
            notifications: Notifications::default(),
            policies: Policies::default(),
            configuration_set: None,
        };
        self.all.insert(place, identity);
        self.look(now);
        Ok(())
    }

    /// Creates an identity that is verified.
    pub(crate) fn verified(&mut self, now: OffsetDateTime, region: &str, name: &str) -> Result<(), Refused> {
        self.create(now, region, name, None)?;
        let name = spelled(name);
        if name.contains('@') {
            self.confirm(now, region, &name);
            return Ok(());
        }
        self.records(now, |zone| {
            for token in tokens(region, &name) {
                zone.publish(&record(&token, &name), "CNAME", &format!("{token}.{}", hosted_zone(region)));
            }
        });
        Ok(())
    }

    /// Deletes an identity, unless another Region replicates it (guide, "Deterministic Easy DKIM").
    pub(crate) fn delete(&mut self, now: OffsetDateTime, region: &str, name: &str) -> Result<(), Refused> {
        self.look(now);
        let place = place(region, name);
        let identity = self.all.get(&place).ok_or_else(|| missing(name))?;
        if identity.dkim.is_some() {
            let replica = self.all.iter().find(|((_, other), identity)| {
                let origin = identity.dkim.as_ref().map(|dkim| &dkim.origin);
                *other == place.1 && origin == Some(&Origin::Replica { region: region.to_owned() })
            });
            if let Some(((there, _), _)) = replica {
                return Err(Refused::bad(format!("Email identity {name} has a replica in {there}.")));
            }
        }
        self.all.remove(&place);
        Ok(())
    }

    /// An identity as it is now.
    pub(crate) fn get(
        &mut self,
        now: OffsetDateTime,
        region: &str,
        name: &str,
    ) -> Result<&Identity, Refused> {
        self.look(now);
        self.all.get(&place(region, name)).ok_or_else(|| missing(name))
    }

    /// Changes an identity.
    pub(crate) fn change<T>(
        &mut self,
        now: OffsetDateTime,
        region: &str,
        name: &str,
        work: impl FnOnce(&mut Identity) -> T,
    ) -> Result<T, Refused> {
        self.look(now);
        let identity = self.all.get_mut(&place(region, name)).ok_or_else(|| missing(name))?;
        let done = work(identity);
        self.look(now);
        Ok(done)
    }

    /// A page of the names. There are twenty-five on a page if the request does not say (probed), and a thousand at most
    /// (API reference v2).
    pub(crate) fn page(
        &mut self,
        now: OffsetDateTime,
        region: &str,
        size: Option<usize>,
        token: Option<&str>,
    ) -> Result<Page<(String, Identity)>, Refused> {
        self.look(now);
        let paging = Paging { scope: &format!("{region} identities"), usual: 25, most: 1000 };
        let Page { items, next_token } = paging.page(self.names(region), size, token)?;
        let found = |name: String| Some((name.clone(), self.all.get(&place(region, &name))?.clone()));
        Ok(Page { items: items.into_iter().filter_map(found).collect(), next_token })
    }

    /// The signatures of an identity's mail, which are those of its own domain; `None` if that has none. A domain above
    /// that one does not count (probed).
    pub(crate) fn signatures(&self, region: &str, name: &str) -> Option<Signatures> {
        let domain = domain_of(name);
        let dkim = self.all.get(&place(region, domain))?.dkim.clone()?;
        let easy = |region: &str| (tokens(region, &spelled(domain)).to_vec(), Some(hosted_zone(region)));
        let (tokens, hosted_zone) = match &dkim.origin {
            Origin::AwsSes => easy(region),
            Origin::External { selector } => (vec![selector.clone()], None),
            Origin::Replica { region } => easy(region),
        };
        Some(Signatures { dkim, tokens, hosted_zone })
    }

    /// Signs with this key from now on. If SES had given up on the same key, it looks again.
    pub(crate) fn sign(
        &mut self,
        now: OffsetDateTime,
        region: &str,
        name: &str,
        origin: Origin,
        length: Option<KeyLength>,
    ) -> Result<(), Refused> {
        self.change(now, region, name, |identity| {
            let none = || Refused::bad("Only a domain has DKIM signing attributes.");
            let dkim = identity.dkim.as_mut().ok_or_else(none)?;
            if length.is_some_and(|length| !dkim.lengthen(now, length)) {
                return Err(Refused::bad("The key length can be changed once a day."));
            }
            if dkim.origin != origin || dkim.watch.status == Status::Failed {
                dkim.watch = Watch::started(now, Patience::DKIM);
                dkim.origin = origin;
            }
            // A domain that was never verified is verified by its signatures (guide, "Creating and verifying identities").
            if identity.verification.status == Status::Failed {
                identity.verification = Watch::started(now, Patience::DKIM);
            }
            Ok(())
        })?
    }

    /// Sets an identity's MAIL FROM domain, or removes it if `domain` is `None`. If SES had given up on the same domain, it
    /// looks again.
    pub(crate) fn send_from(
        &mut self,
        now: OffsetDateTime,
        region: &str,
        name: &str,
        domain: Option<&str>,
        behavior: OnMxFailure,
    ) -> Result<(), Refused> {
        let domain = domain.map(spelled);
        if let Some(domain) = &domain
            && !domain
                .strip_suffix(domain_of(&spelled(name)))
                .is_some_and(|left| left.len() > 1 && left.ends_with('.'))
        {
            let message = format!(
                "Provided MAIL-FROM domain <{domain}> is not subdomain of the domain of the identity <{name}>."
            );
            return Err(Refused::bad(message));
        }
        let done = self.change(now, region, name, |identity| {
            identity.mail_from = domain.map(|domain| match identity.mail_from.take() {
                Some(old) if old.domain == domain && old.watch.status != Status::Failed => {
                    MailFrom { behavior, ..old }
                }
                _ => MailFrom::new(now, &domain, behavior),
            });
        });
        // SES does not answer `NotFoundException` here, though the API reference lists it (probed).
        done.map_err(|refused| Refused::bad(refused.message))
    }

    /// Sends the mail with the link to an address, again if it was sent before. An address that is verified stays so.
    pub(crate) fn mail_link(
        &mut self,
        now: OffsetDateTime,
        region: &str,
        address: &str,
    ) -> Result<(), Refused> {
        if !address.contains('@') {
            return Err(Refused::bad(format!("Invalid email address {address:?}.")));
        }
        if self.get(now, region, address).is_err() {
            return self.create(now, region, address, None);
        }
        self.change(now, region, address, |identity| {
            if !identity.is_verified() {
                identity.verification = Watch::started(now, Patience::LINK);
                identity.confirmed = false;
            }
        })
    }

    /// Clicks the link in the mail to an address. Returns whether there was one.
    pub(crate) fn confirm(&mut self, now: OffsetDateTime, region: &str, address: &str) -> bool {
        let clicked = self.change(now, region, address, |identity| {
            identity.confirmed = identity.dkim.is_none();
            identity.confirmed
        });
        clicked.unwrap_or_default()
    }

    fn names<'s>(&'s self, region: &'s str) -> impl Iterator<Item = &'s String> {
        self.all.keys().filter(move |(there, _)| there == region).map(|(_, name)| name)
    }

    /// Lets SES look up the records of all identities.
    fn look(&mut self, now: OffsetDateTime) {
        let seen: Vec<_> = self.all.iter().map(|(place, identity)| self.seen(place, identity)).collect();
        for (identity, seen) in self.all.values_mut().zip(seen) {
            if let (Some(mail_from), Some(seen)) = (&mut identity.mail_from, seen.mail_from) {
                mail_from.watch.look(now, seen);
            }
            if let (Some(dkim), Some(seen)) = (&mut identity.dkim, seen.dkim) {
                dkim.watch.look(now, seen);
            }
            // No source tells whether a verified domain stays so when the records of its signatures go. Here it does.
            let verified = identity.verification.status == Status::Success;
            identity.verification.look(now, if verified { Ok(()) } else { seen.verification });
        }
    }

    fn seen(&self, (region, name): &Place, identity: &Identity) -> Seen {
        let mail_from = identity.mail_from.as_ref().map(|own| own.published(&self.zone));
        let dkim = identity.dkim.as_ref().map(|dkim| {
            self.replicates(name, &dkim.origin)?;
            dkim.published(&self.zone, region, name)
        });
        let link = if identity.confirmed { Ok(()) } else { Err(VerificationError::HostNotFound) };
        Seen { verification: dkim.unwrap_or(link), dkim, mail_from }
    }

    /// Checks that a replica has a parent of which it may be one (guide, "Deterministic Easy DKIM").
    fn replicates(&self, name: &str, origin: &Origin) -> Result<(), VerificationError> {
        let Origin::Replica { region } = origin else { return Ok(()) };
        let parent = self.all.get(&place(region, name)).and_then(|parent| parent.dkim.as_ref());
        match parent.map(|dkim| &dkim.origin) {
            Some(Origin::AwsSes) => Ok(()),
            Some(Origin::External { .. }) => Err(VerificationError::ReplicationPrimaryByoDkimNotSupported),
            Some(Origin::Replica { .. }) => Err(VerificationError::ReplicationReplicaAsPrimaryNotSupported),
            None => Err(VerificationError::ReplicationPrimaryNotFound),
        }
    }
}

/// What SES sees of one identity when it looks.
#[derive(Debug, Clone, Copy)]
struct Seen {
    verification: Result<(), VerificationError>,
    dkim: Option<Result<(), VerificationError>>,
    mail_from: Option<Result<(), VerificationError>>,
}

/// Refuses names from which nothing could be sent. No source tells what SES accepts.
fn check(name: &str) -> Result<(), Refused> {
    let domain = domain_of(name);
    let label = |label: &str| !label.is_empty() && label.len() < 64 && !label.contains(char::is_whitespace);
    if name.starts_with('@') || !domain.contains('.') || !domain.split('.').all(label) {
        return Err(Refused::bad(format!("Invalid email identity {name:?}.")));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
