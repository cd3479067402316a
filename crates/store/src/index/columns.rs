//! What filters and counts need of a chunk.
//!
//! It is stored apart from the rows, which are three times as large: a new filter reads it for the whole log.

use std::collections::{HashMap, hash_map::Entry};

use nightaudit_exchange::ExchangeId;

use super::{
    chunk::{Chunk, take},
    packed,
    row::Row,
};

/// A chunk's rows without what identifies and locates each exchange.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Columns {
    /// A row for each kind: what has the same operation, client, status, outcome and tokens, and was delayed or not. The
    /// other fields are zero.
    pub(crate) kinds: Chunk,
    /// The kind of each row, an index into `kinds`.
    pub(crate) kind: Vec<u16>,
    /// The start of each exchange, in microseconds.
    pub(crate) started: Vec<i64>,
    /// The duration of each exchange, in microseconds.
    pub(crate) took: Vec<u64>,
}

impl Columns {
    pub(crate) fn of(chunk: &Chunk) -> Self {
        let mut columns = Self { kinds: chunk.texts(), ..Self::default() };
        let mut known = HashMap::new();
        for row in &chunk.rows {
            let tokens = (row.access_token, row.client_token);
            let kind = match known.entry((row.operation, row.client, row.status, row.outcome, row.delayed, tokens)) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(new) => {
                    columns.kinds.rows.push(kind_of(row));
                    *new.insert((columns.kinds.rows.len() - 1) as u16)
                }
            };
            columns.kind.push(kind);
            columns.started.push(row.started);
            columns.took.push(row.took);
        }
        columns
    }

    /// The columns as stored.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.kinds.write(&mut out);
        out.extend((self.kind.len() as u32).to_le_bytes());
        let is_wide = self.is_wide();
        for kind in &self.kind {
            let [low, high] = kind.to_le_bytes();
            out.push(low);
            out.extend(is_wide.then_some(high));
        }
        let mut last = 0i64;
        for started in &self.started {
            write_number(fold(started.wrapping_sub(last)), &mut out);
            last = *started;
        }
        self.took.iter().for_each(|took| write_number(*took, &mut out));
        packed::pack(&out)
    }

    /// Parses unpacked columns; `None` if they are damaged.
    pub(crate) fn from_bytes(raw: &[u8]) -> Option<Self> {
        let mut rest = raw;
        let mut columns = Self { kinds: Chunk::read(&mut rest)?, ..Self::default() };
        let rows = u32::from_le_bytes(take(&mut rest)?) as usize;
        let is_wide = columns.is_wide();
        for _ in 0..rows {
            let [low] = take(&mut rest)?;
            let [high] = if is_wide { take(&mut rest)? } else { [0] };
            let kind = u16::from_le_bytes([low, high]);
            if usize::from(kind) >= columns.kinds.rows.len() {
                return None;
            }
            columns.kind.push(kind);
        }
        let mut last = 0i64;
        for _ in 0..rows {
            last = last.wrapping_add(unfold(read_number(&mut rest)?));
            columns.started.push(last);
        }
        for _ in 0..rows {
            columns.took.push(read_number(&mut rest)?);
        }
        rest.is_empty().then_some(columns)
    }

    /// The row of a row's kind.
    pub(crate) fn row(&self, number: usize) -> Option<&Row> {
        self.kinds.rows.get(usize::from(*self.kind.get(number)?))
    }

    /// Whether the number of a kind takes two bytes.
    fn is_wide(&self) -> bool {
        self.kinds.rows.len() > 256
    }
}

/// A row with what its kind has, and nothing else.
fn kind_of(row: &Row) -> Row {
    let id = ExchangeId::from_parts(0, 0);
    Row { sequence: 0, written: 0, id, started: 0, took: 0, request_id: 0, forwarded: false, block: 0, ..*row }
}

/// Small numbers of either sign as small numbers.
fn fold(number: i64) -> u64 {
    (number.cast_unsigned() << 1) ^ (number >> 63).cast_unsigned()
}

