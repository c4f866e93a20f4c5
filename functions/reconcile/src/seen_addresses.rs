//! Remembers which addresses a pass has seen on the list. The list is read over several invocations, and a million
//! addresses do not fit into a note, so this is a Bloom filter. It may take an address for seen that was not: if that one's
//! entry has gone, this pass misses it, but hardly the next one, whose filter is salted differently.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mailroom_aws::deadline::Deadline;
use mailroom_aws::table::notes::NoteStore;
use mailroom_aws::table::{PutOutcome, TableError, Versioned};
use mailroom_core::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

/// The size of a chunk. In Base64 it is 342 KiB, and an item of DynamoDB may have 400.
const CHUNK_BYTES: usize = 256 * 1024;
/// The most chunks that a filter has: enough for two million addresses. With more addresses it only errs more often.
const MAX_CHUNKS: usize = 16;
/// How many bits the filter has for each address, and (`BITS_SET_PER_ADDRESS`) how many of them an address sets. With both, one in 2,000
/// addresses that were not seen is taken for seen.
const BITS_PER_ADDRESS: usize = 16;
const BITS_SET_PER_ADDRESS: u64 = 7;

/// The filter of one pass.
#[derive(Debug)]
pub(crate) struct SeenAddresses {
    pass_started_at: Timestamp,
    chunks: Vec<FilterChunk>,
}

#[derive(Debug)]
struct FilterChunk {
    bits: Vec<u8>,
    /// The version of the note, as last read or written; `None` if there is none yet.
    version: Option<u64>,
    dirty: bool,
}

#[derive(Serialize, Deserialize)]
struct FilterChunkNote {
    #[serde(rename = "pass")]
    pass_started_at: Timestamp,
    bits: String,
}

/// The number of chunks that a list of so many entries needs.
pub(crate) fn chunks_for(entry_count: usize) -> usize {
    (entry_count.saturating_mul(BITS_PER_ADDRESS) / 8).div_ceil(CHUNK_BYTES).clamp(1, MAX_CHUNKS)
}

impl SeenAddresses {
    /// Loads what was kept of this pass's filter; an empty filter for a pass of which nothing was kept.
    pub(crate) async fn load(
        notes: &impl NoteStore,
        pass_started_at: Timestamp,
        chunk_count: usize,
        deadline: Deadline,
    ) -> Result<Self, TableError> {
        let mut seen = Self { pass_started_at, chunks: Vec::with_capacity(chunk_count) };
        for index in 0..chunk_count {
            let kept = notes.get_note::<FilterChunkNote>(&chunk_note_name(index), deadline).await?;
            let version = kept.as_ref().and_then(|kept| kept.version);
            let bits = kept
                .filter(|kept| kept.value.pass_started_at == pass_started_at)
                .and_then(|kept| STANDARD.decode(kept.value.bits).ok())
                .filter(|bits| bits.len() == CHUNK_BYTES);
            let bits = bits.unwrap_or_else(|| vec![0; CHUNK_BYTES]);
            seen.chunks.push(FilterChunk { bits, version, dirty: false });
        }
        Ok(seen)
    }

    /// Keeps what is new. Returns `false` if somebody else keeps this filter, too.
    pub(crate) async fn save(
        &mut self,
        notes: &impl NoteStore,
        deadline: Deadline,
    ) -> Result<bool, TableError> {
        for (index, chunk) in self.chunks.iter_mut().enumerate().filter(|(_, chunk)| chunk.dirty) {
            let value =
                FilterChunkNote { pass_started_at: self.pass_started_at, bits: STANDARD.encode(&chunk.bits) };
            let mut note = Versioned { value, version: chunk.version };
            if notes.put_note(&chunk_note_name(index), &mut note, deadline).await? != PutOutcome::Written {
                return Ok(false);
            }
            chunk.version = note.version;
            chunk.dirty = false;
        }
        Ok(true)
    }

