//! The Regions that have Amazon SES. The facts, with sources and dates, are in `data/regions.csv`; endpoints follow from a
//! Region's name, and each function says by which source.
//!
//! Receiving exists in fewer Regions than sending, and in more every year: what the catalogue says is a default, which
//! the template's parameter `Receiving` overrides, and [`ReceivingSetting`] here.

const CATALOGUE: &str = include_str!("../data/regions.csv");

/// A Region that has Amazon SES.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    name: &'static str,
    partition: Partition,
    title: &'static str,
    smtp_availability: FeatureAvailability,
    own_dkim_zone: bool,
    receiving_availability: FeatureAvailability,
}

/// A group of Regions with accounts of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Partition {
    /// The commercial Regions.
    Aws,
    /// `us-gov-east-1` and `us-gov-west-1`.
    AwsUsGov,
}

/// Whether the catalogue's sources list something as there in a Region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FeatureAvailability {
    /// It is there. Holds the month of the first list that has it (`2024-01`), which `data/regions.csv` names.
    Since(&'static str),
    /// It is not there.
    No,
    /// No source says whether it is there.
    Unknown,
}

/// What an operator says of receiving in a Region: the values of the template's parameter `Receiving`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ReceivingSetting {
    /// The Region receives if the catalogue says so.
    #[default]
    Auto,
    /// The Region receives, whatever the catalogue says.
    On,
    /// The Region does not receive, whatever the catalogue says.
    Off,
}

impl Partition {
    /// The partition's name in ARNs: `aws` or `aws-us-gov`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::AwsUsGov => "aws-us-gov",
        }
    }
}

impl FeatureAvailability {
    /// The catalogue's spelling: a month, `no` or `unknown`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Since(month) => month,
            Self::No => "no",
            Self::Unknown => "unknown",
        }
    }

    fn parse(text: &'static str, since_months: &[&str]) -> Option<Self> {
        match text {
            "no" => Some(Self::No),
            "unknown" => Some(Self::Unknown),
            month => since_months.contains(&month).then_some(Self::Since(month)),
        }
    }
}

impl ReceivingSetting {
    /// Reads the parameter's value: `auto`, `on` or `off`.
    pub fn parse(value: &str) -> Option<Self> {
        match value {
            "auto" => Some(Self::Auto),
            "on" => Some(Self::On),
            "off" => Some(Self::Off),
            _ => None,
        }
    }

    /// Whether SES receives mail in a Region, if this is what the operator says of it.
    pub fn receives_in(self, region: Region) -> bool {
        match self {
            Self::Auto => region.receives(),
            Self::On => true,
            Self::Off => false,
        }
    }
}

impl Region {
    /// All Regions of the catalogue, by name.
    pub fn all() -> impl Iterator<Item = Self> {
        // The first line names the columns. A line that can't be read is left out, rather than panic in a function; a
        // test makes sure that there is none.
        catalogue_lines().skip(1).filter_map(parse_region)
    }

    /// The Region of that name. `None` says that the catalogue doesn't have it, not that AWS doesn't.
    pub fn find(name: &str) -> Option<Self> {
        Self::all().find(|region| region.name == name)
    }

    /// The Region's name, such as `eu-west-1`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The partition that the Region belongs to, such as `aws`.
    pub fn partition(&self) -> Partition {
        self.partition
    }

