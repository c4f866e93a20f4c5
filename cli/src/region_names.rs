//! Regions as arguments name them.

use mailroom_core::region::Region;

/// The Region that an argument names.
pub(crate) fn parse_region(name: &str) -> Result<Region, String> {
    Region::find(name).ok_or_else(|| {
        // It is shown only if it can be no secret that was pasted into the wrong place.
        let like_a_region = name.len() < 25
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        let shown = if like_a_region { name } else { "an argument" };
        format!("{shown} is no Region that the catalogue has (`mailroom regions` prints it)")
    })
}

/// The Regions that arguments name, each once, in the order of the arguments.
pub(crate) fn parse_distinct_regions(names: &[String]) -> Result<Vec<Region>, String> {
    names.iter().map(|name| parse_region(name)).collect::<Result<_, _>>().map(remove_duplicates)
}

/// The same Regions in the same order, without repetition.
pub(crate) fn remove_duplicates(requested_regions: Vec<Region>) -> Vec<Region> {
    let mut regions = Vec::with_capacity(requested_regions.len());
    for region in requested_regions {
        if !regions.contains(&region) {
            regions.push(region);
        }
    }
    regions
}
