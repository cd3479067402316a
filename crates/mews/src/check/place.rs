//! Where in a body the check has come to.

/// A place in a body: a chain on the stack from the value at hand up to the whole.
///
/// It costs nothing until a finding asks for its pointer.
pub(super) enum Place<'p> {
    Root,
    Field(&'p Place<'p>, &'p str),
    Item(&'p Place<'p>, usize),
}

/// The longest that one name in a pointer may be, in characters.
const LONGEST_NAME: usize = 80;

impl Place<'_> {
    /// The JSON pointer (RFC 6901) of this place.
    ///
    /// A name beyond any reasonable length is cut, so that a body can't make findings as long as itself.
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
        assert_eq!(Place::Root.pointer(), "");
        let list = Place::Field(&Place::Root, "a/b~c");
        let item = Place::Item(&list, 7);
        assert_eq!(Place::Field(&item, "").pointer(), "/a~1b~0c/7/");
        assert_eq!(Place::Field(&Place::Root, &"é".repeat(1000)).pointer().chars().count(), 82);
    }
}