    /// The Region's name for people, such as `Europe (Ireland)`.
    pub fn title(&self) -> &'static str {
        self.title
    }

    /// Whether SES takes mail by SMTP there. It takes it by its API everywhere.
    pub fn smtp_availability(&self) -> FeatureAvailability {
        self.smtp_availability
    }

    /// Whether SES receives mail there, and since which list.
    pub fn receiving_availability(&self) -> FeatureAvailability {
        self.receiving_availability
    }

    /// Whether SES receives mail there.
    pub fn receives(&self) -> bool {
        matches!(self.receiving_availability, FeatureAvailability::Since(_))
    }

    /// Where SES's API answers, versions 1 and 2: `email.eu-west-1.amazonaws.com`.
    ///
    /// Source: botocore 1.43.127 (November 2026), `endpoints.json`: service `email`, whose names follow the partitions'
    /// default in all of these Regions, and the suffix is the same in both partitions.
    pub fn api_endpoint(&self) -> String {
        format!("email.{}.amazonaws.com", self.name)
    }

    /// Where SES takes mail by SMTP: `email-smtp.eu-west-1.amazonaws.com`. `None` where it is known not to; where that is
    /// not known ([`Region::smtp_availability`]), the name that it would have.
    ///
    /// Source: AWS General Reference, "Amazon Simple Email Service endpoints and quotas", "SMTP endpoints", as nodemailer
    /// copied it: all 19 names are of this form, `us-gov-east-1` too.
    pub fn smtp_endpoint(&self) -> Option<String> {
        (self.smtp_availability != FeatureAvailability::No)
            .then(|| format!("email-smtp.{}.amazonaws.com", self.name))
    }

    /// What a domain's MX record names for SES to receive its mail there: `inbound-smtp.eu-west-1.amazonaws.com`. The name
    /// is of use only where SES receives.
    ///
    /// Source: the same page, "Email receiving endpoints", as third parties copied it (11 Regions in January 2024).
    pub fn inbound_endpoint(&self) -> String {
        format!("inbound-smtp.{}.amazonaws.com", self.name)
    }

    /// What a custom MAIL FROM domain's MX record names: `feedback-smtp.eu-west-1.amazonses.com`. The one name that is not
    /// under `amazonaws.com`.
    ///
    /// Source: Amazon SES Developer Guide, "Regions and Amazon SES", "Custom MAIL FROM domains", as the guide's sources had
    /// it until 2023: a table of 17 Regions, all of this form, `us-gov-west-1` too. In newer Regions it is seen in use
    /// (il-central-1).
    pub fn mail_from_endpoint(&self) -> String {
        format!("feedback-smtp.{}.amazonses.com", self.name)
    }
}

/// Where the Easy DKIM keys of a Region are published: `dkim.eu-south-1.amazonses.com`, or the zone that most Regions share, which
/// it is for a Region that the catalogue doesn't have, too.
///
/// Source: `data/regions.csv`.
pub fn dkim_zone(region: &str) -> String {
    match Region::find(region) {
        Some(Region { own_dkim_zone: true, name, .. }) => format!("dkim.{name}.amazonses.com"),
        _ => "dkim.amazonses.com".to_owned(),
    }
}

fn catalogue_lines() -> impl Iterator<Item = &'static str> {
    CATALOGUE.lines().filter(|line| !line.starts_with('#'))
}