    pub(crate) fn insert(&mut self, address: &str) {
        for (chunk, byte, bit) in self.bit_positions(address) {
            if let Some(chunk) = self.chunks.get_mut(chunk)
                && let Some(byte) = chunk.bits.get_mut(byte)
            {
                chunk.dirty |= *byte & bit == 0;
                *byte |= bit;
            }
        }
    }

    pub(crate) fn may_contain(&self, address: &str) -> bool {
        self.bit_positions(address).into_iter().all(|(chunk, byte, bit)| {
            let byte = self.chunks.get(chunk).and_then(|chunk| chunk.bits.get(byte));
            byte.is_some_and(|byte| byte & bit != 0)
        })
    }

    /// The bits that an address sets. All are in one chunk, so that few addresses make few chunks dirty.
    fn bit_positions(&self, address: &str) -> Vec<(usize, usize, u8)> {
        let first =
            mix_hash_bits(hash_fnv1a(address) ^ mix_hash_bits(self.pass_started_at.millis().unsigned_abs()));
        let step = mix_hash_bits(first) | 1;
        let chunk = reduce_hash(mix_hash_bits(step), self.chunks.len());
        let place = |n: u64| {
            let bit = reduce_hash(first.wrapping_add(n.wrapping_mul(step)), CHUNK_BYTES * 8);
            (chunk, bit / 8, 1 << (bit % 8))
        };
        (0..BITS_SET_PER_ADDRESS).map(place).collect()
    }
}

fn chunk_note_name(chunk_index: usize) -> String {
    format!("reconcile-seen-{chunk_index}")
}

fn reduce_hash(hash: u64, bound: usize) -> usize {
    let bound = u64::try_from(bound).unwrap_or(u64::MAX).max(1);
    usize::try_from(hash % bound).unwrap_or_default()
}

/// The hash FNV-1a. The standard library's may change with the compiler, and a pass may outlive a deployment.
fn hash_fnv1a(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The finalizer of `SplitMix64`, which spreads a hash over all bits.
fn mix_hash_bits(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use doubles::MemoryTable;

    use super::*;

    fn deadline() -> Deadline {
        Deadline::after(Duration::ZERO)
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis).unwrap()
    }

    #[tokio::test]
    async fn what_was_seen_is_kept_and_little_else_is_taken_for_seen() {
        let notes = MemoryTable::default();
        let chunks = chunks_for(200_000);
        assert_eq!(chunks, 2);
        let mut seen = SeenAddresses::load(&notes, at(1), chunks, deadline()).await.unwrap();
        for n in 0..200_000 {
            seen.insert(&format!("user{n}@example.com"));
        }
        assert!(seen.save(&notes, deadline()).await.unwrap());
        let kept = SeenAddresses::load(&notes, at(1), chunks, deadline()).await.unwrap();
        assert!((0..200_000).all(|n| kept.may_contain(&format!("user{n}@example.com"))));
        let wrong = |seen: &SeenAddresses| {
            (0..100_000)
                .map(|n| format!("other{n}@example.com"))
                .filter(|other| seen.may_contain(other))
                .count()
        };
        assert!(wrong(&kept) < 100, "{}", wrong(&kept));
        assert_eq!(wrong(&SeenAddresses::load(&notes, at(2), chunks, deadline()).await.unwrap()), 0);
    }

    #[tokio::test]
    async fn of_two_who_keep_it_one_is_told() {
        let notes = MemoryTable::default();
        let mut one = SeenAddresses::load(&notes, at(1), 1, deadline()).await.unwrap();
        let mut other = SeenAddresses::load(&notes, at(1), 1, deadline()).await.unwrap();
        one.insert("a@example.com");
        other.insert("b@example.com");
        assert!(one.save(&notes, deadline()).await.unwrap());
        assert!(!other.save(&notes, deadline()).await.unwrap());
    }

    #[test]
    fn a_chunk_is_an_item() {
        assert!(CHUNK_BYTES.div_ceil(3) * 4 < 380 * 1024);
        assert_eq!((chunks_for(0), chunks_for(1_000_000), chunks_for(usize::MAX)), (1, 8, 16));
    }
}