fn unfold(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

/// Writes seven bits a byte, the lowest first; all bytes but the last have their highest bit set.
fn write_number(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn read_number(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let [byte] = take(rest)?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use nightaudit_exchange::{Outcome, Pseudonym};
    use proptest::prelude::*;

    use super::*;
    use crate::index::{BlockAt, packed::Unpacker};

    fn unpacked(stored: &[u8]) -> Option<Columns> {
        Columns::from_bytes(&Unpacker::default().unpack(stored)?)
    }

    fn row() -> impl Strategy<Value = (Row, u8, Option<u8>)> {
        let numbers = (any::<i64>(), any::<u64>(), any::<u16>());
        let token = || prop::option::of((0u8..3).prop_map(|byte| Pseudonym([byte; 6])));
        let outcome = prop::sample::select(vec![Outcome::Answered, Outcome::Refused, Outcome::Interrupted]);
        let rows = (numbers, token(), token(), outcome, any::<bool>()).prop_map(
            |((started, took, status), access_token, client_token, outcome, delayed)| Row {
                sequence: 7,
                written: 8,
                id: ExchangeId::from_parts(9, 9),
                started,
                took,
                request_id: 10,
                access_token,
                client_token,
                operation: 0,
                client: 0,
                status,
                outcome,
                delayed,
                forwarded: true,
                block: 0,
            },
        );
        (rows, any::<u8>(), prop::option::of(0u8..3))
    }

    proptest! {
        #[test]
        fn columns_are_read_as_they_were_written_and_say_what_the_rows_say(rows in prop::collection::vec(row(), 0..600)) {
            let mut chunk = Chunk::default();
            for (row, operation, client) in rows {
                let client = client.map(|client| format!("Client {client}"));
                let texts = (&*format!("things/get{operation}"), client.as_deref());
                chunk.push(row, texts, BlockAt { segment: 1, offset: 2 });
            }
            let columns = unpacked(&Columns::of(&chunk).to_bytes()).unwrap();
            prop_assert_eq!(&columns, &Columns::of(&chunk));
            prop_assert_eq!((columns.kind.len(), columns.row(chunk.rows.len())), (chunk.rows.len(), None));
            for (number, row) in chunk.rows.iter().enumerate() {
                let kind = columns.row(number).unwrap();
                let of = |row: &Row| (row.status, row.outcome, row.delayed, row.access_token, row.client_token);
                prop_assert_eq!(of(kind), of(row));
                let text = |chunk: &Chunk, row: &Row| chunk.operations[usize::from(row.operation)].clone();
                prop_assert_eq!(text(&columns.kinds, kind), text(&chunk, row));
                prop_assert_eq!(kind.client, row.client);
                prop_assert_eq!((columns.started[number], columns.took[number]), (row.started, row.took));
            }
        }

        #[test]
        fn damaged_columns_are_no_columns_or_other_ones(raw in prop::collection::vec(any::<u8>(), 0..200), cut in 0usize..300) {
            // Neither panics nor allocates by what the bytes claim.
            let _ = Columns::from_bytes(&raw);
            let mut chunk = Chunk::default();
            for number in 0..3 {
                let row = Row { started: number, ..Row::read(&[0; crate::index::row::ROW]).unwrap() };
                chunk.push(row, ("a", Some("b")), BlockAt { segment: 1, offset: 2 });
            }
            let whole = Unpacker::default().unpack(&Columns::of(&chunk).to_bytes()).unwrap();
            prop_assert_eq!(Columns::from_bytes(&whole[..cut.min(whole.len())]).is_some(), cut >= whole.len());
        }
    }

    #[test]
    fn more_kinds_than_a_byte_numbers() {
        for kinds in [1, 255, 256, 257, 512] {
            let mut chunk = Chunk::default();
            for status in 0..kinds {
                let row = Row { status, ..Row::read(&[0; crate::index::row::ROW]).unwrap() };
                chunk.push(row, ("a", None), BlockAt { segment: 1, offset: 2 });
            }
            let columns = unpacked(&Columns::of(&chunk).to_bytes()).unwrap();
            assert_eq!(columns.kinds.rows.len(), usize::from(kinds));
            assert!((0..kinds).all(|number| columns.row(usize::from(number)).unwrap().status == number));
        }
    }
}
