//! The parts of an Amazon Resource Name that say whose a thing is.

/// `arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE`, as the AWS General Reference describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arn<'a> {
    /// The Region, such as `us-east-1`; empty for global services.
    pub region: &'a str,
    /// The account: twelve digits, or empty if the resource's name has no owner.
    pub account: &'a str,
    /// Everything after the account: `identity/example.com`.
    pub resource: &'a str,
}

impl<'a> Arn<'a> {
    /// Splits an ARN into its parts; `None` if the text does not have an ARN's six.
    pub fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.trim().splitn(6, ':');
        if parts.next()? != "arn" {
            return None;
        }
        let _partition = parts.next()?;
        let _service = parts.next()?;
        Some(Self { region: parts.next()?, account: parts.next()?, resource: parts.next()? })
    }

    /// The Region; `None` if the resource is global.
    pub fn region(self) -> Option<&'a str> {
        (!self.region.is_empty()).then_some(self.region)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_parts() {
        let identity =
            Arn::parse("arn:aws-us-gov:ses:us-gov-west-1:123456789012:identity/a:b@example.com").unwrap();
        assert_eq!((identity.region, identity.account), ("us-gov-west-1", "123456789012"));
        assert_eq!(identity.resource, "identity/a:b@example.com");
        assert_eq!(Arn::parse("arn:aws:iam::123456789012:role/x").unwrap().region(), None);
        assert_eq!(Arn::parse("identity/example.com"), None);
        assert_eq!(Arn::parse("arn:aws:ses"), None);
    }
}
