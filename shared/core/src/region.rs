//! The Regions that have Amazon SES. The facts, with sources and dates, are in `data/regions.csv`.
//!
//! Receiving exists in fewer Regions than sending, and in more every year: what the catalogue says is a default, which
//! the template's parameter `Receiving` overrides.

const CATALOGUE: &str = include_str!("../data/regions.csv");

/// A Region that has Amazon SES.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    name: &'static str,
    partition: Partition,
    title: &'static str,
    receives: bool,
}

/// A group of Regions with accounts of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Partition {
    /// The commercial Regions.
    Aws,
    /// `us-gov-east-1` and `us-gov-west-1`.
    AwsUsGov,
}

impl Partition {
    /// As ARNs spell it: `aws`, `aws-us-gov`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::AwsUsGov => "aws-us-gov",
        }
    }
}

impl Region {
    /// All of them, by name.
    pub fn all() -> impl Iterator<Item = Self> {
        // After the columns' names. A line that can't be read would be left out, rather than panic in a function: a test holds that none is.
        lines().skip(1).filter_map(parse)
    }

    /// The Region of that name. `None` says that the catalogue doesn't have it, not that AWS doesn't.
    pub fn find(name: &str) -> Option<Self> {
        Self::all().find(|region| region.name == name)
    }

    /// `eu-west-1`
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// `aws`
    pub fn partition(&self) -> Partition {
        self.partition
    }

    /// `Europe (Ireland)`
    pub fn title(&self) -> &'static str {
        self.title
    }

    /// Whether SES receives mail there.
    pub fn receives(&self) -> bool {
        self.receives
    }
}

fn lines() -> impl Iterator<Item = &'static str> {
    CATALOGUE.lines().filter(|line| !line.starts_with('#'))
}

fn parse(line: &'static str) -> Option<Region> {
    let mut fields = line.split(',');
    let (name, partition, title, receives) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let partition = [Partition::Aws, Partition::AwsUsGov].into_iter().find(|p| p.as_str() == partition)?;
    let receives = match receives {
        "no" => false,
        "2023-02" | "2024-01" | "2026-09" => true,
        _ => return None,
    };
    fields.next().is_none().then_some(Region { name, partition, title, receives })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_a_region() {
        assert_eq!(lines().next(), Some("name,partition,title,receives"));
        let unread: Vec<_> = lines().skip(1).filter(|line| parse(line).is_none()).collect();
        assert_eq!(unread, [""; 0]);
        for line in ["", "x-1,aws,X", "x-1,aws,X,no,", "x-1,aws-cn,X,no", "x-1,aws,X,yes"] {
            assert_eq!(parse(line), None, "{line}");
        }
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
        let receiving = Region::all().filter(Region::receives).count();
        assert_eq!((Region::all().count(), receiving), (29, 22));
        assert!(Region::find("us-east-1").unwrap().receives());
        assert!(!Region::find("us-gov-west-1").unwrap().receives());
    }
}