fn parse_region(line: &'static str) -> Option<Region> {
    let mut fields = line.split(',');
    let (name, partition, title) = (fields.next()?, fields.next()?, fields.next()?);
    let partition = [Partition::Aws, Partition::AwsUsGov].into_iter().find(|p| p.as_str() == partition)?;
    let smtp = FeatureAvailability::parse(fields.next()?, &["2023-10", "2026-11"])?;
    let own_dkim_zone = match fields.next()? {
        "own" => true,
        "common" => false,
        _ => return None,
    };
    let receiving = FeatureAvailability::parse(fields.next()?, &["2023-02", "2024-01", "2026-09"])?;
    let region = Region {
        name,
        partition,
        title,
        smtp_availability: smtp,
        own_dkim_zone,
        receiving_availability: receiving,
    };
    fields.next().is_none().then_some(region)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(name: &str) -> Region {
        Region::find(name).unwrap()
    }

    #[test]
    fn every_line_is_a_region() {
        assert_eq!(catalogue_lines().next(), Some("name,partition,title,smtp,dkim,receives"));
        let unread: Vec<_> = catalogue_lines().skip(1).filter(|line| parse_region(line).is_none()).collect();
        assert_eq!(unread, [""; 0]);
        for line in [
            "",
            "x-1,aws,X,no,own",
            "x-1,aws,X,no,own,no,",
            "x-1,aws-cn,X,no,own,no",
            "x-1,aws,X,no,own,yes",
            "x-1,aws,X,yes,own,no",
            "x-1,aws,X,2023-02,own,no",
            "x-1,aws,X,no,no,no",
        ] {
            assert_eq!(parse_region(line), None, "{line}");
        }
        assert!(parse_region("x-1,aws,X,no,own,no").is_some());
    }

    #[test]
    fn names_differ_and_are_sorted() {
        let names: Vec<_> = Region::all().map(|region| region.name).collect();
        assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
        for region in Region::all() {
            assert_eq!(Region::find(region.name()), Some(region));
            assert_eq!(region.partition() == Partition::AwsUsGov, region.name().starts_with("us-gov-"));
            assert!(!region.title().trim().is_empty(), "{region:?}");
        }
        assert_eq!(Region::find("eu-west"), None);
        assert_eq!(Region::find("name"), None);
    }

    #[test]
    fn as_many_as_the_sources_say() {
        assert_eq!(Region::all().count(), 29);
        let listed_by = |list: &str, fact: fn(&Region) -> FeatureAvailability| {
            Region::all()
                .filter(|region| matches!(fact(region), FeatureAvailability::Since(since) if since <= list))
                .count()
        };
        assert_eq!(
            ["2023-02", "2024-01", "2026-09"].map(|list| listed_by(list, Region::receiving_availability)),
            [3, 11, 22]
        );
        assert_eq!(["2023-10", "2026-11"].map(|list| listed_by(list, Region::smtp_availability)), [19, 20]);
        let without = |answer: FeatureAvailability| -> Vec<_> {
            Region::all()
                .filter(|region| region.smtp_availability() == answer)
                .map(|region| region.name())
                .collect()
        };
        assert_eq!(without(FeatureAvailability::No), ["af-south-1", "ap-southeast-3", "me-south-1"]);
        assert_eq!(without(FeatureAvailability::Unknown).len(), 6);
        assert_eq!(Region::all().filter(|region| region.own_dkim_zone).count(), 11);
    }

    #[test]
    fn what_the_operator_says_goes_before_the_catalogue() {
        let (receives, does_not) = (region("us-east-1"), region("us-gov-west-1"));
        assert!(receives.receives() && !does_not.receives());
        for (value, expected) in [("auto", [true, false]), ("on", [true, true]), ("off", [false, false])] {
            let receiving = ReceivingSetting::parse(value).unwrap();
            assert_eq!([receives, does_not].map(|region| receiving.receives_in(region)), expected, "{value}");
        }
        assert_eq!(ReceivingSetting::default(), ReceivingSetting::Auto);
        assert_eq!(ReceivingSetting::parse("yes"), None);
    }

    #[test]
    fn endpoints_follow_from_the_name() {
        let ireland = region("eu-west-1");
        assert_eq!(ireland.api_endpoint(), "email.eu-west-1.amazonaws.com");
        assert_eq!(ireland.smtp_endpoint().unwrap(), "email-smtp.eu-west-1.amazonaws.com");
        assert_eq!(ireland.inbound_endpoint(), "inbound-smtp.eu-west-1.amazonaws.com");
        assert_eq!(ireland.mail_from_endpoint(), "feedback-smtp.eu-west-1.amazonses.com");
        assert_eq!(
            region("us-gov-west-1").smtp_endpoint().unwrap(),
            "email-smtp.us-gov-west-1.amazonaws.com"
        );
        assert_eq!(
            ["eu-west-1", "eu-south-1", "us-gov-east-1", "mars-north-1"].map(dkim_zone),
            [
                "dkim.amazonses.com",
                "dkim.eu-south-1.amazonses.com",
                "dkim.us-gov-east-1.amazonses.com",
                "dkim.amazonses.com"
            ]
        );
        assert_eq!(region("ap-southeast-3").smtp_endpoint(), None);
        assert_eq!(region("ca-west-1").smtp_availability(), FeatureAvailability::Unknown);
        assert!(region("ca-west-1").smtp_endpoint().is_some());
    }
}
