//! Parses the frames of one direction of a WebSocket (RFC 6455, section 5).

/// The longest frame header: two bytes, eight of length, four of mask.
const MAX_HEADER: usize = 14;
/// The longest payload of a control frame, in bytes.
const MAX_CONTROL_PAYLOAD: u64 = 125;
/// Bytes to unmask at once.
const UNMASK_CHUNK: usize = 1024;

/// An incremental frame parser.
pub(super) struct Frames {
    state: State,
}

enum State {
    Head { bytes: [u8; MAX_HEADER], have: usize },
    Payload { left: u64, mask: Option<[u8; 4]>, at: usize },
    Invalid,
}

/// A frame header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// FIN: whether the message ends with this frame.
    pub(super) last: bool,
    /// RSV1 to RSV3, the first as the highest bit.
    pub(super) reserved: u8,
    pub(super) opcode: u8,
}

impl Head {
    pub(super) fn is_control(self) -> bool {
        self.opcode >= 8
    }
}

/// What the parser yields for each frame: the header, the payload in chunks, the end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    Head(Head),
    Payload(&'a [u8]),
    End,
}

/// Not a valid WebSocket frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Invalid;

impl Frames {
    pub(super) fn new() -> Self {
        Self { state: State::head() }
    }

    /// Parses more bytes and calls `on_piece` with the result, unmasked. Returns the number of unreadable bytes:
    /// everything from the first frame that is invalid or that `on_piece` rejects.
    pub(super) fn read(&mut self, mut bytes: &[u8], mut on_piece: impl FnMut(Piece<'_>) -> Result<(), Invalid>) -> u64 {
        while !bytes.is_empty() {
            let left = bytes.len() as u64;
            if self.step(&mut bytes, &mut on_piece).is_err() {
                // Earlier bytes of the frame header count, too.
                let earlier = if let State::Head { have, .. } = self.state { have as u64 - 1 } else { 0 };
                self.state = State::Invalid;
                return left + earlier;
            }
        }
        0
    }

    /// Returns whether the rest is unreadable.
    pub(super) fn is_invalid(&self) -> bool {
        matches!(self.state, State::Invalid)
    }

    fn step(
        &mut self,
        bytes: &mut &[u8],
        on_piece: &mut impl FnMut(Piece<'_>) -> Result<(), Invalid>,
    ) -> Result<(), Invalid> {
        match &mut self.state {
            State::Invalid => Err(Invalid),
            State::Head { bytes: head, have } => {
                let (first, rest) = bytes.split_first().ok_or(Invalid)?;
                head[*have] = *first;
                *have += 1;
                *bytes = rest;
                let Some((head, length, mask)) = parse(&head[..*have])? else { return Ok(()) };
                on_piece(Piece::Head(head))?;
                self.state = State::Payload { left: length, mask, at: 0 };
                self.end_if_complete(on_piece)
            }
            State::Payload { left, mask, at } => {
                let length = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                let (payload, rest) = bytes.split_at(length);
                *bytes = rest;
                *left -= length as u64;
                match mask {
                    None => on_piece(Piece::Payload(payload))?,
                    Some(mask) => {
                        let mut unmasked = [0; UNMASK_CHUNK];
                        for step in payload.chunks(UNMASK_CHUNK) {
                            for (unmasked, masked) in unmasked.iter_mut().zip(step) {
                                *unmasked = masked ^ mask[*at];
                                *at = (*at + 1) % mask.len();
                            }
                            on_piece(Piece::Payload(&unmasked[..step.len()]))?;
                        }
                    }
                }
                self.end_if_complete(on_piece)
            }
        }
    }

    fn end_if_complete(&mut self, on_piece: &mut impl FnMut(Piece<'_>) -> Result<(), Invalid>) -> Result<(), Invalid> {
        if matches!(self.state, State::Payload { left: 0, .. }) {
            self.state = State::head();
            on_piece(Piece::End)?;
        }
        Ok(())
    }
}

impl State {
    fn head() -> Self {
        Self::Head { bytes: [0; MAX_HEADER], have: 0 }
    }
}

/// Parses a frame header with length and mask of its payload; `None` if it is incomplete.
///
/// Frames are accepted with or without a mask, in either direction.
#[expect(clippy::type_complexity, reason = "destructured by the only caller")]
fn parse(bytes: &[u8]) -> Result<Option<(Head, u64, Option<[u8; 4]>)>, Invalid> {
    let &[first, second, ref rest @ ..] = bytes else { return Ok(None) };
    let head = Head { last: first & 0x80 != 0, reserved: first >> 4 & 7, opcode: first & 0x0f };
    let (masked, short) = (second & 0x80 != 0, second & 0x7f);
    if !matches!(head.opcode, 0..=2 | 8..=10) {
        return Err(Invalid);
    }
    let size = match short {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    if rest.len() < size + if masked { 4 } else { 0 } {
        return Ok(None);
    }
    let (size, mask) = rest.split_at(size);
    let length = match size {
        [] => u64::from(short),
        size => size.iter().fold(0, |length, byte| length << 8 | u64::from(*byte)),
    };
    if length > i64::MAX.cast_unsigned() || (head.is_control() && (length > MAX_CONTROL_PAYLOAD || !head.last)) {
        return Err(Invalid);
    }
    Ok(Some((head, length, mask.first_chunk().copied().filter(|_| masked))))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Found = Vec<(Head, Vec<u8>)>;

    fn read_in(pieces: &[&[u8]]) -> (Found, u64) {
        let (mut frames, mut found, mut unreadable) = (Frames::new(), Found::new(), 0);
        for piece in pieces {
            unreadable += frames.read(piece, |piece| {
                match piece {
                    Piece::Head(head) => found.push((head, Vec::new())),
                    Piece::Payload(payload) => found.last_mut().unwrap().1.extend(payload),
                    Piece::End => {}
                }
                Ok(())
            });
        }
        (found, unreadable)
    }

    fn frame(head: Head, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
        let mut bytes = vec![u8::from(head.last) << 7 | head.reserved << 4 | head.opcode];
        let masked = u8::from(mask.is_some()) << 7;
        match payload.len() {
            length @ 0..126 => bytes.push(masked | length as u8),
            length @ 126..0x1_0000 => {
                bytes.push(masked | 126);
                bytes.extend((length as u16).to_be_bytes());
            }
            length => {
                bytes.push(masked | 127);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        bytes.extend(mask.unwrap_or_default().iter().take(if mask.is_some() { 4 } else { 0 }));
        let mask = mask.unwrap_or_default();
        bytes.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]));
        bytes
    }

    #[test]
    fn the_examples_of_rfc_6455_are_parsed() {
        let text = Head { last: true, reserved: 0, opcode: 1 };
        let hello = |bytes: &[u8]| read_in(&[bytes]).0;
        assert_eq!(hello(b"\x81\x05Hello"), [(text, b"Hello".to_vec())]);
        assert_eq!(hello(b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), [(text, b"Hello".to_vec())]);
        let fragments = hello(b"\x01\x03Hel\x80\x02lo");
        assert_eq!((fragments.len(), fragments[0].0.last, fragments[1].0.opcode), (2, false, 0));
    }

    #[test]
    fn invalid_frames_make_the_rest_unreadable() {
        for bytes in
            [&b"\x83\x01xrest"[..], b"\x09\x01xrest", b"\x89\x7e\x00\x80rest", b"\x82\x7f\xff\0\0\0\0\0\0\0rest"]
        {
            let (found, unreadable) = read_in(&[bytes, b"and more"]);
            assert_eq!((found.len(), unreadable), (0, bytes.len() as u64 + 8), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn frames_are_parsed_across_any_split(
            frames in prop::collection::vec(
                (any::<bool>(), 0..8_u8, prop_oneof![Just(0), Just(1), Just(2)], prop::collection::vec(any::<u8>(), 0..300),
                    any::<Option<[u8; 4]>>()),
                0..6,
            ),
            cut in 1..40_usize,
        ) {
            let frames: Vec<_> = frames
                .into_iter()
                .map(|(last, reserved, opcode, payload, mask)| (Head { last, reserved, opcode }, payload, mask))
                .collect();
            let bytes: Vec<u8> = frames.iter().flat_map(|(head, payload, mask)| frame(*head, payload, *mask)).collect();
            let (found, unreadable) = read_in(&bytes.chunks(cut).collect::<Vec<_>>());
            let sent: Found = frames.into_iter().map(|(head, payload, _)| (head, payload)).collect();
            prop_assert_eq!((found, unreadable), (sent, 0));
        }

        #[test]
        fn arbitrary_bytes_never_panic(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..8)) {
            let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            let _ = read_in(&pieces);
        }
    }
}
