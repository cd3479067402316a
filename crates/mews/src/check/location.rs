//! The current position in a body.

/// A position in a body: a linked list on the stack from the current value up to the root.
///
/// Free until a finding needs its pointer.
pub(super) enum Location<'p> {
    Root,
    Field(&'p Location<'p>, &'p str),
    Item(&'p Location<'p>, usize),
}

/// Maximum characters of a name in a pointer.
const LONGEST_NAME: usize = 80;

impl Location<'_> {
    /// The JSON pointer (RFC 6901) of this position.
    ///
    /// Overlong names are truncated, so that findings stay small whatever the body.
    pub(super) fn pointer(&self) -> String {
        let mut pointer = String::new();
        self.write(&mut pointer);
        pointer
    }

    fn write(&self, pointer: &mut String) {
        match self {
            Self::Root => {}
            Self::Item(parent, index) => {
                parent.write(pointer);
                pointer.push('/');
                pointer.push_str(&index.to_string());
            }
            Self::Field(parent, name) => {
                parent.write(pointer);
                pointer.push('/');
                for (count, character) in name.chars().enumerate() {
                    match character {
                        _ if count == LONGEST_NAME => return pointer.push('…'),
                        '~' => pointer.push_str("~0"),
                        '/' => pointer.push_str("~1"),
                        other => pointer.push(other),
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_is_escaped_and_bounded() {
        assert_eq!(Location::Root.pointer(), "");
        let list = Location::Field(&Location::Root, "a/b~c");
        let item = Location::Item(&list, 7);
        assert_eq!(Location::Field(&item, "").pointer(), "/a~1b~0c/7/");
        assert_eq!(Location::Field(&Location::Root, &"é".repeat(1000)).pointer().chars().count(), 82);
    }
}
